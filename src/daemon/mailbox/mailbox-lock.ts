// The lock of one mailbox out of the daemon's parts: the host's lock alone, or with the one in Redis
// behind it and the operator's word on what to do without. Used by the tenure of a mailbox, and to park
// what waits for a mailbox that is gone.
import type { Log } from "../../app-logging/logger.ts";
import type { Metrics } from "../../app-logging/metrics.ts";
import type { Clock } from "../../core/clock.ts";
import { liveNodeOf } from "../../http/status-report.ts";
import type { TakeLocalLock } from "../../lock/local-lock.ts";
import type { LeaseConstants } from "../../lock/lease.ts";
import { parseLockValue } from "../../lock/lock-value.ts";
import { type PollerLock, createPollerLock, lockPathFor } from "../../lock/poller-lock.ts";
import { createRedisLock } from "../../lock/redis.ts";
import type { SharedPart } from "../../lock/shared-part.ts";
import { lockKeyFor } from "../../redis/keys.ts";
import type { Store } from "../../store/store.ts";
import type { SeenValue } from "../cluster/cluster.ts";
import type { Clustered } from "../cluster/clustered.ts";

/** What the locks are made of. */
export interface LockParts {
  clock: Clock;
  log: Log;
  metrics: Metrics;
  store: Store;
  /** The uuid of this process. */
  node: string;
  takeLocalLock: TakeLocalLock;
  lockFile: string;
  clustered: Clustered | null;
}

/** Does another process that shares this store say, by its live row, that it holds the mailbox? */
const isHeldElsewhere = async (parts: LockParts, mailbox: string): Promise<boolean> => {
  const rows = (await parts.store.readNodes()).filter(({ node }) => node !== parts.node);
  const live = liveNodeOf(rows, parts.clock.wallMs());
  const isHeld = live?.mailboxes.some(({ id, lease }) => id === mailbox && lease.state === "held");
  return isHeld === true;
};

/** What `lock.fallback` says; a node that knows nothing of the mailbox waits under any of them. */
const mayGoAlone = async (clustered: Clustered, mailbox: string): Promise<boolean> => {
  const { fallback } = clustered.lock;
  if (fallback === "wait") return false;
  const entry = await clustered.journal.read(mailbox);
  if (entry === null || entry.cursors.length === 0) return false;
  if (fallback === "file") return true;
  const hasHeld = await clustered.journal.hasHeld(mailbox, clustered.redisId);
  return hasHeld && !(await clustered.isOtherHostKnown());
};

const healthOf = ({ watch }: Clustered): ReturnType<SharedPart["health"]> => {
  const health = watch.redis();
  if (health.kind === "failing") return health;
  return health.kind === "unsafe" ? "unsafe" : "usable";
};

/**
 * Is the value that was seen in the lock of a lease of ours that was given back since? Then nobody knows
 * yet whose turn it is now. After a lease it counts no more: a Redis that came back older has it again.
 */
const isGivenBack = (
  seen: SeenValue | null,
  { node, nowMs, lastFence }: { node: string; nowMs: number; lastFence: number },
  { leaseMs }: LeaseConstants,
): boolean => {
  const value = parseLockValue(seen?.value ?? "");
  if (seen === null || value?.owner !== node || value.fence > lastFence) return false;
  return nowMs - seen.sinceMs < leaseMs;
};

const createSharedPart = (
  clustered: Clustered,
  of: { node: string; mailbox: string; clock: Clock; isPlaced: boolean },
): SharedPart => {
  const { node, mailbox, clock, isPlaced } = of;
  const { redis, lock, lease, journal, watch, islands } = clustered;
  const lockKey = lockKeyFor(lock.key, mailbox);
  const redisLock = createRedisLock({ redis, lockKey, owner: node, ttlMs: lock.ttlMs });
  /** The highest fence known, now and when the lock was given back last. */
  let knownFence = 0;
  let lastFence = 0;
  const isTurnKnown = (): boolean => {
    const at = { node, nowMs: clock.monoMs(), lastFence };
    return !isGivenBack(watch.seen(mailbox), at, lease);
  };
  return {
    lock: {
      ...redisLock,
      release: async (clean) => {
        const fence = knownFence;
        const isAnswered = await redisLock.release(clean);
        if (isAnswered) lastFence = fence;
        return isAnswered;
      },
    },
    constants: lease,
    seen: () => watch.seen(mailbox),
    health: () => healthOf(clustered),
    mayTake: () => !isPlaced || (isTurnKnown() && watch.mayTake(mailbox)),
    mayGoAlone: () => mayGoAlone(clustered, mailbox),
    highWater: () => journal.highWater(mailbox),
    raiseHighWater: async (fence) => {
      knownFence = Math.max(knownFence, fence);
      await journal.raiseHighWater(mailbox, fence);
    },
    wentAlone: (isAlone) => {
      if (isAlone) islands.add(mailbox);
      else islands.delete(mailbox);
    },
  };
};

/**
 * Builds the lock of a mailbox; nothing is touched before the first `acquire`. `isPlaced: false`: of one
 * that no node is configured for, so that it is nobody's turn.
 */
export const createMailboxLock = (
  parts: LockParts,
  mailbox: string,
  { isPlaced }: { isPlaced: boolean } = { isPlaced: true },
): PollerLock => {
  const { clock, log, metrics, node, store, takeLocalLock, clustered } = parts;
  return createPollerLock({
    clock,
    log,
    mailbox,
    takeLocalLock,
    path: lockPathFor(parts.lockFile, mailbox),
    shared:
      clustered === null ? null : createSharedPart(clustered, { node, mailbox, clock, isPlaced }),
    issueFence: () => store.issueFence(mailbox, clock.wallMs()),
    heldElsewhere: () => isHeldElsewhere(parts, mailbox),
    onAcquisition: (result) => metrics.lockAcquisition(result),
  });
};
