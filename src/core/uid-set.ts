// Sets of UIDs as sorted, disjoint, non-touching ranges: how the cursor remembers what is settled.
// Pure functions; nothing here is ever changed in place.

/** First and last UID, both included. */
export type UidRange = readonly [first: number, last: number];

/** Sorted, disjoint, non-touching. */
export type UidSet = readonly UidRange[];

/** The set of any ranges in any order. */
export const uidSet = (ranges: Iterable<UidRange>): UidSet => {
  const sorted = [...ranges].filter(([a, b]) => a <= b).toSorted((x, y) => x[0] - y[0]);
  const merged: [number, number][] = [];
  for (const [first, last] of sorted) {
    const previous = merged.at(-1);
    if (previous !== undefined && first <= previous[1] + 1) {
      previous[1] = Math.max(previous[1], last);
    } else merged.push([first, last]);
  }
  return merged;
};

/** The set of single UIDs. */
export const uidSetOf = (uids: Iterable<number>): UidSet =>
  uidSet([...uids].map((uid): UidRange => [uid, uid]));

/** Everything in either. */
export const union = (a: UidSet, b: UidSet): UidSet => uidSet([...a, ...b]);

/** Everything in `a` that is not in `b`. */
export const subtract = (a: UidSet, b: UidSet): UidSet => {
  const left: UidRange[] = [];
  for (const [first, last] of a) {
    let from = first;
    for (const [cutFirst, cutLast] of b) {
      if (cutLast < from) continue;
      if (cutFirst > last) break;
      if (cutFirst > from) left.push([from, cutFirst - 1]);
      from = cutLast + 1;
    }
    if (from <= last) left.push([from, last]);
  }
  return left;
};

/** Everything in both. */
export const intersect = (a: UidSet, b: UidSet): UidSet => subtract(a, subtract(a, b));

/** Is `uid` in the set? */
export const contains = (set: UidSet, uid: number): boolean =>
  set.some(([first, last]) => first <= uid && uid <= last);

/** As a sequence set of RFC 9051, `1:3,7`. */
export const sequenceSet = (set: UidSet): string =>
  set.map(([first, last]) => (first === last ? String(first) : `${first}:${last}`)).join(",");

/** How far a folder is settled: everything up to `settledUpTo`, and the ranges above it. */
export interface Settled {
  settledUpTo: number;
  settledAbove: UidSet;
}

/** `settled` with more settled; the low mark rises over every range that touches it. */
export const settle = ({ settledUpTo, settledAbove }: Settled, more: UidSet): Settled => {
  const all = uidSet([[0, settledUpTo], ...settledAbove, ...more]);
  const [low, ...above] = all;
  return { settledUpTo: low?.[1] ?? settledUpTo, settledAbove: above };
};

/** Is `uid` settled? */
export const isSettled = ({ settledUpTo, settledAbove }: Settled, uid: number): boolean =>
  uid <= settledUpTo || contains(settledAbove, uid);
