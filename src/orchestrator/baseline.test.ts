// What a changed UIDVALIDITY makes of a folder: known mail stays settled, new mail is found, old mail is
// never taken for new.
import { describe, expect, test } from "vitest";
import type { TailEntry } from "../store/store.ts";
import { type Candidate, matchTail, resetFloorMs } from "./baseline.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const NOW_MS = 1_795_507_200_000;

const entry = (hash: string, internalDateMs: number): TailEntry => ({
  uid: 1,
  hash,
  internalDateMs,
  settledMs: NOW_MS,
});

const candidate = (uid: number, hash: string, internalDateMs = NOW_MS): Candidate => ({
  uid,
  hash,
  internalDateMs,
});

describe("the floor after a reset", () => {
  test("is a day before the newest known mail", () => {
    expect(resetFloorMs([entry("a", NOW_MS), entry("b", NOW_MS - HOUR_MS)], 0)).toBe(
      NOW_MS - DAY_MS,
    );
  });

  test("is never before the first contact", () => {
    expect(resetFloorMs([], NOW_MS)).toBe(NOW_MS);
    expect(resetFloorMs([entry("a", NOW_MS)], NOW_MS - HOUR_MS)).toBe(NOW_MS - HOUR_MS);
  });

  test("is the oldest entry of a full tail, because what is older is not remembered", () => {
    const tail = Array.from({ length: 1000 }, (_, index) => entry(`${index}`, NOW_MS - index));
    expect(resetFloorMs(tail, 0)).toBe(NOW_MS - 999);
    expect(resetFloorMs(tail.slice(1), 0)).toBe(NOW_MS - 1 - DAY_MS);
  });
});

describe("matching the tail", () => {
  test("matches each entry with one message and calls the rest new", () => {
    const tail = [entry("same", NOW_MS), entry("same", NOW_MS), entry("other", NOW_MS)];
    const candidates = [1, 2, 3].map((uid) => candidate(uid, "same"));
    const { matched, fresh, skipped } = matchTail(tail, candidates, 0);
    expect(matched.map(({ uid }) => uid)).toEqual([1, 2]);
    expect(fresh.map(({ uid }) => uid)).toEqual([3]);
    expect(skipped).toEqual([]);
  });

  test("skips unknown mail from before the floor, and mail of the floor's own instant", () => {
    const floorMs = NOW_MS - DAY_MS;
    const candidates = [
      candidate(1, "old", floorMs - 1),
      candidate(2, "edge", floorMs),
      candidate(3, "new", floorMs + 1),
    ];
    const { fresh, skipped } = matchTail([], candidates, floorMs);
    expect(fresh.map(({ uid }) => uid)).toEqual([3]);
    expect(skipped.map(({ uid }) => uid)).toEqual([1, 2]);
  });
});
