// Where a folder's cursor stands before the first message is read: at first contact, and after the
// server renumbered the folder (a changed UIDVALIDITY, or another account under the same id). Never a
// flood of old mail, never a loss of mail that came in between (DESIGN section 4).
import { createHmac } from "node:crypto";
import { instantOf } from "../core/calendar.ts";
import { MailError } from "../core/errors.ts";
import type { MessageMetadata } from "../core/message.ts";
import { type MailboxSettings, type StartFrom, startFromOf } from "../core/settings.ts";
import { type UidRange, type UidSet, settle, subtract, uidSet, uidSetOf } from "../core/uid-set.ts";
import type { FolderState } from "../mail/session.ts";
import type { CursorRecord, TailEntry } from "../store/store.ts";
import { commitSurely } from "./commit-outcomes.ts";
import { tailHash } from "./deliver-message.ts";
import type { FolderContext } from "./folder-context.ts";
import { readHeader, readMetadata } from "./reading/read.ts";
import { givenUpReason } from "./reading/suspects.ts";

/** Mail this much older than the newest known is not taken for new after a reset. */
const FLOOR_SLACK_MS = 24 * 3_600_000;

/** A tail of this many entries reaches back no further than its oldest. */
const FULL_TAIL = 1000;

/** Metadata is read in batches of this size. */
const BATCH = 500;

const hashOfAccount = ({ imap }: MailboxSettings, key: string | Uint8Array): string =>
  createHmac("sha256", key).update(`${imap.host.toLowerCase()}\0${imap.user}`).digest("base64url");

/** Keyed by the id of the mailbox, so that every node that shares its state comes to the same. */
const accountHash = ({ mailbox }: FolderContext): string =>
  hashOfAccount(mailbox, `signalpost account ${mailbox.id}`);

/** Is it the account of this cursor? One that was written before state was shared has the store's key. */
const isSameAccount = (context: FolderContext, cursor: CursorRecord): boolean =>
  cursor.accountHash === accountHash(context) ||
  cursor.accountHash === hashOfAccount(context.mailbox, context.hmacKey);

const isUsable = ({ uidvalidity, uidnext }: FolderState): boolean =>
  uidvalidity !== "0" && uidnext !== null;

const unusable = (): MailError =>
  new MailError("uidvalidity_invalid", "UIDVALIDITY", {
    hint: "this server sends no usable UIDVALIDITY or UIDNEXT; the folder cannot be watched",
  });

const everythingUpTo = (last: number): UidSet => uidSet([[1, last] satisfies UidRange]);

const inBatches = (uids: readonly number[]): number[][] =>
  Array.from({ length: Math.ceil(uids.length / BATCH) }, (_, index) =>
    uids.slice(index * BATCH, (index + 1) * BATCH),
  );

/** Dates that could be read, and messages of which none could. */
interface Dated {
  rows: readonly MessageMetadata[];
  unread: readonly number[];
}

/**
 * Reads the dates of `uids`. What ended a connection before is read alone, what is given up by its
 * header; what is not shown, or has no header either, is `unread`: nobody knows how old it is, so the
 * caller must not settle it. Throws `SuspectError`; the next try is made with what this one taught.
 */
const readDates = async (context: FolderContext, uids: readonly number[]): Promise<Dated> => {
  const { memory } = context;
  const rows: MessageMetadata[] = [];
  const isGivenUp = (uid: number): boolean => givenUpReason(memory, uid) !== null;
  const alone = uids.filter((uid) => memory.suspects.has(uid) && !isGivenUp(uid));
  const together = uids.filter((uid) => !memory.suspects.has(uid) && !isGivenUp(uid));
  for (const uid of uids.filter(isGivenUp)) {
    const header = await readHeader(context, uid);
    if (header.kind === "read") rows.push(header.metadata);
  }
  for (const batch of [...alone.map((uid) => [uid]), ...inBatches(together)]) {
    rows.push(...(await readMetadata(context, batch, [])));
  }
  const dated = new Set(rows.map(({ uid }) => uid));
  return { rows, unread: uids.filter((uid) => !dated.has(uid)) };
};

