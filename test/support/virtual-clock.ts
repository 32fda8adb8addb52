// A Clock whose time passes only when a test says so: sleepers lie in a heap, and each advance wakes
// them one by one, letting the code that they wake run to its next wait. With it a day of back-off takes
// milliseconds and every run is the same. Used by unit tests and by the simulator.
import type { Clock } from "../../src/core/clock.ts";

// Taken at load, so that the clock works on when a test makes the global timers throw.
const immediate = setImmediate;

/** A turn of the event loop begins only when every promise that could go on has gone on. */
const drain = (): Promise<void> => new Promise((resolve) => void immediate(resolve));

interface Sleeper {
  atMs: number;
  /** Breaks ties: who lay down first wakes first. */
  order: number;
  /** Cleared when it was woken by its signal. */
  wake: (() => void) | null;
}

const isBefore = (a: Sleeper, b: Sleeper): boolean =>
  a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);

const swap = (heap: Sleeper[], a: number, b: number): void => {
  const [first, second] = [heap[a], heap[b]];
  if (first === undefined || second === undefined) return;
  heap[a] = second;
  heap[b] = first;
};

const isLower = (heap: readonly Sleeper[], a: number, b: number): boolean => {
  const [first, second] = [heap[a], heap[b]];
  return first !== undefined && second !== undefined && isBefore(first, second);
};

const push = (heap: Sleeper[], sleeper: Sleeper): void => {
  let at = heap.push(sleeper) - 1;
  while (at > 0) {
    const parent = (at - 1) >> 1;
    if (!isLower(heap, at, parent)) return;
    swap(heap, at, parent);
    at = parent;
  }
};

const pop = (heap: Sleeper[]): Sleeper | undefined => {
  swap(heap, 0, heap.length - 1);
  const top = heap.pop();
  let at = 0;
  for (;;) {
    const left = 2 * at + 1;
    const child = isLower(heap, left + 1, left) ? left + 1 : left;
    if (!isLower(heap, child, at)) return top;
    swap(heap, at, child);
    at = child;
  }
};

/** A clock that a test drives. */
export interface VirtualClock extends Clock {
  /** Milliseconds since the clock was made; `monoMs` is the same number. */
  now(): number;
  /** Lets `ms` pass: wakes every sleeper due until then, in order, each with time to act. */
  advance(ms: number): Promise<void>;
  /**
   * Lets time pass from sleeper to sleeper until `predicate` holds; throws when it does not within
   * `limitMs`, or when nobody sleeps any more.
   */
  runUntil(predicate: () => boolean, limitMs: number): Promise<void>;
  /** The wall clock jumps by `ms`; nobody wakes. */
  stepWall(ms: number): void;
  /** How many sleep now. */
  sleepers(): number;
}

/** A clock at 0 whose wall shows `wallMs` (default 2026-11-24T08:00:00Z). */
export const createVirtualClock = (options: { wallMs?: number } = {}): VirtualClock => {
  let wallAtStartMs = options.wallMs ?? 1_795_507_200_000;
  const heap: Sleeper[] = [];
  let nowMs = 0;
  let order = 0;

  /** Wakes the next sleeper due by `untilMs`; false when there is none. */
  const wakeNext = async (untilMs: number): Promise<boolean> => {
    while (heap[0] !== undefined && heap[0].wake === null) pop(heap);
    const next = heap[0];
    if (next === undefined || next.atMs > untilMs) return false;
    pop(heap);
    nowMs = Math.max(nowMs, next.atMs);
    next.wake?.();
    await drain();
    return true;
  };

  const sleep = (ms: number, signal?: AbortSignal): Promise<void> =>
    new Promise((resolve) => {
      if (signal?.aborted === true) return resolve();
      const atMs = nowMs + Math.max(0, ms);
      const sleeper: Sleeper = { atMs, order, wake: null };
      order += 1;
      const wake = (): void => {
        sleeper.wake = null;
        signal?.removeEventListener("abort", wake);
        resolve();
      };
      sleeper.wake = wake;
      signal?.addEventListener("abort", wake, { once: true });
      push(heap, sleeper);
    });

  return {
    monoMs: () => nowMs,
    wallMs: () => wallAtStartMs + nowMs,
    now: () => nowMs,
    sleep,
    stepWall(ms) {
      wallAtStartMs += ms;
    },
    sleepers: () => heap.filter(({ wake }) => wake !== null).length,
    async advance(ms) {
      const untilMs = nowMs + ms;
      await drain();
      while (await wakeNext(untilMs));
      nowMs = untilMs;
    },
    async runUntil(predicate, limitMs) {
      const untilMs = nowMs + limitMs;
      await drain();
      while (!predicate()) {
        if (await wakeNext(untilMs)) continue;
        throw new Error(`what was waited for did not happen within ${limitMs} virtual ms`);
      }
    },
  };
};
