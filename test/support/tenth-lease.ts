// The lock of a mailbox over a real lock file and a real Redis, for tests: the lease at one tenth of its
// length, and a watch that looks at the key ten times a second. Whoever starts one stops it.
import { systemClock as clock } from "../../src/daemon/system.adapter.ts";
import { takeFlock } from "../../src/lock/flock.adapter.ts";
import { type LeaseConstants, SHARED_LEASE } from "../../src/lock/lease.ts";
import { createPollerLock, type PollerLock } from "../../src/lock/poller-lock.ts";
import { createRedisLock } from "../../src/lock/redis.ts";
import type { SharedPart } from "../../src/lock/shared-part.ts";
import { openRedis } from "../../src/redis/ioredis.adapter.ts";
import type { Redis } from "../../src/redis/redis.ts";

/** The lock key of the mailbox `default`. */
export const LOCK_KEY = "render_signal:poller_lock";

/** The time to live of that key, as in the reference. */
export const TTL_MS = 300_000;

const LOOK_MS = 100;

const TENTH: LeaseConstants = {
  leaseMs: SHARED_LEASE.leaseMs / 10,
  marginMs: SHARED_LEASE.marginMs / 10,
  renewEveryMs: SHARED_LEASE.renewEveryMs / 10,
  lockDelayMs: SHARED_LEASE.lockDelayMs / 10,
  startGuardMs: SHARED_LEASE.startGuardMs / 10,
  retryMs: SHARED_LEASE.retryMs / 10,
  warnEveryMs: SHARED_LEASE.warnEveryMs / 10,
};

/** Nobody may go on alone, and the high water is in memory. */
const watchRedis = (redis: Redis, owner: string): { shared: SharedPart; stop(): void } => {
  let seen: ReturnType<SharedPart["seen"]> = null;
  let health: ReturnType<SharedPart["health"]> = "usable";
  let highWater = 0;
  const stopping = new AbortController();
  const look = async (): Promise<void> => {
    try {
      const value = await redis.get(LOCK_KEY);
      health = "usable";
      if (seen === null || seen.value !== value) seen = { value, sinceMs: clock.monoMs() };
    } catch {
      if (health === "usable") health = { failure: "unreachable", sinceMs: clock.monoMs() };
    }
  };
  const run = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      await look();
      await clock.sleep(LOOK_MS, stopping.signal);
    }
  };
  void run();
  return {
    shared: {
      lock: createRedisLock({ redis, lockKey: LOCK_KEY, owner, ttlMs: TTL_MS }),
      ...{ constants: TENTH, ttlMs: TTL_MS },
      seen: () => seen,
      health: () => health,
      mayTake: () => true,
      mayGoAlone: async () => false,
      highWater: async () => highWater,
      raiseHighWater: async (fence) => void (highWater = Math.max(highWater, fence)),
      wentAlone: () => undefined,
    },
    stop: () => stopping.abort(),
  };
};

/** The lock of the mailbox `default` on that file and, when there is one, on that Redis. */
export const openTenthLock = (
  path: string,
  server: { url: string; owner: string } | null,
): { lock: PollerLock; stop(): Promise<void> } => {
  const redis = server === null ? null : openRedis({ url: server.url, commandTimeoutMs: 1000 });
  const watch = redis === null ? null : watchRedis(redis, server?.owner ?? "");
  const lock = createPollerLock({
    ...{ clock, path, mailbox: "default", takeLocalLock: takeFlock },
    log: () => undefined,
    shared: watch?.shared ?? null,
    heldElsewhere: async () => false,
    issueFence: async () => Math.floor(clock.wallMs()),
  });
  return {
    lock,
    stop: async () => {
      await lock.release();
      watch?.stop();
      await redis?.close();
    },
  };
};
