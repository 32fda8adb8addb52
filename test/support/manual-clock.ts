// A clock that stands still until a test moves it: for unit tests of code that waits. Sleepers wake in
// order of their time, and what they set off runs before the next one wakes.
import type { Clock } from "../../src/core/clock.ts";

/** A clock under the test's control. */
export interface ManualClock extends Clock {
  /** Moves both times forward by `ms`, waking who is due on the way. */
  advance(ms: number): Promise<void>;
  /** The wall clock jumps by `ms`; nobody wakes. */
  stepWall(ms: number): void;
  /** How many sleep now. */
  sleepers(): number;
}

interface Sleeper {
  dueMs: number;
  wake(): void;
}

/** Lets everything run that is ready to run. */
const settle = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

/** A clock that shows `wallMs` and 0 monotonic milliseconds. */
export const createManualClock = (wallMs = 1_795_507_200_000): ManualClock => {
  let monoMs = 0;
  let wallOffsetMs = wallMs;
  const sleeping = new Set<Sleeper>();
  const nextDue = (untilMs: number): Sleeper | undefined =>
    [...sleeping].filter(({ dueMs }) => dueMs <= untilMs).toSorted((a, b) => a.dueMs - b.dueMs)[0];
  return {
    monoMs: () => monoMs,
    wallMs: () => wallOffsetMs + monoMs,
    sleep: (ms, signal) =>
      new Promise((resolve) => {
        if (signal?.aborted === true) return resolve();
        const sleeper: Sleeper = {
          dueMs: monoMs + Math.max(0, ms),
          wake: () => {
            sleeping.delete(sleeper);
            signal?.removeEventListener("abort", sleeper.wake);
            resolve();
          },
        };
        sleeping.add(sleeper);
        signal?.addEventListener("abort", sleeper.wake);
      }),
    async advance(ms) {
      const untilMs = monoMs + ms;
      await settle();
      for (let due = nextDue(untilMs); due !== undefined; due = nextDue(untilMs)) {
        monoMs = Math.max(monoMs, due.dueMs);
        due.wake();
        await settle();
      }
      monoMs = untilMs;
    },
    stepWall(ms) {
      wallOffsetMs += ms;
    },
    sleepers: () => sleeping.size,
  };
};
