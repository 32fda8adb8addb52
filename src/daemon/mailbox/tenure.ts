// The time a mailbox is ours: from taking its lease, through work that must end with it, to handing it
// back. What earlier holders left in the store is read at its beginning. Used by the mailbox's runner.
import { FencedError, LeaseLostError, StateLostError, errorCode } from "../../core/errors.ts";
import { type Random, fraction } from "../../core/random.ts";
import type { MailboxSettings } from "../../core/settings.ts";
import { LOCAL_LEASE } from "../../lock/lease.ts";
import type { Lease } from "../../lock/held-lease.ts";
import type { LeaseView } from "../../lock/lease-driver.ts";
import type { LeaseAnswer, PollerLock } from "../../lock/poller-lock.ts";
import type { Refusal } from "../../lock/shared-part.ts";
import { type FolderMemory, createFolderMemory } from "../../orchestrator/folder-context.ts";
import type { LockAnswer, LockWord } from "../../poller/background-email-poller-loop.ts";
import { type LockParts, createMailboxLock } from "./mailbox-lock.ts";

/** What a tenure works with. */
export interface TenureParts extends LockParts {
  random: Random;
  exit(code: number): void;
}

/** A lease and the work under it that has not ended. */
interface Held {
  lease: Lease;
  work: Set<Promise<unknown>>;
  /** Given back, not lost. */
  isOver: boolean;
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

/** What is told to the loop when the lock is not ours. */
const WORDS: Readonly<Record<Refusal, LockWord>> = {
  held_by_other: "standby",
  lock_file_error: "lock_file_error",
  foreign_lock: "foreign_lock",
  unreachable: "waiting_for_redis",
  redis_noauth: "redis_noauth",
  redis_readonly: "redis_readonly",
  redis_oom: "redis_oom",
  redis_unsafe: "redis_unsafe",
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
    if (error instanceof StateLostError) {
      await lock.stateLost(lease);
      throw new LeaseLostError("the shared state lost what was written under it");
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

/** The lease in hand and the work under it; `lost` is called when the lease goes. */
const createHolding = (
  parts: TenureParts,
  { mailbox, lock, lost }: { mailbox: string; lock: PollerLock; lost: () => void },
) => {
  let current: Held | null = null;
  /** Of the lease before, too, until it has ended. */
  let last: Held | null = null;

  const onLost = async (held: Held): Promise<void> => {
    // A lease that was given back needs no alarm.
    if (held.isOver) return;
    if (current === held) current = null;
    lost();
    await parts.clock.sleep(LEASE_LOST_GRACE_MS);
    if (held.work.size > 0) parts.exit(75);
  };

  const workEnded = async (): Promise<void> => {
    if (last !== null) await Promise.allSettled(last.work);
  };

  return {
    lease: (): Lease | null => current?.lease ?? null,
    begin: (lease: Lease): void => {
      const held: Held = { lease, work: new Set(), isOver: false };
      lease.signal.addEventListener("abort", () => void onLost(held), { once: true });
      current = held;
      last = held;
    },
    workEnded,
    /** Begins nothing new under the lease, waits for what is under way, and signs off. */
    leave: async (): Promise<void> => {
      const held = current;
      current = null;
      await workEnded();
      if (held === null || held.lease.signal.aborted) return;
      held.isOver = true;
      await signOff(parts, mailbox, held.lease);
    },
    during: async <T>(run: (lease: Lease) => Promise<T>): Promise<T> => {
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
  };
};

/** The tenure of a mailbox; `lost` is called when the lease goes, before the grace period. */
export const createTenure = (
  parts: TenureParts,
  mailbox: Pick<MailboxSettings, "id">,
  { memory, lost }: { memory: FolderMemory; lost: () => void },
): Tenure => {
  const { clustered, metrics, random } = parts;
  const lock = createMailboxLock(parts, mailbox.id);
  const holding = createHolding(parts, { mailbox: mailbox.id, lock, lost });

  /** The lock's answer; a lost lease is let go of when no work is left under it. */
  const acquire = async (): Promise<Exclude<LeaseAnswer, { kind: "lost" | "rejoin" }>> => {
    if (holding.lease() === null) await holding.workEnded();
    const answer = await lock.acquire();
    if (answer.kind === "lost") return acquire();
    if (answer.kind !== "rejoin") return answer;
    await holding.leave();
    await lock.rejoin();
    return acquire();
  };

  const giveBack = async (): Promise<void> => {
    await holding.leave();
    await lock.release();
    metrics.leaseState(mailbox.id, lock.view().state);
  };

  /** Contenders that ask at the same moment for ever would meet for ever. */
  const waitMs = (): number => {
    const { retryMs } = clustered?.lease ?? LOCAL_LEASE;
    return clustered === null ? retryMs : retryMs * (1 + fraction(random) / 4);
  };

  const begin = async (lease: Lease): Promise<void> => {
    if (clustered !== null && !clustered.islands.has(mailbox.id)) {
      await clustered.enter(mailbox.id);
    }
    await unlessLost(lock, lease, () => recall(parts, mailbox.id, { memory, lease }));
    metrics.leaseFence(mailbox.id, lease.fence);
    holding.begin(lease);
  };

  return {
    lease: holding.lease,
    view: () => lock.view(),
    during: holding.during,
    handBack: giveBack,
    take: async () => {
      const isOthers = clustered?.watch.mustGiveBack(mailbox.id) === true;
      if (isOthers && holding.lease() !== null) await giveBack();
      const answer = await acquire();
      metrics.leaseState(mailbox.id, lock.view().state);
      if (answer.kind === "delayed") return { kind: "delayed", waitMs: waitMs() };
      if (answer.kind === "refused") {
        return { kind: "refused", word: WORDS[answer.reason], waitMs: waitMs() };
      }
      if (holding.lease() !== answer.lease) await begin(answer.lease);
      return { kind: "held" };
    },
  };
};
