// Looking at a folder: which messages are new, and which UIDs below them never existed. The proof that
// we see the mailbox is a UID SEARCH from the cursor on, not the word of IDLE (DESIGN section 6).
import { MAX_UNCOMMITTED } from "../core/limits.ts";
import {
  type Settled,
  type UidRange,
  type UidSet,
  intersect,
  isSettled,
  subtract,
  uidSet,
  uidSetOf,
  union,
} from "../core/uid-set.ts";
import type { FolderContext } from "./folder-context.ts";

/** A gap is settled when it is still one after this long: servers may show n + 1 before n. */
export const GAP_AGE_MS = 60_000;

/** Gaps and when each was first seen, by the monotonic clock. */
export type GapMemory = readonly { ranges: UidSet; sinceMs: number }[];

/** UIDs between the cursor and the highest listed one that the server does not list. */
export const gapsBelow = (settled: Settled, listed: readonly number[]): UidSet => {
  const highest = listed.at(-1) ?? 0;
  const span: UidSet = uidSet([[settled.settledUpTo + 1, highest] satisfies UidRange]);
  return subtract(subtract(span, settled.settledAbove), uidSetOf(listed));
};

/** Folds the gaps of a new look into the memory; `ripe` were gaps long enough to be settled. */
export const foldGaps = (
  memory: GapMemory,
  gaps: UidSet,
  nowMs: number,
): { memory: GapMemory; ripe: UidSet } => {
  const kept = memory
    .map(({ ranges, sinceMs }) => ({ ranges: intersect(ranges, gaps), sinceMs }))
    .filter(({ ranges }) => ranges.length > 0);
  const known = kept.reduce<UidSet>((all, { ranges }) => union(all, ranges), []);
  const fresh = subtract(gaps, known);
  const isRipe = (sinceMs: number): boolean => nowMs - sinceMs >= GAP_AGE_MS;
  const ripe = kept
    .filter(({ sinceMs }) => isRipe(sinceMs))
    .reduce<UidSet>((all, { ranges }) => union(all, ranges), []);
  const young = kept.filter(({ sinceMs }) => !isRipe(sinceMs));
  return {
    memory: fresh.length > 0 ? [...young, { ranges: fresh, sinceMs: nowMs }] : young,
    ripe,
  };
};

/** What to read now, and which gaps may be settled. */
export interface Look {
  uids: readonly number[];
  ripeGaps: UidSet;
}

const search = async (context: FolderContext, settled: Settled): Promise<UidSet> => {
  const { connection, memory, clock, metrics, mailbox } = context;
  const listed = await connection.command("the search for new mail", (session) =>
    session.searchFrom(settled.settledUpTo + 1),
  );
  memory.lastProofMs = clock.wallMs();
  memory.pending = listed.filter((uid) => !isSettled(settled, uid));
  if (memory.pending.length > 0) metrics.mailFound(mailbox.id, memory.pushed ? "push" : "poll");
  const folded = foldGaps(memory.gaps, gapsBelow(settled, listed), clock.monoMs());
  memory.gaps = folded.memory;
  return folded.ripe;
};

/**
 * The next messages to read: suspects alone, else up to 64 of those listed. Searches only when all that
 * was listed before is taken, so that a backlog is not listed again for every batch.
 */
export const look = async (context: FolderContext, settled: Settled): Promise<Look> => {
  const { memory } = context;
  const ripeGaps = memory.pending.length === 0 ? await search(context, settled) : [];
  const isSuspect = (uid: number): boolean =>
    memory.suspects.has(uid) || memory.soloDeaths.has(uid) || memory.reduced.has(uid);
  const alone = memory.pending.find(isSuspect);
  const uids = alone === undefined ? memory.pending.slice(0, MAX_UNCOMMITTED) : [alone];
  return { uids, ripeGaps };
};
