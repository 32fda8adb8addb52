// The arithmetic of UID sets against sets of single numbers, which are slow and plainly right; and that
// a folder with as many holes as messages does not hold the event loop.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type UidRange,
  type UidSet,
  contains,
  intersect,
  isSettled,
  sequenceSet,
  settle,
  subtract,
  uidSet,
  uidSetOf,
  union,
} from "./uid-set.ts";

const HIGHEST = 60;

const ranges = fc.array(
  fc
    .tuple(fc.integer({ min: 1, max: HIGHEST }), fc.integer({ min: 0, max: 9 }))
    .map(([first, more]): UidRange => [first, first + more]),
  { maxLength: 20 },
);
const sets = ranges.map(uidSet);

const membersOf = (set: UidSet): Set<number> =>
  new Set(
    set.flatMap(([first, last]) => Array.from({ length: last - first + 1 }, (_, n) => first + n)),
  );

/** Sorted, disjoint, non-touching: the one way to write a set down. */
const isCanonical = (set: UidSet): boolean =>
  set.every(([first, last], index) => first <= last && first > (set[index - 1]?.[1] ?? -1) + 1);

describe("sets of UIDs", () => {
  test("hold the members of their ranges, whatever the order", () => {
    fc.assert(
      fc.property(ranges, (given) => {
        const set = uidSet(given);
        expect(isCanonical(set)).toBe(true);
        expect(set).toEqual(uidSetOf(membersOf(given)));
        for (let uid = 0; uid <= HIGHEST + 10; uid += 1) {
          expect(contains(set, uid)).toBe(membersOf(given).has(uid));
        }
      }),
    );
  });

  test("union, difference and intersection are those of their members", () => {
    fc.assert(
      fc.property(sets, sets, (a, b) => {
        const [inA, inB] = [membersOf(a), membersOf(b)];
        expect(union(a, b)).toEqual(uidSetOf(inA.union(inB)));
        expect(subtract(a, b)).toEqual(uidSetOf(inA.difference(inB)));
        expect(intersect(a, b)).toEqual(uidSetOf(inA.intersection(inB)));
      }),
    );
  });

  test("what is settled is what was, and more; the low mark rises over what touches it", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: HIGHEST }), sets, sets, (settledUpTo, above, more) => {
        const before = settle({ settledUpTo, settledAbove: [] }, above);
        const after = settle(before, more);
        for (let uid = 1; uid <= HIGHEST + 10; uid += 1) {
          const expected = uid <= settledUpTo || contains(above, uid) || contains(more, uid);
          expect(isSettled(after, uid)).toBe(expected);
        }
        expect(isSettled(after, after.settledUpTo + 1)).toBe(false);
        expect(isCanonical(after.settledAbove)).toBe(true);
      }),
    );
  });

  test("are written as the sequence sets of RFC 9051", () => {
    expect(sequenceSet(uidSetOf([7, 1, 3, 2]))).toBe("1:3,7");
    expect(sequenceSet([])).toBe("");
  });

  test("look at each range once or twice, even of sets with thousands", () => {
    let looks = 0;
    const counted = (set: UidSet): UidSet =>
      new Proxy(set, {
        get: (target, name, receiver): unknown => {
          if (typeof name === "string" && /^\d+$/.test(name)) looks += 1;
          return Reflect.get(target, name, receiver);
        },
      });
    const count = 20_000;
    const even = uidSetOf(Array.from({ length: count }, (_, index) => 2 * index));
    const odd = uidSetOf(Array.from({ length: count }, (_, index) => 2 * index + 1));
    for (const combine of [union, subtract, intersect]) {
      looks = 0;
      combine(counted(even), counted(odd));
      expect(looks).toBeLessThanOrEqual(5 * count);
    }
    looks = 0;
    for (const uid of [1, 17_777, 2 * count]) contains(counted(even), uid);
    expect(looks).toBeLessThanOrEqual(3 * 20);
  });
});
