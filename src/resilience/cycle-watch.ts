// The watch over one cycle (DESIGN section 6): past its deadline, or when nothing moves any more, the
// cycle is aborted; one that ignores its abort ends the process, because a second cycle must never
// start beside it. Called by each mailbox's runner.
import type { Clock } from "../core/clock.ts";
import { DeadlineError } from "../core/errors.ts";

/** A whole cycle: 64 messages at most, whatever they are. */
const TOTAL_MS = 15 * 60_000;

/** So long without a settled message or a byte read. */
const QUIET_MS = 90_000;

/** So long after its abort a cycle must have ended. */
const GRACE_MS = 30_000;

/** How often progress is looked at. */
const LOOK_MS = 5000;

/** One cycle to watch. */
export interface WatchedCycle<T> {
  /** A number that grows with everything that moves. */
  progress(): number;
  /** True while the cycle must go on however long it takes; its deadlines start anew afterwards. */
  isExempt(): boolean;
  /** Ends what does not listen to signals: the connection. Called when the cycle is overdue. */
  abort(): void;
  /** Ends the process: the cycle ignored its abort. */
  wedged(): void;
  run(signal: AbortSignal): Promise<T>;
}

/** Resolves when the cycle is overdue, or early when `ended` aborts. */
const overdue = async (
  clock: Clock,
  { progress, isExempt }: Pick<WatchedCycle<unknown>, "progress" | "isExempt">,
  ended: AbortSignal,
): Promise<void> => {
  let startedMs = clock.monoMs();
  let seen = progress();
  let movedMs = startedMs;
  while (!ended.aborted) {
    await clock.sleep(LOOK_MS, ended);
    const nowMs = clock.monoMs();
    const now = progress();
    if (now !== seen || isExempt()) movedMs = nowMs;
    if (isExempt()) startedMs = nowMs;
    seen = now;
    if (nowMs - startedMs >= TOTAL_MS || nowMs - movedMs >= QUIET_MS) return;
  }
};

/**
 * Runs the cycle. Rejects with `DeadlineError` when it had to be aborted; calls `wedged`
 * when it has not ended 30 s after that.
 */
export const watchCycle = async <T>(
  clock: Clock,
  { abort, wedged, run, ...watched }: WatchedCycle<T>,
): Promise<T> => {
  const ended = new AbortController();
  const aborted = new AbortController();
  const guard = async (): Promise<void> => {
    await overdue(clock, watched, ended.signal);
    if (ended.signal.aborted) return;
    aborted.abort(new DeadlineError("a cycle"));
    abort();
    await clock.sleep(GRACE_MS, ended.signal);
    if (!ended.signal.aborted) wedged();
  };
  const watching = guard();
  try {
    return await run(aborted.signal);
  } catch (error) {
    if (aborted.signal.aborted) throw new DeadlineError("a cycle");
    throw error;
  } finally {
    ended.abort();
    await watching;
  }
};