/** UIDs whose INTERNALDATE is at or after `fromMs`; SEARCH knows only days, so dates are read. */
const since = async (context: FolderContext, fromMs: number): Promise<readonly number[]> => {
  const candidates = await context.connection.command("the search by date", (session) =>
    session.searchSince(fromMs),
  );
  const { rows, unread } = await readDates(context, candidates);
  const late = rows.filter((row) => row.internalDateMs >= fromMs).map(({ uid }) => uid);
  return [...late, ...unread];
};

const startDateMs = (context: FolderContext, date: string): number => {
  const [year = 1970, month = 1, day = 1] = date.split("-").map(Number);
  return instantOf({ year, month, day }, 0, context.hot.polling.timezone);
};

/** What is settled from the start, and since when the folder counts as watched. */
const startOf = async (
  context: FolderContext,
  startFrom: StartFrom,
  below: number,
): Promise<{ settled: UidSet; firstContactMs: number }> => {
  const all = everythingUpTo(below);
  // INTERNALDATE knows whole seconds: mail of this very second must count as later.
  const nowMs = Math.floor(context.clock.wallMs() / 1000) * 1000 - 1;
  if (startFrom.kind === "now") return { settled: all, firstContactMs: nowMs };
  if (startFrom.kind === "beginning") return { settled: [], firstContactMs: 0 };
  const firstContactMs = startDateMs(context, startFrom.date);
  const wanted = await since(context, firstContactMs);
  return { settled: subtract(all, uidSetOf(wanted)), firstContactMs };
};

const firstContact = async (context: FolderContext, folder: FolderState): Promise<void> => {
  const { mailbox, log, lease, memory, store } = context;
  const { uidvalidity } = folder;
  const below = (folder.uidnext ?? 1) - 1;
  // What an operator decided for a mailbox whose state is lost holds over the configuration.
  const adopted = await store.readAdoption(mailbox.id);
  const startFrom = adopted === null ? mailbox.startFrom : startFromOf(adopted);
  const { settled, firstContactMs } = await startOf(context, startFrom, below);
  const cursor: CursorRecord = {
    mailbox: mailbox.id,
    folder: mailbox.folder,
    uidvalidity,
    accountHash: accountHash(context),
    firstContactMs,
    ...settle({ settledUpTo: 0, settledAbove: [] }, settled),
  };
  await commitSurely(context, { mailbox: mailbox.id, fence: lease.fence, cursor });
  memory.cursor = cursor;
  log("mailbox.first_contact", {
    mailbox: mailbox.id,
    start_from: startFrom.kind,
    settled_up_to: cursor.settledUpTo,
  });
};

/** Mail from before this instant was there before, whether the tail remembers it or not. */
export const resetFloorMs = (tail: readonly TailEntry[], firstContactMs: number): number => {
  const dates = tail.map(({ internalDateMs }) => internalDateMs);
  // Reduced to a loop because a tail may hold more values than a call takes arguments.
  const newest = dates.reduce((a, b) => Math.max(a, b), -Infinity);
  const oldest = dates.reduce((a, b) => Math.min(a, b), Infinity);
  return Math.max(
    firstContactMs,
    tail.length > 0 ? newest - FLOOR_SLACK_MS : -Infinity,
    tail.length >= FULL_TAIL ? oldest : -Infinity,
  );
};

/** A message of the renumbered folder that may be one we know. */
export interface Candidate {
  uid: number;
  internalDateMs: number;
  hash: string;
}

/**
 * Tells known mail from new: each tail entry matches one message; of the others, those later than the
 * floor are new and the older ones were never ours.
 */
export const matchTail = (
  tail: readonly TailEntry[],
  candidates: readonly Candidate[],
  floorMs: number,
): { matched: Candidate[]; fresh: Candidate[]; skipped: Candidate[] } => {
  const left = new Map<string, number>();
  for (const { hash } of tail) left.set(hash, (left.get(hash) ?? 0) + 1);
  const matched: Candidate[] = [];
  const fresh: Candidate[] = [];
  const skipped: Candidate[] = [];
  for (const candidate of candidates) {
    const count = left.get(candidate.hash) ?? 0;
    if (count > 0) {
      left.set(candidate.hash, count - 1);
      matched.push(candidate);
    } else if (candidate.internalDateMs > floorMs) fresh.push(candidate);
    else skipped.push(candidate);
  }
  return { matched, fresh, skipped };
};

