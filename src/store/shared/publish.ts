// Brings shared state up to what this node knows: what its journal remembers and Redis forgot, and what
// its own store took in while it was alone (DESIGN section 4). A message stays settled only if it was
// delivered, filtered or gone, or if its row of the spool is there. Called by a new holder before it reads
// any state, and by a node that sees shared state older than its journal.
import { isDeepStrictEqual } from "node:util";
import { AppError } from "../../core/errors.ts";
import { eventId } from "../../core/event-id.ts";
import { isSettled, settle, subtract, type UidSet, uidSetOf, union } from "../../core/uid-set.ts";
import type { CursorRecord } from "../store.ts";
import { copyState } from "./copy-state.ts";
import type { Journal, JournalEntry } from "./journal.ts";
import type { LocalRows } from "./local-rows.ts";
import {
  isNewer,
  type OpenPair,
  pairKey,
  type Publication,
  type SharedState,
  type SharedStore,
} from "./shared-store.ts";

/** Others may publish the same at the same time; each of them wins once at most. */
const TRIES = 20;

/** Entries of the tail in one write. */
const TAIL_PORTION = 1000;

/** What a publication is made with. */
export interface PublishDeps {
  shared: SharedStore;
  local: LocalRows;
  journal: Journal;
}

/** Writes one part of a publication; false: shared state was changed by somebody else. */
type WritePart = (part: Partial<Publication>) => Promise<boolean>;

const createWritePart = (
  shared: SharedStore,
  mailbox: string,
  { version }: SharedState,
): WritePart => {
  let expected = version;
  return async (part) => {
    const published = await shared.publish({
      ...{ mailbox, expected, version: expected ?? { fence: 0, revision: 0 } },
      ...{ cursors: [], tail: [], spool: [], receipts: [], closed: [] },
      ...part,
    });
    if (published !== null) expected = published;
    return published !== null;
  };
};

/** Is this a delivery of a message that the cursor counts by its UID? */
const isUnder = ({ mailbox, folder, uidvalidity }: CursorRecord, pair: OpenPair): boolean =>
  eventId({ mailbox, folder, uidvalidity, uid: pair.uid }) === pair.eventId;

const settledSet = ({ settledUpTo, settledAbove }: CursorRecord): UidSet =>
  union(settledUpTo > 0 ? [[1, settledUpTo]] : [], settledAbove);

/**
 * What is settled by either record of one numbering: what the journal has, but for the messages whose rows
 * are lost, and what shared state has. Right whichever is newer, because both only ever grow, but for what
 * a loss of rows took away.
 */
const mergeCursor = (
  ours: CursorRecord,
  theirs: CursorRecord | undefined,
  lost: readonly OpenPair[],
): CursorRecord => {
  const lostUids = uidSetOf(lost.filter((pair) => isUnder(ours, pair)).map(({ uid }) => uid));
  const kept = subtract(settledSet(ours), lostUids);
  const all = theirs === undefined ? kept : union(kept, settledSet(theirs));
  return { ...(theirs ?? ours), ...settle({ settledUpTo: 0, settledAbove: [] }, all) };
};

/** The cursors that shared state has to be given. */
const mergeCursors = (
  entry: JournalEntry,
  state: SharedState,
  { isOursNewer, lost }: { isOursNewer: boolean; lost: readonly OpenPair[] },
): readonly CursorRecord[] =>
  entry.cursors.flatMap((ours) => {
    const theirs = state.cursors.find(({ folder }) => folder === ours.folder);
    if (theirs === undefined) return [mergeCursor(ours, theirs, lost)];
    const isSameNumbering =
      theirs.uidvalidity === ours.uidvalidity && theirs.accountHash === ours.accountHash;
    // Of two numberings the newer record wins whole.
    if (!isSameNumbering) return isOursNewer ? [mergeCursor(ours, undefined, lost)] : [];
    const merged = mergeCursor(ours, theirs, lost);
    return isDeepStrictEqual(merged, theirs) ? [] : [merged];
  });

/** What the journal's knowledge changes in shared state; null: nothing. */
const mergeState = (
  entry: JournalEntry,
  state: SharedState,
  moved: ReadonlySet<string>,
): {
  part: Pick<Publication, "version" | "cursors" | "closed">;
  lost: readonly OpenPair[];
} | null => {
  const theirs = state.version;
  const isOursNewer = theirs === null || isNewer(entry.version, theirs);
  const there = new Set([...state.open.map(pairKey), ...moved]);
  const lost = entry.open.filter((pair) => !there.has(pairKey(pair)));
  const cursors = mergeCursors(entry, state, { isOursNewer, lost });
  if (!isOursNewer) {
    const part = { version: theirs, cursors, closed: [] };
    return cursors.length === 0 ? null : { part, lost };
  }
  const remembered = new Set([...entry.open.map(pairKey), ...moved]);
  const isDone = (pair: OpenPair): boolean =>
    entry.cursors.some((cursor) => isUnder(cursor, pair) && isSettled(cursor, pair.uid));
  const { fence, revision } = entry.version;
  const part = {
    // Above both, so that everybody takes the merged state for the newest.
    version: { fence, revision: revision + 1 },
    cursors,
    // Delivered since this state was saved.
    closed: state.open.filter((pair) => !remembered.has(pairKey(pair)) && isDone(pair)),
  };
  return { part, lost };
};

