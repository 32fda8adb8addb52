// The arithmetic of gaps: what a server does not list is settled only after a second look, a minute
// later, so that a message shown late is never skipped.
import { describe, expect, test } from "vitest";
import { GAP_AGE_MS, type GapMemory, foldGaps, gapsBelow } from "./look.ts";

const settled = { settledUpTo: 10, settledAbove: [[13, 14]] as const };

describe("gaps of a folder", () => {
  test("are the UIDs below the highest listed one that are neither listed nor settled", () => {
    expect(gapsBelow(settled, { pending: [12, 17], highest: 17 })).toEqual([
      [11, 11],
      [15, 16],
    ]);
    expect(gapsBelow(settled, { pending: [], highest: 14 })).toEqual([[11, 12]]);
    expect(gapsBelow(settled, { pending: [], highest: 0 })).toEqual([]);
  });

  test("ripen only when a later look still misses them", () => {
    const first = foldGaps([], [[11, 12]], 0);
    expect(first.ripe).toEqual([]);
    const early = foldGaps(first.memory, [[11, 12]], GAP_AGE_MS - 1);
    expect(early.ripe).toEqual([]);
    expect(foldGaps(early.memory, [[11, 12]], GAP_AGE_MS).ripe).toEqual([[11, 12]]);
  });

  test("a UID that shows up late is no gap any more and the rest keeps its age", () => {
    const first = foldGaps([], [[11, 15]], 0);
    const second = foldGaps(
      first.memory,
      [
        [11, 12],
        [14, 15],
      ],
      GAP_AGE_MS,
    );
    expect(second.ripe).toEqual([
      [11, 12],
      [14, 15],
    ]);
  });

  test("a new gap starts its own minute", () => {
    const first: GapMemory = foldGaps([], [[11, 11]], 0).memory;
    const second = foldGaps(
      first,
      [
        [11, 11],
        [20, 20],
      ],
      GAP_AGE_MS,
    );
    expect(second.ripe).toEqual([[11, 11]]);
    expect(foldGaps(second.memory, [[20, 20]], GAP_AGE_MS * 2).ripe).toEqual([[20, 20]]);
  });
});