/** Messages that may be new: with their hashes, or unread, which counts as new. */
const candidatesSince = async (
  context: FolderContext,
  sinceMs: number,
): Promise<{ known: readonly Candidate[]; unread: readonly number[] }> => {
  const uids = await context.connection.command("the search after a reset", (session) =>
    sinceMs > 0 ? session.searchSince(sinceMs) : session.searchFrom(1),
  );
  const { rows, unread } = await readDates(context, uids);
  const known = rows
    .toSorted((a, b) => a.uid - b.uid)
    .map(({ uid, internalDateMs, sizeBytes, envelope }) => {
      const messageId = envelope?.messageId ?? null;
      return { uid, internalDateMs, hash: tailHash({ messageId, sizeBytes, internalDateMs }) };
    });
  return { known, unread };
};

/** The folder was renumbered: match what we settled before, keep what is new for the next cycles. */
const reset = async (
  context: FolderContext,
  old: CursorRecord,
  folder: FolderState,
): Promise<void> => {
  const { mailbox, log, lease, memory, metrics, store, clock } = context;
  const { uidvalidity } = folder;
  const below = (folder.uidnext ?? 1) - 1;
  const sameAccount = isSameAccount(context, old);
  // A new name of the same server must not send everything again; mail of another account matches none.
  const tail = await store.readTail(mailbox.id, mailbox.folder);
  const floorMs = resetFloorMs(tail, old.firstContactMs);
  const { known, unread } = await candidatesSince(context, floorMs);
  const { matched, fresh: later } = matchTail(tail, known, floorMs);
  const fresh = [...later.map(({ uid }) => uid), ...unread];
  const all = await context.connection.command("the count after a reset", (session) =>
    session.searchFrom(1),
  );
  // Messages listed after SELECT lie above `below` and are left to the next look.
  const settled = subtract(everythingUpTo(below), uidSetOf(fresh));
  const kept = settle({ settledUpTo: 0, settledAbove: [] }, settled);
  const cursor: CursorRecord = { ...old, ...kept, uidvalidity, accountHash: accountHash(context) };
  const settledMs = clock.wallMs();
  const { droppedTodos } = await commitSurely(context, {
    mailbox: mailbox.id,
    fence: lease.fence,
    cursor,
    tail: matched.map((candidate) => ({ ...candidate, settledMs })),
    tailMatched: matched.map(({ hash }) => hash),
  });
  memory.cursor = cursor;
  memory.pending = [];
  memory.gaps = [];
  // What was held against a UID was held against another message.
  for (const held of [memory.suspects, memory.soloDeaths, memory.failedAlone]) held.clear();
  const skipped = Math.max(0, all.length - matched.length - fresh.length);
  if (droppedTodos > 0) log("after_delivery.dropped", { mailbox: mailbox.id, count: droppedTodos });
  metrics.mailboxReset(mailbox.id, skipped);
  const counts = { matched: matched.length, fresh: fresh.length, reset_skipped: skipped };
  log("mailbox.reset", { mailbox: mailbox.id, same_account: sameAccount, ...counts });
};

/**
 * Makes sure that the cursor in memory is one of this folder as it is numbered now; sets it at first
 * contact, moves it after a reset. Rejects with `MailError` `uidvalidity_invalid` when the server's
 * numbers cannot be used.
 */
export const ensureBaseline = async (context: FolderContext): Promise<CursorRecord> => {
  const { memory, mailbox, store, connection } = context;
  memory.cursor ??= await store.readCursor(mailbox.id, mailbox.folder);
  const session = await connection.session();
  if (memory.cursor !== null && memory.comparedWith === session) return memory.cursor;
  const { folder } = session;
  // The numbers of a folder are told when it is opened; only a new session can bring better ones.
  if (!isUsable(folder)) {
    await connection.close();
    throw unusable();
  }
  if (memory.cursor === null) await firstContact(context, folder);
  else if (
    memory.cursor.uidvalidity !== folder.uidvalidity ||
    !isSameAccount(context, memory.cursor)
  ) {
    await reset(context, memory.cursor, folder);
  }
  if (memory.cursor !== null) {
    memory.cursor = { ...memory.cursor, accountHash: accountHash(context) };
  }
  if (memory.cursor === null) throw new Error("a baseline was set and is missing");
  memory.comparedWith = session;
  return memory.cursor;
};