/** Rows of deliveries that ended here while the node was alone; false: shared state was changed meanwhile. */
const closeEnded = async (
  { local }: PublishDeps,
  mailbox: string,
  write: WritePart,
): Promise<boolean> => {
  const closed = await local.ended(mailbox);
  if (closed.length === 0) return true;
  if (!(await write({ closed }))) return false;
  await local.forgetEnded(mailbox, closed);
  return true;
};

/** Moves what the own store holds, portion by portion; null: shared state was changed meanwhile. */
const moveLocalRows = async (
  { local }: PublishDeps,
  mailbox: string,
  write: WritePart,
): Promise<ReadonlySet<string> | null> => {
  const moved = new Set<string>();
  for (;;) {
    const portion = await local.nextPortion(mailbox);
    if (portion.spool.length === 0 && portion.receipts.length === 0) return moved;
    if (!(await write(portion))) return null;
    for (const row of portion.spool) moved.add(pairKey(row));
    // Only now: a crash before this line repeats the write, which changes nothing.
    await local.forget(mailbox, portion);
  }
};

const writeTail = async (
  { shared, journal }: PublishDeps,
  { mailbox, lost }: { mailbox: string; lost: readonly OpenPair[] },
  write: WritePart,
): Promise<boolean> => {
  const lostIds = new Set(lost.map((pair) => pair.eventId));
  const nameOf = (folder: string, entry: { uidvalidity: string; uid: number; hash: string }) =>
    [folder, entry.uidvalidity, entry.uid, entry.hash].join("\0");
  // A message that is to be read again must not be taken for a known one after a renumbering.
  const entries = (await journal.readTail(mailbox)).filter(
    ({ folder, uidvalidity, uid }) => !lostIds.has(eventId({ mailbox, folder, uidvalidity, uid })),
  );
  const there = new Set<string>();
  for (const folder of new Set(entries.map((entry) => entry.folder))) {
    for (const entry of await shared.readTail(mailbox, folder)) there.add(nameOf(folder, entry));
  }
  const missing = entries.filter((entry) => !there.has(nameOf(entry.folder, entry)));
  for (let first = 0; first < missing.length; first += TAIL_PORTION) {
    if (!(await write({ tail: missing.slice(first, first + TAIL_PORTION) }))) return false;
  }
  return true;
};

/**
 * One try: the number of deliveries that are lost for good; null: shared state was changed meanwhile by
 * somebody else.
 */
const tryPublish = async (deps: PublishDeps, mailbox: string): Promise<number | null> => {
  const { shared, journal } = deps;
  const entry = await journal.read(mailbox);
  const state = await shared.readState(mailbox);
  const write = createWritePart(shared, mailbox, state);
  if (!(await closeEnded(deps, mailbox, write))) return null;
  // Rows first, and the cursor that calls them settled last.
  const moved = await moveLocalRows(deps, mailbox, write);
  if (moved === null) return null;
  const merged = entry === null ? null : mergeState(entry, state, moved);
  if (merged === null || entry === null) return 0;
  const { part, lost } = merged;
  if (!(await writeTail(deps, { mailbox, lost }, write)) || !(await write(part))) return null;
  // Of a numbering that is gone: nobody can tell which messages of the folder they are.
  return lost.filter((pair) => !entry.cursors.some((cursor) => isUnder(cursor, pair))).length;
};

const passOnRedeliveries = async (
  { shared, local }: PublishDeps,
  mailbox: string,
): Promise<void> => {
  const uids = await local.redeliveries(mailbox);
  if (uids.length === 0) return;
  await shared.requestRedelivery(mailbox, uids);
  await local.forgetRedeliveries(mailbox, uids);
};

/**
 * Publishes one mailbox and copies the result into the journal. Resolves with the number of deliveries that
 * died with Redis and cannot be read again, because the folder was renumbered since. May be repeated and may be interrupted
 * anywhere: rows leave this node only after shared state has them. Rejects with `RedisError`, with the
 * errors of the own store, and with an AppError `store/contended` when others never stop writing.
 */
export const publishMailbox = async (deps: PublishDeps, mailbox: string): Promise<number> => {
  let lost = await tryPublish(deps, mailbox);
  for (let tries = 1; lost === null; tries += 1) {
    if (tries < TRIES) {
      lost = await tryPublish(deps, mailbox);
      continue;
    }
    throw new AppError("store/contended", `the state of mailbox ${mailbox} never stops changing`, {
      hint: "it is tried again; look for nodes with the same data directory or the same host id",
    });
  }
  await passOnRedeliveries(deps, mailbox);
  await copyState(deps, mailbox);
  return lost;
};
