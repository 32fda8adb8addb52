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
import { RedisError } from "../../redis/redis.ts";
import type { Clustered } from "../cluster/clustered.ts";
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

/** So long after Redis is back, work that was begun alone may go on. */
const REJOIN_GRACE_MS = 6000;

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
  held_on_host: "standby",
  lock_file_error: "lock_file_error",
  foreign_lock: "foreign_lock",
  unreachable: "waiting_for_redis",
  redis_noauth: "redis_noauth",
  redis_readonly: "redis_readonly",
  redis_oom: "redis_oom",
  redis_unsafe: "redis_unsafe",
};

/** Reasons for which another node should have the mailbox, although Redis would give it to this one. */
const UNFIT: ReadonlySet<Refusal> = new Set<Refusal>(["held_on_host", "lock_file_error"]);

/** Another node is to have it; what was done alone goes into shared state first. */
const mustGiveBack = (clustered: Clustered | null, mailbox: string): boolean =>
  clustered !== null && !clustered.islands.has(mailbox) && clustered.watch.mustGiveBack(mailbox);

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

/** Takes up the mailbox: shared state first, then what earlier holders left. */
const begin = async (
  parts: TenureParts,
  at: {
    mailbox: string;
    memory: FolderMemory;
    lock: PollerLock;
    holding: ReturnType<typeof createHolding>;
  },
  lease: Lease,
): Promise<void> => {
  const { clustered, metrics } = parts;
  const { mailbox, memory, lock, holding } = at;
  if (clustered !== null && !clustered.islands.has(mailbox)) await clustered.enter(mailbox);
  await unlessLost(lock, lease, () => recall(parts, mailbox, { memory, lease }));
  if (lease.signal.aborted) throw new LeaseLostError("it went before work began");
  metrics.leaseFence(mailbox, lease.fence);
  holding.begin(lease);
  clustered?.unfit.delete(mailbox);
};

/** When to ask again: contenders that ask at the same moment for ever would meet for ever. */
const retryMs = ({ clustered, random }: TenureParts): number =>
  clustered === null ? LOCAL_LEASE.retryMs : clustered.lease.retryMs * (1 + fraction(random) / 4);

/** The tenure of a mailbox; `lost` is called when the lease goes, before the grace period. */
export const createTenure = (
  parts: TenureParts,
  mailbox: Pick<MailboxSettings, "id">,
  { memory, lost }: { memory: FolderMemory; lost: () => void },
): Tenure => {
  const { clustered, metrics } = parts;
  const lock = createMailboxLock(parts, mailbox.id);
  const holding = createHolding(parts, { mailbox: mailbox.id, lock, lost });

  /** The lock's answer; a lost lease is let go of when no work is left under it. */
  const acquire = async (): Promise<Exclude<LeaseAnswer, { kind: "lost" | "rejoin" }>> => {
    if (holding.lease() === null) await holding.workEnded();
    const answer = await lock.acquire();
    if (answer.kind === "lost") return acquire();
    if (answer.kind !== "rejoin") return answer;
    // By then another node may begin: what is still under way ends with the lease.
    await Promise.race([holding.leave(), parts.clock.sleep(REJOIN_GRACE_MS)]);
    await lock.rejoin();
    return acquire();
  };

  const giveBack = async (): Promise<void> => {
    await holding.leave();
    await lock.release();
    metrics.leaseState(mailbox.id, lock.view().state);
  };

  /** What this node's own disk keeps from being begun, another node can do. */
  const beginOrGiveBack = async (lease: Lease): Promise<void> => {
    try {
      await begin(parts, { mailbox: mailbox.id, memory, lock, holding }, lease);
    } catch (error) {
      const isOwn = !(error instanceof RedisError) && !(error instanceof LeaseLostError);
      if (clustered !== null && isOwn) {
        clustered.unfit.add(mailbox.id);
        await giveBack();
      }
      throw error;
    }
  };

  return {
    lease: holding.lease,
    view: () => lock.view(),
    during: holding.during,
    handBack: giveBack,
    take: async () => {
      if (holding.lease() !== null && mustGiveBack(clustered, mailbox.id)) await giveBack();
      const answer = await acquire();
      metrics.leaseState(mailbox.id, lock.view().state);
      if (answer.kind === "delayed") return { kind: "delayed", waitMs: retryMs(parts) };
      if (answer.kind === "refused") {
        if (UNFIT.has(answer.reason)) clustered?.unfit.add(mailbox.id);
        return { kind: "refused", word: WORDS[answer.reason], waitMs: retryMs(parts) };
      }
      if (holding.lease() !== answer.lease) await beginOrGiveBack(answer.lease);
      return { kind: "held" };
    },
  };
};
