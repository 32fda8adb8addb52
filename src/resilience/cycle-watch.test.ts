// Checks the watch over one cycle under virtual time: when it aborts, what it leaves alone, and that a
// cycle that ignores its abort ends the process.
import { describe, expect, test } from "vitest";
import { createVirtualClock } from "../../test/support/virtual-clock.ts";
import { DeadlineError } from "../core/errors.ts";
import { watchCycle } from "./cycle-watch.ts";

const MINUTE_MS = 60_000;

/** Watches `run` and notes what happens, and when. */
const setUp = () => {
  const clock = createVirtualClock();
  const events: string[] = [];
  let moved = 0;
  let isExempt = false;
  const note = (what: string): void => void events.push(`${what}@${clock.now() / 1000}s`);
  const watch = <T>(run: (signal: AbortSignal) => Promise<T>): Promise<T> =>
    watchCycle(clock, {
      progress: () => moved,
      isExempt: () => isExempt,
      abort: () => note("abort"),
      wedged: () => note("wedged"),
      run: (signal) => {
        signal.addEventListener("abort", () => note("signal"));
        return run(signal);
      },
    });
  const exempt = (value: boolean): void => void (isExempt = value);
  return { clock, events, watch, exempt, move: () => (moved += 1) };
};

describe("the watch over a cycle", { tags: ["resilience"] }, () => {
  test("leaves a cycle alone that is exempt, and counts anew afterwards", async () => {
    const { clock, events, watch, exempt } = setUp();
    exempt(true);
    const watched = watch((signal) => clock.sleep(Infinity, signal)).catch(() => undefined);
    await clock.advance(60 * MINUTE_MS);
    expect(events).toEqual([]);
    exempt(false);
    await clock.advance(80_000);
    expect(events).toEqual([]);
    await clock.advance(20_000);
    expect(events).toContain("abort@3690s");
    await watched;
  });

  test("passes the result of a cycle through and leaves no timer behind", async () => {
    const { clock, events, watch } = setUp();
    const watched = watch(async () => {
      await clock.sleep(80_000);
      return 7;
    });
    await clock.advance(80_000);
    expect(await watched).toBe(7);
    await clock.advance(60 * MINUTE_MS);
    expect(events).toEqual([]);
  });

  test("passes the error of a cycle through", async () => {
    const { watch } = setUp();
    const failing = watch(async () => {
      throw new Error("refused");
    });
    await expect(failing).rejects.toThrow("refused");
  });

  test("aborts a cycle in which nothing moves for 90 s", async () => {
    const { clock, events, watch } = setUp();
    const refused = expect(
      watch((signal) =>
        clock.sleep(Infinity, signal).then(() => {
          throw new Error("connection closed");
        }),
      ),
    ).rejects.toBeInstanceOf(DeadlineError);
    await clock.advance(89_000);
    expect(events).toEqual([]);
    await clock.advance(10_000);
    await refused;
    expect(events).toEqual(["signal@90s", "abort@90s"]);
  });

  test("lets a cycle that moves go on until 15 minutes are over", async () => {
    const { clock, events, move, watch } = setUp();
    const refused = expect(
      watch(async (signal) => {
        while (!signal.aborted) {
          await clock.sleep(60_000, signal);
          move();
        }
        throw new Error("aborted");
      }),
    ).rejects.toBeInstanceOf(DeadlineError);
    await clock.advance(14 * MINUTE_MS + 59_000);
    expect(events).toEqual([]);
    await clock.advance(1000);
    await refused;
    expect(events).toEqual(["signal@900s", "abort@900s"]);
  });

  test("ends the process when a cycle has not ended 30 s after its abort", async () => {
    const { clock, events, watch } = setUp();
    void watch(() => new Promise(() => undefined));
    await clock.advance(119_000);
    expect(events).toEqual(["signal@90s", "abort@90s"]);
    await clock.advance(60_000);
    expect(events).toEqual(["signal@90s", "abort@90s", "wedged@120s"]);
  });

  test("spares the process when the cycle ends within the 30 s", async () => {
    const { clock, events, watch } = setUp();
    const refused = expect(
      watch(async (signal) => {
        await clock.sleep(Infinity, signal);
        await clock.sleep(29_000);
        throw new Error("unwound");
      }),
    ).rejects.toBeInstanceOf(DeadlineError);
    await clock.advance(10 * MINUTE_MS);
    await refused;
    expect(events).toEqual(["signal@90s", "abort@90s"]);
  });
});
