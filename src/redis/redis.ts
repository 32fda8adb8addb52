// Redis as the program sees it: shipped scripts by name, one plain read, and errors by what an operator
// does about them. The adapter talks to a server; a simulator runs the same scripts over a keyspace of
// its own. Used by lock/, store/ and daemon/.
import { AppError } from "../core/errors.ts";

/**
 * The scripts of `scripts/`, each one atomic step.
 *
 * - `acquire`, `renew`, `release`: the lease on a mailbox (DESIGN section 5).
 * - `read`: a list of reading commands, one consistent answer to each.
 * - `write`: a list of writing commands under a fence and an expected revision, all or nothing.
 */
export const REDIS_SCRIPTS = ["acquire", "renew", "release", "read", "write"] as const;

/** The name of one of them. */
export type RedisScript = (typeof REDIS_SCRIPTS)[number];

/** What a script answers; a Lua `false` is null. */
export type RedisReply = string | number | null | readonly RedisReply[];

/** One connection to one Redis. Both calls reject with {@link RedisError}, within the command timeout. */
export interface Redis {
  /** Runs a script; never sent twice, whatever happens to the connection. */
  script(name: RedisScript, keys: readonly string[], args: readonly string[]): Promise<RedisReply>;
  get(key: string): Promise<string | null>;
  close(): Promise<void>;
}

/** Opens a connection that reconnects by itself for as long as it lives. Never throws. */
export type OpenRedis = (options: { url: string; commandTimeoutMs: number }) => Redis;

/**
 * Why Redis did not do it. `unreachable`: no answer in time, also while it loads or is busy, and when
 * too few replicas confirm; the command may have been carried out. The others are answers: nothing was
 * written.
 */
export type RedisFailure =
  | "unreachable"
  | "noauth"
  | "readonly"
  | "oom"
  /** Another type of value than ours under one of our keys. */
  | "wrong_type"
  | "other";

/** What an operator does about each failure. */
const HINTS: Readonly<Record<RedisFailure, string>> = {
  unreachable: "check that the server of redis_url runs and can be reached from this host",
  noauth:
    "put the right user and password into redis_url, and allow that user the keys and commands of docs/lock.md",
  readonly: "redis_url names a replica; name the primary, or let the failover finish",
  oom: "Redis is over its maxmemory; raise it, or empty the spool with 'signalpost parked'",
  wrong_type:
    "another program wrote to our keys; look at them with TYPE, and delete what is not ours",
  other: "look at the log of the Redis server",
};

/** Redis did not do it. The server's own words stay in `cause`. */
export class RedisError extends AppError {
  readonly failure: RedisFailure;
  constructor(failure: RedisFailure, cause?: unknown) {
    super(`redis/${failure.replace("_", "-")}`, `Redis: ${failure.replace("_", " ")}`, {
      hint: HINTS[failure],
      cause,
    });
    this.failure = failure;
  }
}
