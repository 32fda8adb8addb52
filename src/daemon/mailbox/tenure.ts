// The time a mailbox is ours: from taking its lease, through work that must end with it, to handing it
// back. What earlier holders left in the store is read at its beginning. Used by the mailbox's runner.
import { FencedError, LeaseLostError, errorCode } from "../../core/errors.ts";
import type { MailboxSettings } from "../../core/settings.ts";
import { liveNodeOf } from "../../http/status-report.ts";
import {
  type Lease,
  type LeaseView,
  createPollerLock,
  lockPathFor,
} from "../../lock/poller-lock.ts";
import { type FolderMemory, createFolderMemory } from "../../orchestrator/folder-context.ts";
import type { LockAnswer } from "../../poller/background-email-poller-loop.ts";
import type { RunnerParts } from "./runner.ts";

/** Work that has not stopped so long after the lease was lost ends the process (DESIGN section 5). */
const LEASE_LOST_GRACE_MS = 1000;

/** The lease of one mailbox and the work under it. */
export interface Tenure {
  /** Takes or confirms the lease. Rejects as the store does when the fence cannot be written. */
  take(): Promise<LockAnswer>;
  lease(): Lease | null;
  /** Runs work that must not outlive the lease. Rejects with `LeaseLostError` when none is held. */
  during<T>(run: (lease: Lease) => Promise<T>): Promise<T>;
  /** Marks a clean stop and releases; never rejects. */
  handBack(): Promise<void>;
  view(): LeaseView;
}

/** Begins the memory of a folder anew with what the store knows of an unclean stop. */
const recall = async (
  { store }: RunnerParts,
  mailbox: string,
  { memory, lease }: { memory: FolderMemory; lease: Lease },
): Promise<void> => {
  const { unclean, suspects } = await store.beginRun(mailbox, lease.fence);
  Object.assign(memory, createFolderMemory(), { lastProofMs: memory.lastProofMs });
  memory.recordReading = unclean;
  for (const { uid, soloDeaths } of suspects) memory.soloDeaths.set(uid, soloDeaths);
};

/** Does another process that shares this store say, by its live row, that it holds the mailbox? */
const isHeldElsewhere = async (parts: RunnerParts, mailbox: string): Promise<boolean> => {
  const rows = (await parts.store.readNodes()).filter(({ node }) => node !== parts.node);
  const live = liveNodeOf(rows, parts.clock.wallMs());
  const isHeld = live?.mailboxes.some(({ id, lease }) => id === mailbox && lease.state === "held");
  return isHeld === true;
};

/** The tenure of a mailbox; `lost` is called when the lease goes, before the grace period. */
export const createTenure = (
  parts: RunnerParts,
  mailbox: MailboxSettings,
  { memory, lost }: { memory: FolderMemory; lost: () => void },
): Tenure => {
  const { clock, log, metrics, store } = parts;
  const lock = createPollerLock({
    clock,
    log,
    mailbox: mailbox.id,
    path: lockPathFor(parts.lockFile, mailbox.id),
    takeLocalLock: parts.takeLocalLock,
    issueFence: () => store.issueFence(mailbox.id, clock.wallMs()),
    heldElsewhere: () => isHeldElsewhere(parts, mailbox.id),
    onAcquisition: (result) => metrics.lockAcquisition(result),
  });
  let current: Lease | null = null;
  let busy = 0;

  /** A write that the store refused for a newer fence ends the tenure at once. */
  const unlessOvertaken = async <T>(run: () => Promise<T>): Promise<T> => {
    try {
      return await run();
    } catch (error) {
      if (!(error instanceof FencedError)) throw error;
      await lock.overtaken();
      throw new LeaseLostError("a newer fence was issued");
    }
  };

  const onLost = async (lease: Lease): Promise<void> => {
    // A lease that was given back needs no alarm.
    if (current !== lease) return;
    current = null;
    lost();
    await clock.sleep(LEASE_LOST_GRACE_MS);
    if (busy > 0) parts.exit(75);
  };

  return {
    lease: () => current,
    view: () => lock.view(),
    take: async () => {
      const answer = await lock.acquire();
      metrics.leaseState(mailbox.id, lock.view().state);
      if (answer.kind === "refused") {
        const isBroken = answer.reason === "lock_file_error";
        return { kind: "refused", word: isBroken ? "lock_file_error" : "standby" };
      }
      const { lease } = answer;
      if (current !== lease) {
        await unlessOvertaken(() => recall(parts, mailbox.id, { memory, lease }));
        metrics.leaseFence(mailbox.id, lease.fence);
        lease.signal.addEventListener("abort", () => void onLost(lease), { once: true });
        current = lease;
      }
      return { kind: "held" };
    },
    during: async (run) => {
      const lease = current;
      if (lease === null) throw new LeaseLostError("it is not held");
      busy += 1;
      try {
        return await unlessOvertaken(() => run(lease));
      } finally {
        busy -= 1;
      }
    },
    handBack: async () => {
      const lease = current;
      current = null;
      try {
        if (lease !== null) await store.endRun(mailbox.id, lease.fence);
      } catch (error) {
        // The next start will take this for an unclean stop, which only costs it some caution.
        log("cycle.failed", { mailbox: mailbox.id, code: errorCode(error) });
      }
      await lock.release();
      metrics.leaseState(mailbox.id, lock.view().state);
    },
  };
};
