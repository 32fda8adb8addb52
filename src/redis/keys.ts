// The names of the keys in Redis, and of a Redis itself. All keys of a mailbox hang on its lock key, as its hash tag, so that
// they lie in one slot; the lock key itself is the one of the Python service. Used by lock/ and store/.
import { createHash } from "node:crypto";

/** The lock key of a mailbox: the bare key for `default`, as the Python service has it. */
export const lockKeyFor = (base: string, mailbox: string): string =>
  mailbox === "default" ? base : `${base}:${mailbox}`;

/** A key that belongs to the mailbox with this lock key: `{render_signal:poller_lock}:fence`. */
export const keyOfLock = (lockKey: string, name: string): string => `{${lockKey}}:${name}`;

/** A key of the whole installation: `signalpost:doc:polling_config`. */
export const sharedKey = (name: string): string => `signalpost:${name}`;

/**
 * A hash of host, port and database of a valid `redis_url`: how a data directory remembers through which
 * Redis it shared its state.
 */
export const redisIdOf = (url: string): string => {
  const { hostname, port, pathname } = new URL(url);
  const database = pathname === "" || pathname === "/" ? "/0" : pathname;
  const place = `${hostname.toLowerCase()}:${port === "" ? "6379" : port}${database}`;
  return createHash("sha256").update(place).digest("hex").slice(0, 16);
};
