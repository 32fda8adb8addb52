// The time a mailbox is ours: from taking its lease, through work that must end with it, to handing it
// back. What earlier holders left in the store is read at its beginning. Used by the mailbox's runner.
import { FencedError, LeaseLostError, errorCode } from "../../core/errors.ts";
import type { MailboxSettings } from "../../core/settings.ts";
import { liveNodeOf } from "../../http/status-report.ts";
import {
  type Lease,
  type LeaseAnswer,
  type LeaseView,
  type PollerLock,
  createPollerLock,
  lockPathFor,
} from "../../lock/poller-lock.ts";
import { type FolderMemory, createFolderMemory } from "../../orchestrator/folder-context.ts";
import type { LockAnswer } from "../../poller/background-email-poller-loop.ts";
import type { RunnerParts } from "./runner.ts";

/** What a tenure works with. */
export type TenureParts = Pick<
  RunnerParts,
  "clock" | "exit" | "lockFile" | "log" | "metrics" | "node" | "store" | "takeLocalLock"
>;

/** A lease and the work under it that has not ended. */
interface Held {
  lease: Lease;
  work: Set<Promise<unknown>>;
}

/** Work that has not stopped so long after the lease was lost ends the process (DESIGN section 5). */
const LEASE_LOST_GRACE_MS = 1000;

/** The lease of one mailbox and the work under it. */
export interface Tenure {
  /**
   * Takes or confirms the lease; after a loss, once all work under the lost one has ended. Rejects as
   * the store does when the fence cannot be written.
   */
  take(): Promise<LockAnswer>;
  lease(): Lease | null;
  /**
   * Runs work that must not outlive the lease. Rejects with `LeaseLostError` when none is held, and
   * whenever work fails under a lease that was lost meanwhile.
   */
  during<T>(run: (lease: Lease) => Promise<T>): Promise<T>;
  /** Marks a clean stop and releases; never rejects. */
  handBack(): Promise<void>;
  view(): LeaseView;
}

/** Begins the memory of a folder anew with what the store knows of an unclean stop. */
const recall = async (
  { store }: TenureParts,
  mailbox: string,
  { memory, lease }: { memory: FolderMemory; lease: Lease },
): Promise<void> => {
  const { unclean, suspects } = await store.beginRun(mailbox, lease.fence);
  Object.assign(memory, createFolderMemory(), { lastProofMs: memory.lastProofMs });
  memory.recordReading = unclean;
  for (const { uid, soloDeaths } of suspects) memory.soloDeaths.set(uid, soloDeaths);
};

/** Does another process that shares this store say, by its live row, that it holds the mailbox? */
const isHeldElsewhere = async (parts: TenureParts, mailbox: string): Promise<boolean> => {
  const rows = (await parts.store.readNodes()).filter(({ node }) => node !== parts.node);
  const live = liveNodeOf(rows, parts.clock.wallMs());
  const isHeld = live?.mailboxes.some(({ id, lease }) => id === mailbox && lease.state === "held");
  return isHeld === true;
};

const createLock = (parts: TenureParts, mailbox: string): PollerLock => {
  const { clock, log, metrics, store, takeLocalLock } = parts;
  return createPollerLock({
    clock,
    log,
    mailbox,
    takeLocalLock,
    path: lockPathFor(parts.lockFile, mailbox),
    issueFence: () => store.issueFence(mailbox, clock.wallMs()),
    heldElsewhere: () => isHeldElsewhere(parts, mailbox),
    onAcquisition: (result) => metrics.lockAcquisition(result),
  });
};

/** Work under a lease; a write that the store refused for a newer fence ends the tenure at once. */
const unlessLost = async <T>(
  lock: PollerLock,
  lease: Lease,
  run: (lease: Lease) => Promise<T>,
): Promise<T> => {
  try {
    return await run(lease);
  } catch (error) {
    if (error instanceof FencedError) {
      await lock.overtaken(lease);
      throw new LeaseLostError("a newer fence was issued");
    }
    // Whatever it says: it failed because the loss took connection and signals away.
    if (lease.signal.aborted) throw new LeaseLostError("it went while work was under way");
    throw error;
  }
};

/** Marks a clean stop. */
const signOff = async (
  { log, store }: TenureParts,
  mailbox: string,
  { fence }: Lease,
): Promise<void> => {
  try {
    await store.endRun(mailbox, fence);
  } catch (error) {
    // The next start will take this for an unclean stop, which only costs it some caution.
    log("cycle.failed", { mailbox, code: errorCode(error) });
  }
};

/** The tenure of a mailbox; `lost` is called when the lease goes, before the grace period. */
export const createTenure = (
  parts: TenureParts,
  mailbox: Pick<MailboxSettings, "id">,
  { memory, lost }: { memory: FolderMemory; lost: () => void },
): Tenure => {
  const { clock, metrics } = parts;
  const lock = createLock(parts, mailbox.id);
  let current: Held | null = null;
  let lastWork: Held["work"] = new Set();

  const onLost = async (held: Held): Promise<void> => {
    // A lease that was given back needs no alarm.
    if (current !== held) return;
    current = null;
    lost();
    await clock.sleep(LEASE_LOST_GRACE_MS);
    if (held.work.size > 0) parts.exit(75);
  };

  /** The lock's answer; a lost lease is let go of when no work is left under it. */
  const acquire = async (): Promise<LeaseAnswer> => {
    if (current === null) await Promise.allSettled(lastWork);
    const answer = await lock.acquire();
    return answer.kind === "lost" ? acquire() : answer;
  };

  const begin = async (lease: Lease): Promise<void> => {
    await unlessLost(lock, lease, () => recall(parts, mailbox.id, { memory, lease }));
    metrics.leaseFence(mailbox.id, lease.fence);
    const held: Held = { lease, work: new Set() };
    lease.signal.addEventListener("abort", () => void onLost(held), { once: true });
    current = held;
    lastWork = held.work;
  };

  return {
    lease: () => current?.lease ?? null,
    view: () => lock.view(),
    take: async () => {
      const answer = await acquire();
      metrics.leaseState(mailbox.id, lock.view().state);
      if (answer.kind !== "held") {
        const isBroken = answer.kind === "refused" && answer.reason === "lock_file_error";
        return { kind: "refused", word: isBroken ? "lock_file_error" : "standby" };
      }
      if (current?.lease !== answer.lease) await begin(answer.lease);
      return { kind: "held" };
    },
    during: async (run) => {
      const held = current;
      if (held === null) throw new LeaseLostError("it is not held");
      const work = unlessLost(lock, held.lease, run);
      held.work.add(work);
      try {
        return await work;
      } finally {
        held.work.delete(work);
      }
    },
    handBack: async () => {
      const lease = current?.lease ?? null;
      current = null;
      if (lease !== null) await signOff(parts, mailbox.id, lease);
      await lock.release();
      metrics.leaseState(mailbox.id, lock.view().state);
    },
  };
};
