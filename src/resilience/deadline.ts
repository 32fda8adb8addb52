// Deadlines for every await, made with Clock so that they run under virtual time too. The work gets a
// signal and is told to stop; the caller is freed at once, whether the work listens or not.
import type { Clock } from "../core/clock.ts";
import { DeadlineError } from "../core/errors.ts";

/** Over how long a minimum rate is judged; shorter stalls are normal on a busy server. */
const PROGRESS_WINDOW_MS = 30_000;

interface Bounds {
  /** Named in the error; our own words, never a text from outside. */
  what: string;
  /** Ends the work early, with this signal's reason. */
  signal?: AbortSignal | undefined;
}

/** The work; should stop when its signal aborts. */
type Run<T> = (signal: AbortSignal) => Promise<T>;

/** Runs until done, until `expiry` resolves, or until the outer signal aborts. */
const bounded = async <T>(
  { what, signal: outer }: Bounds,
  expiry: (stop: AbortSignal) => Promise<void>,
  run: Run<T>,
): Promise<T> => {
  outer?.throwIfAborted();
  const inner = new AbortController();
  const ended = new AbortController();
  const forward = (): void => inner.abort(outer?.reason);
  outer?.addEventListener("abort", forward, { once: true });
  const stopped = new Promise<never>((_, reject) => {
    inner.signal.addEventListener("abort", () => reject(inner.signal.reason), { once: true });
  });
  const expire = async (): Promise<void> => {
    await expiry(ended.signal);
    if (!ended.signal.aborted) inner.abort(new DeadlineError(what));
  };
  void expire();
  try {
    // The race also takes what `run` says after it was given up, so nothing is left unhandled.
    return await Promise.race([stopped, run(inner.signal)]);
  } finally {
    // A reason of our own spares the making of an error, with its stack, that nobody sees.
    ended.abort("ended");
    outer?.removeEventListener("abort", forward);
  }
};

/**
 * The result of `run`, or a rejection with `DeadlineError` after `ms`, or with the reason of the outer
 * `signal` as soon as that aborts. In both cases the signal given to `run` aborts with the same
 * reason, and what `run` still resolves or rejects with is dropped. Leaves no timer behind.
 */
export const withDeadline = <T>(
  clock: Clock,
  { ms, ...bounds }: Bounds & { ms: number },
  run: Run<T>,
): Promise<T> => bounded(bounds, (stop) => clock.sleep(ms, stop), run);

/**
 * As {@link withDeadline} with `totalMs`, and expires too when fewer than `minBytesPerSecond` arrive
 * on average over 30 s. `readBytes` tells how many have arrived so far.
 */
export const withProgress = <T>(
  clock: Clock,
  {
    totalMs,
    minBytesPerSecond,
    readBytes,
    ...bounds
  }: Bounds & { totalMs: number; minBytesPerSecond: number; readBytes: () => number },
  run: Run<T>,
): Promise<T> => {
  const endMs = clock.monoMs() + totalMs;
  const wanted = (minBytesPerSecond * PROGRESS_WINDOW_MS) / 1000;
  const expiry = async (stop: AbortSignal): Promise<void> => {
    for (let seen = readBytes(); !stop.aborted;) {
      const leftMs = endMs - clock.monoMs();
      await clock.sleep(Math.min(leftMs, PROGRESS_WINDOW_MS), stop);
      const arrived = readBytes() - seen;
      if (leftMs <= PROGRESS_WINDOW_MS || arrived < wanted) return;
      seen += arrived;
    }
  };
  return bounded(bounds, expiry, run);
};
