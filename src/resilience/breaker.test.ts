// The breaker as a table of states and events, and what holds for any sequence of them.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type BreakerEvent,
  type BreakerState,
  CLOSED,
  FAILURES_TO_OPEN,
  isProbeDue,
  stepBreaker,
} from "./breaker.ts";

const after = (events: readonly BreakerEvent[], nowMs = 0, from: BreakerState = CLOSED) =>
  events.reduce((state, event) => stepBreaker(state, event, nowMs), from);

const fails = (count: number): BreakerEvent[] => Array.from({ length: count }, () => "failed");

describe("stepBreaker", () => {
  test("opens at the fifth failure in a row and no earlier", () => {
    expect(after(fails(4))).toEqual({ kind: "closed", failures: 4 });
    expect(after(fails(5))).toEqual({ kind: "open", untilMs: 30_000, probeDelayMs: 30_000 });
    expect(after([...fails(4), "succeeded", ...fails(4)])).toEqual({ kind: "closed", failures: 4 });
  });

  test("opens at once when its caller needs no more failures, and that changes nothing later", () => {
    const open = after(["broken"]);
    expect(open).toEqual({ kind: "open", untilMs: 30_000, probeDelayMs: 30_000 });
    expect(after(["broken"], 10_000, open)).toBe(open);
    const probing = after(["probe_started"], 30_000, open);
    expect(after(["broken"], 31_000, probing)).toBe(probing);
  });

  test("starts a probe only when it is due, and one at a time", () => {
    const open = after(fails(5));
    expect(after(["probe_started"], 29_999, open)).toBe(open);
    const probing = after(["probe_started"], 30_000, open);
    expect(probing.kind).toBe("probing");
    expect(isProbeDue(probing, 60_000)).toBe(false);
    expect(after(["probe_started"], 60_000, probing)).toBe(probing);
  });

  test("doubles the wait after each failed probe up to five minutes", () => {
    let state = after(fails(5));
    const delays: number[] = [];
    for (let probe = 0; probe < 6; probe += 1) {
      if (state.kind !== "open") throw new Error("not open");
      delays.push(state.probeDelayMs / 1000);
      state = after(["probe_started", "probe_failed"], state.untilMs, state);
    }
    expect(delays).toEqual([30, 60, 120, 240, 300, 300]);
  });

  test("closes with a success, whoever brings it", () => {
    const open = after(fails(5));
    expect(after(["succeeded"], 1, open)).toEqual(CLOSED);
    expect(after(["probe_started", "succeeded"], 30_000, open)).toEqual(CLOSED);
  });

  test("makes the next probe due at once when one was cut off, with the same wait after it", () => {
    const state = after(["probe_started", "probe_abandoned"], 30_000, after(fails(5)));
    expect(state).toEqual({ kind: "open", untilMs: 30_000, probeDelayMs: 30_000 });
  });

  test("takes late failures of ordinary attempts for nothing new", () => {
    const open = after(fails(5));
    expect(after(fails(3), 10_000, open)).toBe(open);
    const probing = after(["probe_started"], 30_000, open);
    expect(after(fails(3), 31_000, probing)).toBe(probing);
  });

  test("gives up a probe that nobody reports on", () => {
    const probing = after(["probe_started"], 30_000, after(fails(5)));
    expect(isProbeDue(probing, 30_000 + 10 * 60_000)).toBe(true);
  });

  test("never waits more than ten minutes for the next probe and never opens below five failures", () => {
    const events = fc.array(
      fc.tuple(
        fc.constantFrom<BreakerEvent>(
          "succeeded",
          "failed",
          "probe_started",
          "probe_failed",
          "probe_abandoned",
        ),
        fc.nat(400_000),
      ),
    );
    fc.assert(
      fc.property(events, (steps) => {
        let state: BreakerState = CLOSED;
        let nowMs = 0;
        let inARow = 0;
        for (const [event, waitMs] of steps) {
          nowMs += waitMs;
          inARow = event === "succeeded" ? 0 : inARow + (event === "failed" ? 1 : 0);
          state = stepBreaker(state, event, nowMs);
          if (state.kind === "closed") continue;
          expect(inARow).toBeGreaterThanOrEqual(FAILURES_TO_OPEN);
          expect(isProbeDue(state, nowMs + 10 * 60_000)).toBe(true);
        }
      }),
    );
  });
});
