// Waiting longer after each failure, with full jitter so that many who failed together do not come
// back together. Used by every retry: mail connections, commits, webhooks.
import { fraction, type Random } from "../core/random.ts";

/** The shape of a back-off: the first ceiling and the last. */
export interface BackoffShape {
  baseMs: number;
  capMs: number;
}

/** A whole number of milliseconds, evenly drawn from 0 to min(cap, base × 2^step), both included. */
export const fullJitterMs = (
  random: Random,
  { baseMs, capMs, step }: BackoffShape & { step: number },
): number => Math.floor(fraction(random) * (Math.min(capMs, baseMs * 2 ** step) + 1));

/** Counts failures in a row and says how long to wait after each. */
export interface Backoff {
  /** Milliseconds to wait now; the next ceiling is twice as high, up to the cap. */
  nextMs(): number;
  /** Starts over, after a success that counts. */
  reset(): void;
  /** Failures since the last reset. */
  steps(): number;
}

/** A back-off that starts at `baseMs`. */
export const createBackoff = (random: Random, shape: BackoffShape): Backoff => {
  let step = 0;
  return {
    nextMs() {
      const ms = fullJitterMs(random, { ...shape, step });
      step += 1;
      return ms;
    },
    reset() {
      step = 0;
    },
    steps: () => step,
  };
};
