// Looking at a folder: which messages are new, and which UIDs below them never existed. The proof that
// we see the mailbox is a UID SEARCH from the cursor on, not the word of IDLE (DESIGN section 6).
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
} from "../../core/uid-set.ts";
import type { FolderContext } from "../folder-context.ts";
import { nextBatch } from "./suspects.ts";

/** A gap is settled when it is still one after this long: servers may show n + 1 before n. */
export const GAP_AGE_MS = 60_000;

/** Gaps and when each was first seen, by the monotonic clock. */
export type GapMemory = readonly { ranges: UidSet; sinceMs: number }[];

/**
 * UIDs between the cursor and the highest listed one that are neither settled nor `pending`, which is
 * what the server lists of the others.
 */
export const gapsBelow = (
  settled: Settled,
  { pending, highest }: { pending: readonly number[]; highest: number },
): UidSet => {
  const span: UidSet = uidSet([[settled.settledUpTo + 1, highest] satisfies UidRange]);
  return subtract(subtract(span, settled.settledAbove), uidSetOf(pending));
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
  const isRipe = (sinceMs: number): boolean => nowMs - sinceMs >= GAP_AGE_MS;
  const together = (some: GapMemory): UidSet =>
    some.reduce<UidSet>((all, { ranges }) => union(all, ranges), []);
  const fresh = subtract(gaps, together(kept));
  const ripe = together(kept.filter(({ sinceMs }) => isRipe(sinceMs)));
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
  const gaps = gapsBelow(settled, { pending: memory.pending, highest: listed.at(-1) ?? 0 });
  const folded = foldGaps(memory.gaps, gaps, clock.monoMs());
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
  return { uids: nextBatch(memory, memory.pending), ripeGaps };
};
