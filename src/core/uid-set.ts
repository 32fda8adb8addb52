// Sets of UIDs as sorted, disjoint, non-touching ranges: how the cursor remembers what is settled.
// Pure functions; nothing here is ever changed in place.

/** First and last UID, both included. */
export type UidRange = readonly [first: number, last: number];

/** Sorted, disjoint, non-touching. */
export type UidSet = readonly UidRange[];

/** Adds a range that begins no earlier than the last one of `merged`. */
const append = (merged: UidRange[], range: UidRange): void => {
  const previous = merged.at(-1);
  if (previous === undefined || range[0] > previous[1] + 1) merged.push(range);
  else if (range[1] > previous[1]) merged[merged.length - 1] = [previous[0], range[1]];
};

/** The set of any ranges in any order. */
export const uidSet = (ranges: Iterable<UidRange>): UidSet => {
  const sorted = [...ranges].filter(([a, b]) => a <= b).toSorted((x, y) => x[0] - y[0]);
  const merged: UidRange[] = [];
  for (const range of sorted) append(merged, range);
  return merged;
};

/** The set of single UIDs. */
export const uidSetOf = (uids: Iterable<number>): UidSet =>
  uidSet([...uids].map((uid): UidRange => [uid, uid]));

// A folder with holes has as many ranges as messages, and each look and each commit walks over all of
// them: the three below walk over both sets once, side by side, and `contains` halves.

/** Everything in either. */
export const union = (a: UidSet, b: UidSet): UidSet => {
  const merged: UidRange[] = [];
  let next = 0;
  for (const range of a) {
    for (let other = b[next]; other !== undefined && other[0] < range[0]; other = b[next]) {
      append(merged, other);
      next += 1;
    }
    append(merged, range);
  }
  for (; next < b.length; next += 1) append(merged, b[next] as UidRange);
  return merged;
};

/** Everything in `a` that is not in `b`. */
export const subtract = (a: UidSet, b: UidSet): UidSet => {
  const left: UidRange[] = [];
  let next = 0;
  for (const [first, last] of a) {
    let from = first;
    for (let cut = b[next]; cut !== undefined && cut[0] <= last; cut = b[next]) {
      if (cut[0] > from) left.push([from, cut[0] - 1]);
      from = Math.max(from, cut[1] + 1);
      // A cut that reaches further cuts the next range, too.
      if (cut[1] > last) break;
      next += 1;
    }
    if (from <= last) left.push([from, last]);
  }
  return left;
};

/** Everything in both. */
export const intersect = (a: UidSet, b: UidSet): UidSet => {
  const both: UidRange[] = [];
  let next = 0;
  for (const [first, last] of a) {
    for (let other = b[next]; other !== undefined && other[0] <= last; other = b[next]) {
      if (other[1] >= first) both.push([Math.max(first, other[0]), Math.min(last, other[1])]);
      // One that reaches further meets the next range, too.
      if (other[1] > last) break;
      next += 1;
    }
  }
  return both;
};

/** Is `uid` in the set? */
export const contains = (set: UidSet, uid: number): boolean => {
  let low = 0;
  let high = set.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((set[middle] as UidRange)[1] < uid) low = middle + 1;
    else high = middle;
  }
  const range = set[low];
  return range !== undefined && range[0] <= uid;
};

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
  const [low, ...above] = union([[0, settledUpTo], ...settledAbove], more);
  return { settledUpTo: low?.[1] ?? settledUpTo, settledAbove: above };
};

/** Is `uid` settled? */
export const isSettled = ({ settledUpTo, settledAbove }: Settled, uid: number): boolean =>
  uid <= settledUpTo || contains(settledAbove, uid);
