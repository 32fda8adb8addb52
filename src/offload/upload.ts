// One object on its way to the storage: measured and hashed as it passes, and watched for a storage that
// stands still, so that it is told apart from a mail server that is slow. storage.ts calls it.
import { createHash } from "node:crypto";
import type { Clock } from "../core/clock.ts";
import { AppError, DeadlineError } from "../core/errors.ts";
import { withDeadline } from "../resilience/deadline.ts";
import { type ObjectStore, StorageError } from "./object-store.ts";

/** How patient uploads are. Tests are less so. */
export interface Patience {
  /** So long nothing may go out and no answer come while the storage has all that it asked for. */
  stallMs: number;
  /** The same while the storage is in doubt: mail waits for whoever finds out. */
  doubtedStallMs: number;
  /** An upload may take so long, without the time in which the mail server is waited for, */
  graceMs: number;
  /** and so long for each of this many bytes (DESIGN section 7). */
  minBytesPerSecond: number;
}

/** What a daemon uses. */
export const PATIENCE: Patience = {
  stallMs: 5000,
  doubtedStallMs: 2000,
  graceMs: 30_000,
  minBytesPerSecond: 64 * 1024,
};

/** All that is offloaded of one message, with every wait in line (DESIGN section 7). */
export const OFFLOAD_TIMEOUT_MS = 10 * 60_000;

/** The reason of a signal that ends what is offloaded of one message because its time is up. */
export class OutOfTimeError extends DeadlineError {
  constructor() {
    super("offloading a message");
  }
}

/** The body is longer than what is wanted. */
export class TooLargeError extends AppError {
  constructor() {
    super("offload/too-large", "an attachment decodes to more than offload.max_bytes");
  }
}

/** What is known of one upload while it runs, and after it. */
export interface Meter {
  bytes: number;
  sha256: string;
  /** The storage waits for us, not we for it; since when. */
  waitingSinceMs: number | null;
  /** Waited for the mail server so far. */
  waitedMs: number;
  movedMs: number;
  /** What kept the body from being read to its end. */
  bodyError: { error: unknown } | null;
}

/** A meter that has seen nothing yet. */
export const createMeter = (clock: Clock): Meter => ({
  bytes: 0,
  sha256: "",
  waitingSinceMs: null,
  waitedMs: 0,
  movedMs: clock.monoMs(),
  bodyError: null,
});

/** One object. */
export interface SentObject {
  key: string;
  contentType: string;
  filename: string | null;
  /** Its bytes; begun only when the storage takes them. */
  body: () => AsyncIterable<Uint8Array>;
  maxBytes: number;
  /** Called whenever something moves. */
  progress(): void;
  signal: AbortSignal;
}

/** The body as the storage reads it, measured. */
async function* measured(
  clock: Clock,
  meter: Meter,
  { body, progress, maxBytes }: SentObject,
): AsyncGenerator<Uint8Array, void, undefined> {
  const hash = createHash("sha256");
  const source = body()[Symbol.asyncIterator]();
  const next = async (): Promise<IteratorResult<Uint8Array>> => {
    meter.waitingSinceMs = clock.monoMs();
    try {
      return await source.next();
    } finally {
      meter.movedMs = clock.monoMs();
      meter.waitedMs += meter.movedMs - meter.waitingSinceMs;
      meter.waitingSinceMs = null;
    }
  };
  try {
    for (let one = await next(); one.done !== true; one = await next()) {
      progress();
      meter.bytes += one.value.length;
      if (meter.bytes > maxBytes) throw new TooLargeError();
      hash.update(one.value);
      yield one.value;
    }
  } catch (error) {
    meter.bodyError = { error };
    throw error;
  } finally {
    await source.return?.();
  }
  meter.sha256 = hash.digest("hex");
}

/** Resolves when the storage stands still, or is too slow for what it was given; early with `ended`. */
const watchStall = async (
  clock: Clock,
  { meter, stallMs, patience }: { meter: Meter; stallMs: number; patience: Patience },
  ended: AbortSignal,
): Promise<void> => {
  const startedMs = clock.monoMs();
  while (!ended.aborted) {
    const nowMs = clock.monoMs();
    // Whoever the mail server keeps waiting stands not still.
    const isOurs = meter.waitingSinceMs !== null;
    const allowedMs = patience.graceMs + (meter.bytes * 1000) / patience.minBytesPerSecond;
    const untilStallMs = stallMs - (nowMs - meter.movedMs);
    const untilSlowMs = allowedMs - (nowMs - startedMs - meter.waitedMs);
    const leftMs = Math.min(untilStallMs, untilSlowMs);
    if (!isOurs && leftMs <= 0) return;
    await clock.sleep(isOurs ? stallMs : leftMs, ended);
  }
};

/**
 * Streams one object to the storage. Rejects with `StorageError` (`timeout` also when it stands still or
 * is too slow), with what the body threw (`TooLargeError` above `maxBytes`; both are in the meter), with a
 * `DeadlineError` after ten minutes, and with the signal's reason.
 */
export const sendObject = async (
  deps: {
    clock: Clock;
    objectStore: () => Pick<ObjectStore, "put">;
    patience: Patience;
    /** The storage failed a moment ago. */
    isDoubted: boolean;
  },
  object: SentObject,
  meter: Meter,
): Promise<void> => {
  const { clock, objectStore, patience, isDoubted } = deps;
  const stalled = new AbortController();
  const ended = new AbortController();
  const stallMs = isDoubted ? patience.doubtedStallMs : patience.stallMs;
  const watch = async (): Promise<void> => {
    await watchStall(clock, { meter, stallMs, patience }, ended.signal);
    if (!ended.signal.aborted) stalled.abort(new StorageError("timeout"));
  };
  const moved = (): void => {
    meter.movedMs = clock.monoMs();
    object.progress();
  };
  void watch();
  try {
    const signal = AbortSignal.any([object.signal, stalled.signal]);
    const bounds = { ms: OFFLOAD_TIMEOUT_MS, what: "an upload", signal };
    await withDeadline(clock, bounds, (inner) => {
      const { key, contentType, filename } = object;
      const body = measured(clock, meter, object);
      return objectStore().put({ key, contentType, filename, body, signal: inner }, moved);
    });
  } finally {
    ended.abort("ended");
  }
};
