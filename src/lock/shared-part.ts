// What the lock of a mailbox knows of the lock that several hosts share: the lock itself, what the
// cluster's watch saw of it, and the operator's word on what to do without it. Filled by daemon/.
import type { RedisFailure } from "../redis/redis.ts";
import type { LeaseConstants, Pulse, RefusalReason } from "./lease.ts";
import { parseLockValue } from "./lock-value.ts";
import type { SharedLock } from "./redis.ts";

/** Why there is no lease now; `unreachable`: Redis does not answer, and this host alone may not poll. */
export type Refusal = RefusalReason | "unreachable";

/** The lock that several hosts share, and what is known of it without asking. */
export interface SharedPart {
  lock: SharedLock;
  constants: LeaseConstants;
  /** The value of the key at the last look, and since when it stands so; null before the first. */
  seen(): { value: string | null; sinceMs: number } | null;
  /** Redis at the last look; `sinceMs` is monotonic. */
  health(): "usable" | "unsafe" | { failure: RedisFailure; sinceMs: number };
  /** Is it this node's turn, as far as placement goes? */
  mayTake(): boolean;
  /** Is the host's lock alone enough while Redis does not answer (`lock.fallback`)? */
  mayGoAlone(): Promise<boolean>;
  /** The highest fence this node has ever seen of this mailbox; durable. */
  highWater(): Promise<number>;
  raiseHighWater(fence: number): Promise<void>;
  /** From here on the mailbox's state is kept here alone, or in the shared store again. */
  wentAlone(isAlone: boolean): void;
}

/** The words for what Redis answers instead of a lock. */
export const REDIS_REASONS: Readonly<Record<RedisFailure, Refusal>> = {
  unreachable: "unreachable",
  noauth: "redis_noauth",
  readonly: "redis_readonly",
  oom: "redis_oom",
  wrong_type: "foreign_lock",
  other: "unreachable",
};

/** The value of a Signalpost process in the lock, and since when it stands; null: there is none. */
export const pulseOf = ({ seen }: SharedPart): Pulse | null => {
  const { value, sinceMs } = seen() ?? { value: null, sinceMs: 0 };
  return value === null || parseLockValue(value) === null ? null : { pulse: value, sinceMs };
};

/** The value that another process keeps in the lock, unless it has stood still so long that it is dead. */
export const livingHolder = (shared: SharedPart, nowMs: number): string | null => {
  const seen = pulseOf(shared);
  if (seen === null || nowMs - seen.sinceMs >= shared.constants.leaseMs) return null;
  // Our own stands there when an answer was lost, or after a time alone: ask for it, it is ours to have.
  return parseLockValue(seen.pulse)?.owner === shared.lock.owner ? null : seen.pulse;
};
