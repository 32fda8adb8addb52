// Runs the cases of one target with fast-check: each checked for what it throws, for the CPU of its
// turns, and one in a hundred for the same outcome twice. Gives figures and, shrunk, the first failure.
import { createHash } from "node:crypto";
import fc from "fast-check";
import { type FuzzTarget, MAX_TURN_MS, createMeter } from "./target.ts";
import type { Progress } from "./watchdog.ts";

/** How to run a target. */
export interface TargetRun {
  seed: number;
  cases: number;
  /** Of a failure, as it was printed; runs that case alone. */
  path: string | null;
}

/** The first case that failed, as small as it could be made. */
export interface Failure {
  target: string;
  seed: number;
  path: string;
  /** In ASCII, cut when it is long. */
  input: string;
  error: string;
}

/** What came of a target. */
export interface TargetReport {
  name: string;
  cases: number;
  seconds: number;
  /** The longest turn of any case, as measured the first time. */
  longestTurnMs: number;
  failure: Failure | null;
}

const MAX_SHOWN_CHARS = 4000;
const TWICE_EVERY = 100;
/** To make a large case smaller takes many runs; what is small enough by then is shown. */
const SHRINK_MS = 30_000;
/** What a cold compiler and the collector add does not happen three times. */
const MEASURES = 3;

const digestOf = (outcome: unknown): string =>
  createHash("sha256")
    .update(JSON.stringify(outcome) ?? "undefined")
    .digest("hex");

const ascii = (text: string): string =>
  text.replaceAll(
    /[^\x20-\x7e\n]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );

/** `text` in ASCII, of bounded length. */
const shown = (text: string): string =>
  text.length <= MAX_SHOWN_CHARS
    ? ascii(text)
    : `${ascii(text.slice(0, MAX_SHOWN_CHARS))}… (${text.length} characters)`;

/** Runs a target to its first failure. Throws nothing. */
export const runTarget = async (
  target: FuzzTarget,
  { seed, cases, path }: TargetRun,
  progress: Progress,
): Promise<TargetReport> => {
  const meter = createMeter();
  let begun = 0;
  let longestTurnMs = 0;
  let failedAt: number | null = null;
  const isShrinking = (): boolean => failedAt !== null;

  const check = async (run: (own: typeof meter) => unknown): Promise<void> => {
    meter.takeLongestMs();
    const outcome = await run(meter);
    let turnMs = meter.takeLongestMs();
    if (!isShrinking()) longestTurnMs = Math.max(longestTurnMs, turnMs);
    for (let more = 1; more < MEASURES && turnMs > MAX_TURN_MS; more += 1) {
      await run(meter);
      turnMs = Math.min(turnMs, meter.takeLongestMs());
    }
    if (turnMs > MAX_TURN_MS) throw new Error(`one turn took ${turnMs.toFixed(0)} ms of CPU`);
    if (path === null && begun % TWICE_EVERY !== 0) return;
    if (digestOf(outcome) !== digestOf(await run(meter))) throw new Error("not the same twice");
  };

  const property = target.property(async (run) => {
    if (failedAt !== null && performance.now() - failedAt > SHRINK_MS) return;
    if (!isShrinking()) begun += 1;
    progress.begin(begun - 1);
    try {
      await check(run);
    } catch (error) {
      failedAt ??= performance.now();
      throw error;
    }
  });

  const startMs = performance.now();
  const { counterexample, counterexamplePath, errorInstance } = await fc.check(property, {
    seed,
    numRuns: path === null ? cases : 1,
    ...(path === null ? {} : { path, endOnFailure: true }),
  });
  const failure =
    counterexample === null
      ? null
      : {
          ...{ target: target.name, seed, path: counterexamplePath ?? "0" },
          input: shown(fc.stringify(counterexample[0])),
          error:
            errorInstance instanceof Error ? (errorInstance.stack ?? "") : String(errorInstance),
        };
  const seconds = (performance.now() - startMs) / 1000;
  return { name: target.name, cases: begun, seconds, longestTurnMs, failure };
};
