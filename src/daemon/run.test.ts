// The end of a process that was asked to stop: as soon as everything is handed back, and in time whatever
// hangs.
import { describe, expect, test } from "vitest";
import { createVirtualClock } from "../../test/support/virtual-clock.ts";
import { endInTime } from "./run.ts";

describe("the end of a stopped process", () => {
  test("comes after nine seconds even if something hangs", async () => {
    const clock = createVirtualClock();
    let isOver = false;
    const ending = endInTime(clock, () => new Promise(() => undefined)).then(() => (isOver = true));
    await clock.advance(8999);
    expect(isOver).toBe(false);
    await clock.advance(1);
    await ending;
  });

  test("comes at once when nothing hangs, and leaves no timer behind", async () => {
    const clock = createVirtualClock();
    await endInTime(clock, () => Promise.resolve());
    await clock.advance(0);
    expect(clock.sleepers()).toBe(0);
  });

  test("passes on what goes wrong", async () => {
    const failing = endInTime(createVirtualClock(), () => Promise.reject(new Error("close")));
    await expect(failing).rejects.toThrow("close");
  });
});
