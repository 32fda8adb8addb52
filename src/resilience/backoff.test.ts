// Back-off with full jitter: its bounds, its growth and its reset.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Random } from "../core/random.ts";
import { createBackoff, fullJitterMs } from "./backoff.ts";

const drawing = (u32: number): Random => ({ u32: () => u32, bytes: (n) => new Uint8Array(n) });
const lowest = drawing(0);
const highest = drawing(2 ** 32 - 1);

describe("fullJitterMs", () => {
  test("draws whole milliseconds from nothing to the ceiling of the step", () => {
    fc.assert(
      fc.property(fc.nat(2000), fc.integer({ min: 0, max: 2 ** 32 - 1 }), (step, u32) => {
        const ms = fullJitterMs(drawing(u32), { baseMs: 1000, capMs: 300_000, step });
        expect(Number.isInteger(ms)).toBe(true);
        expect(ms).toBeGreaterThanOrEqual(0);
        expect(ms).toBeLessThanOrEqual(Math.min(300_000, 1000 * 2 ** step));
      }),
    );
  });

  test("reaches both ends", () => {
    const shape = { baseMs: 1000, capMs: 300_000, step: 3 };
    expect(fullJitterMs(lowest, shape)).toBe(0);
    expect(fullJitterMs(highest, shape)).toBe(8000);
  });
});

describe("createBackoff", () => {
  test("doubles its ceiling up to the cap and starts over after a reset", () => {
    const backoff = createBackoff(highest, { baseMs: 1000, capMs: 5000 });
    const first = [backoff.nextMs(), backoff.nextMs(), backoff.nextMs(), backoff.nextMs()];
    expect(first).toEqual([1000, 2000, 4000, 5000]);
    expect(backoff.steps()).toBe(4);
    backoff.reset();
    expect(backoff.steps()).toBe(0);
    expect(backoff.nextMs()).toBe(1000);
  });
});
