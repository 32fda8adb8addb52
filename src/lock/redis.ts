// The lock of one mailbox in Redis (DESIGN section 5): acquire, take over, renew, release, by the shipped
// scripts, with typed answers. It keeps the counter of its renewals and nothing else; when to do what is
// decided by the lease state machine. Built by daemon/, driven by poller-lock.ts.
import { listOf } from "../redis/commands.ts";
import { keyOfLock } from "../redis/keys.ts";
import { type Redis, type RedisFailure, RedisError } from "../redis/redis.ts";
import { formatLockValue, type LockValue, parseLockValue } from "./lock-value.ts";

/** The answer to an acquisition. */
export type SharedAnswer =
  /** `clean`: the holder before us signed off on this very server process. */
  | { kind: "granted"; fence: number; clean: boolean }
  /** `pulse`: the value of a Signalpost process; null: a foreign one, never taken over. */
  | { kind: "refused"; pulse: string | null }
  /** A key holds another type of value than a lock could. */
  | { kind: "wrong_type"; what: string }
  | { kind: "failed"; failure: RedisFailure };

/** The answer to a renewal. `lost`: the value is another's, or gone (`vanished`). */
export type RenewalAnswer =
  | { kind: "renewed" }
  | { kind: "lost"; vanished: boolean }
  | { kind: "failed"; failure: RedisFailure };

/** A lock that several hosts share. No method throws. */
export interface SharedLock {
  /** The uuid by which the values of this process are known. */
  readonly owner: string;
  /**
   * Takes the lock when nobody has it, or when its value is exactly `takeOver`. A value of our own, from
   * an acquisition whose answer was lost, is renewed and counts as unclean; one whose fence was given out
   * before is taken over, so that no fence is given out twice. `highWater`: the highest fence this node
   * knows of.
   */
  acquire(takeOver: string | null, highWater: number): Promise<SharedAnswer>;
  /** A retry after a lost answer sends the same pair of values, and then moves on to a new one. */
  renew(): Promise<RenewalAnswer>;
  /** Gives it back if it is ours; false: no answer. */
  release(clean: boolean): Promise<boolean>;
}

/** What the lock is built on. */
export interface RedisLockDeps {
  redis: Redis;
  /** See `lockKeyFor`. */
  lockKey: string;
  /** The uuid of this process. */
  owner: string;
  ttlMs: number;
}

const failureOf = (error: unknown): RedisFailure => {
  if (error instanceof RedisError) return error.failure;
  throw error;
};

/** `fence:list`: the last part of our own key's name, and what it holds instead. */
const whatOf = (key: string, kind: string): string =>
  `${/\}:(\w+)$/.exec(key)?.[1] ?? "lock"}:${kind}`;

/** The value that we last wrote and know to have been carried out, and the renewing of it. */
interface Grip {
  value(): LockValue | null;
  hold(value: LockValue | null): void;
  renew(): Promise<RenewalAnswer>;
}

const createGrip = ({ redis, lockKey, ttlMs }: RedisLockDeps): Grip => {
  let held: LockValue | null = null;
  /** The last renewal has no answer: the value may be the next one already. */
  let isUnsure = false;
  const hold = (value: LockValue | null): void => {
    held = value;
    isUnsure = false;
  };

  const renewOnce = async (): Promise<RenewalAnswer> => {
    const current = held;
    if (current === null) return { kind: "lost", vanished: true };
    const next = { ...current, renewals: current.renewals + 1 };
    const args = [formatLockValue(current), formatLockValue(next), String(ttlMs)];
    isUnsure = true;
    try {
      const [isRenewed, value] = listOf(await redis.script("renew", [lockKey], args));
      if (isRenewed !== 1) return { kind: "lost", vanished: value === "" };
      // An answer that comes after a release says nothing of what is held now.
      if (held === current) hold(next);
      return { kind: "renewed" };
    } catch (error) {
      return { kind: "failed", failure: failureOf(error) };
    }
  };

  return {
    value: () => held,
    hold,
    renew: async () => {
      // A pair that is repeated may leave the value as it was, and contenders saw no sign of life.
      const answer = isUnsure ? await renewOnce() : null;
      return answer === null || answer.kind === "renewed" ? renewOnce() : answer;
    },
  };
};

/** Builds the lock; nothing is sent. */
export const createRedisLock = (deps: RedisLockDeps): SharedLock => {
  const { redis, lockKey, owner, ttlMs } = deps;
  const [fenceKey, releasedKey, stateKey] = ["fence", "released", "state"].map((name) =>
    keyOfLock(lockKey, name),
  ) as [string, string, string];
  const grip = createGrip(deps);

  /** Ours by an acquisition whose answer was lost: it stands from before, so its deadline must not. */
  const adopt = async (value: LockValue): Promise<SharedAnswer> => {
    grip.hold(value);
    const answer = await grip.renew();
    if (answer.kind === "renewed") return { kind: "granted", fence: value.fence, clean: false };
    grip.hold(null);
    if (answer.kind === "failed") return answer;
    return { kind: "refused", pulse: formatLockValue(value) };
  };

  const acquire = async (takeOver: string | null, highWater: number): Promise<SharedAnswer> => {
    grip.hold(null);
    const keys = [lockKey, fenceKey, releasedKey, stateKey];
    const args = [owner, String(ttlMs), String(highWater), takeOver ?? ""];
    try {
      const [code, first, second] = listOf(await redis.script("acquire", keys, args));
      if (code === 1) {
        const fence = Number(first);
        grip.hold({ owner, fence, renewals: 0 });
        return { kind: "granted", fence, clean: second === 1 };
      }
      if (code !== 0) return { kind: "wrong_type", what: whatOf(String(first), String(second)) };
      const standing = String(first);
      const value = parseLockValue(standing);
      if (value?.owner === owner) {
        return value.fence > highWater ? await adopt(value) : await acquire(standing, highWater);
      }
      return { kind: "refused", pulse: value === null ? null : standing };
    } catch (error) {
      return { kind: "failed", failure: failureOf(error) };
    }
  };

  return {
    owner,
    renew: grip.renew,
    acquire,
    release: async (clean) => {
      const held = grip.value();
      // Whether an acquisition without an answer was carried out, the value tells.
      const args =
        held === null
          ? [`${owner}:`, "0", "0"]
          : [`${owner}:${held.fence}:`, String(held.fence), clean ? "1" : "0"];
      grip.hold(null);
      try {
        await redis.script("release", [lockKey, releasedKey], args);
        return true;
      } catch (error) {
        failureOf(error);
        return false;
      }
    },
  };
};
