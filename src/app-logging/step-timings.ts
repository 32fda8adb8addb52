// How long each step of a cycle takes: into the histogram of the process, and summed up for the log
// line and the receipts of the cycle. One timer per cycle; the steps are a closed list.
import type { Clock } from "../core/clock.ts";
import type { Metrics } from "./metrics.ts";

/** The steps of a cycle, in their order. */
export const STEPS = [
  "connect",
  "look",
  "metadata",
  "rules",
  "read",
  "deliver",
  "commit",
  "after_delivery",
  "spool",
] as const;

/** One step. */
export type Step = (typeof STEPS)[number];

/** Times the steps of one cycle. */
export interface StepTimer {
  /** Runs a step and returns what it returns; its time counts also when it rejects. */
  time<T>(step: Step, run: () => Promise<T>): Promise<T>;
  /** Milliseconds by step so far, to a tenth; steps that did not run are absent. */
  totals(): Record<string, number>;
}

/** Starts a timer with nothing in it. */
export const createStepTimer = (clock: Clock, metrics: Pick<Metrics, "stepSeconds">): StepTimer => {
  const totals = new Map<Step, number>();
  return {
    async time(step, run) {
      const startedMs = clock.monoMs();
      try {
        return await run();
      } finally {
        const tookMs = clock.monoMs() - startedMs;
        metrics.stepSeconds(step, tookMs / 1000);
        totals.set(step, (totals.get(step) ?? 0) + tookMs);
      }
    },
    totals: () =>
      Object.fromEntries([...totals].map(([step, ms]) => [step, Math.round(ms * 10) / 10])),
  };
};
