// Checks the timer of a cycle's steps: it adds up, rounds, passes results and errors through, and feeds
// the histogram in seconds.
import { describe, expect, test } from "vitest";
import { createVirtualClock } from "../../test/support/virtual-clock.ts";
import { createStepTimer, STEPS } from "./step-timings.ts";

const setUp = () => {
  const clock = createVirtualClock();
  const observed: (readonly [string, number])[] = [];
  const timer = createStepTimer(clock, {
    stepSeconds: (step, seconds) => void observed.push([step, seconds]),
  });
  return { clock, observed, timer };
};

describe("the step timer", () => {
  test("adds up the times of a step and feeds each run to the metric", async () => {
    const { clock, observed, timer } = setUp();
    for (const ms of [1500, 250]) {
      const done = timer.time("read", () => clock.sleep(ms));
      await clock.advance(ms);
      await done;
    }
    expect(timer.totals()).toEqual({ read: 1750 });
    expect(observed).toEqual([
      ["read", 1.5],
      ["read", 0.25],
    ]);
  });

  test("rounds totals to a tenth of a millisecond", async () => {
    const { clock, timer } = setUp();
    const done = timer.time("look", () => clock.sleep(12.3456));
    await clock.advance(20);
    await done;
    expect(timer.totals()).toEqual({ look: 12.3 });
  });

  test("passes the result through", async () => {
    expect(await setUp().timer.time("rules", async () => 7)).toBe(7);
  });

  test("counts the time of a step that rejects, and lets the error escape", async () => {
    const { clock, observed, timer } = setUp();
    const failing = timer.time("commit", async () => {
      await clock.sleep(40);
      throw new Error("full");
    });
    const refused = expect(failing).rejects.toThrow("full");
    await clock.advance(40);
    await refused;
    expect(timer.totals()).toEqual({ commit: 40 });
    expect(observed).toHaveLength(1);
  });

  test("knows the steps of a cycle in their order", () => {
    expect(STEPS.indexOf("deliver")).toBeLessThan(STEPS.indexOf("commit"));
    expect(STEPS.indexOf("commit")).toBeLessThan(STEPS.indexOf("after_delivery"));
  });
});
