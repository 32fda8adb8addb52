// The lock that several hosts share, as the scripts of src/redis have it, in a few lines without a
// server: acquire, take over, adopt one's own, renew, release, and what can befall it. Used by the world
// of the lease state machine.
import type { LeaseEvent } from "../../src/lock/lease.ts";

/** A request as it was when it was sent; `held`: what its sender last knew to have written. */
export type Request =
  | { kind: "acquire"; uuid: string; highWater: number; takeOver: string | null }
  | { kind: "renew"; uuid: string; held: Held | null }
  | { kind: "release"; uuid: string; held: Held | null; clean: boolean };

/** The part of a value that its owner keeps. */
export interface Held {
  fence: number;
  renewals: number;
}

/** The lock, and all fences it gave out. */
export interface SharedLockModel {
  readonly fences: readonly number[];
  /** Carries out one request at `nowMs`; the answer's `sentMs` is for the sender to fill in. */
  carryOut(request: Request, nowMs: number): LeaseEvent;
  /** What stands in it. */
  pulse(nowMs: number): string | null;
  renewals(): number;
  /** Which server process it is in: another number after each restart. */
  process(): number;
  /** Somebody deletes the lock. */
  evict(): void;
  /** A new server process without any data, whose clock is so far behind. */
  restartEmpty(behindMs: number): void;
}

const TTL_MS = 300_000;
/** Keeps the clock of Redis above nothing, however far it falls behind. */
const EPOCH_MS = 1e12;

/** A free lock. */
export const createSharedLockModel = (): SharedLockModel => {
  const fences: number[] = [];
  let owner: (Held & { uuid: string; expiresMs: number }) | null = null;
  let counter: number | null = null;
  let tombstone: number | null = null;
  let behindMs = 0;
  let restarts = 0;

  const pulse = (nowMs: number): string | null => {
    if (owner !== null && owner.expiresMs <= nowMs) owner = null;
    return owner === null ? null : `${owner.uuid}:${owner.fence}:${owner.renewals}`;
  };

  const acquire = (request: Request & { kind: "acquire" }, nowMs: number): LeaseEvent => {
    const { uuid, highWater, takeOver } = request;
    const standing = pulse(nowMs);
    const expiresMs = nowMs + TTL_MS;
    const isOwn = owner?.uuid === uuid;
    if (owner !== null && isOwn && owner.fence > highWater) {
      owner = { ...owner, renewals: owner.renewals + 1, expiresMs };
      return { kind: "granted", fence: owner.fence, clean: false, sentMs: 0 };
    }
    if (owner !== null && !isOwn && takeOver !== standing) {
      return { kind: "refused", reason: "held_by_other", holder: owner.uuid, pulse: standing };
    }
    const clean = owner === null && counter !== null && tombstone === counter;
    const redisMs = EPOCH_MS + Math.floor(nowMs) - behindMs;
    counter = Math.max((counter ?? 0) + 1, highWater + 1, redisMs);
    fences.push(counter);
    owner = { uuid, fence: counter, renewals: 0, expiresMs };
    return { kind: "granted", fence: counter, clean, sentMs: 0 };
  };

  const renew = ({ uuid, held }: Request & { kind: "renew" }, nowMs: number): LeaseEvent => {
    const standing = pulse(nowMs);
    const isMine =
      owner?.uuid === uuid &&
      owner.fence === held?.fence &&
      (owner.renewals === held.renewals || owner.renewals === held.renewals + 1);
    if (owner === null || held === null || !isMine) {
      const reason = standing === null ? "vanished" : "taken_over";
      return { kind: "renewal_refused", reason };
    }
    owner = { ...owner, renewals: held.renewals + 1, expiresMs: nowMs + TTL_MS };
    return { kind: "renewed", sentMs: 0 };
  };

  const release = ({ uuid, held, clean }: Request & { kind: "release" }): LeaseEvent => {
    const isMine = owner?.uuid === uuid && (held === null || owner.fence === held.fence);
    if (owner === null || !isMine) return { kind: "released" };
    if (clean && held !== null) tombstone = owner.fence;
    owner = null;
    return { kind: "released" };
  };

  return {
    fences,
    pulse,
    renewals: () => owner?.renewals ?? 0,
    process: () => restarts,
    carryOut: (request, nowMs) => {
      if (request.kind === "acquire") return acquire(request, nowMs);
      return request.kind === "renew" ? renew(request, nowMs) : release(request);
    },
    evict: () => void (owner = null),
    restartEmpty: (ms) => {
      owner = null;
      counter = null;
      tombstone = null;
      behindMs = ms;
      restarts += 1;
    },
  };
};
