// Receipts: what became of each message, the counts by present outcome, and the `after_delivery`
// actions still owed. Each message counts once, under its latest outcome, also after its receipt is
// trimmed. Written by commits and by the spool inside their transactions; read by commands and the API.
import type { Outcome, PairState } from "../../core/outcome.ts";
import type { SqlDatabase } from "../sqlite-database.ts";
import { withPair } from "../spool-rules.ts";
import type { FencedTransaction } from "./fence.ts";
import type { OutcomeCounts, Receipt, Store } from "../store.ts";

const KEEP_MS = 30 * 86_400_000;
const KEEP_ROWS = 100_000;
/** One trim is short; what is over goes at the next one. */
const TRIM_ROWS = 5000;

interface ReceiptRow {
  event_id: string;
  mailbox: string;
  folder: string;
  uidvalidity: string;
  uid: number;
  outcome: Outcome;
  reason: string | null;
  reduced: number;
  pairs: string;
  steps: string;
  todo: number;
  settled_ms: number;
}

const receiptOf = (row: ReceiptRow): Receipt => ({
  eventId: row.event_id,
  mailbox: row.mailbox,
  folder: row.folder,
  uidvalidity: row.uidvalidity,
  uid: row.uid,
  outcome: row.outcome,
  reason: row.reason,
  reduced: row.reduced === 1,
  pairs: JSON.parse(row.pairs) as Receipt["pairs"],
  steps: JSON.parse(row.steps) as Receipt["steps"],
  todo: row.todo === 1,
  settledMs: row.settled_ms,
});

/** What other parts of the store do to receipts, inside their transactions. */
export interface ReceiptWrites {
  find(eventId: string): Receipt | null;
  /** Writes `after` in the place of `before`, the receipt found for the same event; its count moves. */
  put(before: Receipt | null, after: Receipt): void;
  /** Sets the state of one pair and recomputes the outcome; without a receipt it does nothing. */
  movePair(eventId: string, destination: string, state: PairState): void;
  /** Takes a receipt away, and the message out of the counts: it is counted elsewhere. */
  moveAway(eventId: string): void;
  /** Trims what is past its keep, a limited number at a time. */
  trim(nowMs: number): void;
}

/** Moves the counts; `reduced` is counted beside the outcomes. */
const createTallies = (database: SqlDatabase) => {
  const add = database.prepare(
    `INSERT INTO tallies (mailbox, outcome, count) VALUES (?, ?, ?)
     ON CONFLICT DO UPDATE SET count = count + excluded.count`,
  );
  const count = (receipt: Receipt, by: 1 | -1): void => {
    add.run(receipt.mailbox, receipt.outcome, by);
    if (receipt.reduced) add.run(receipt.mailbox, "reduced", by);
  };
  return (before: Receipt | null, after: Receipt | null): void => {
    if (before?.outcome === after?.outcome && before?.reduced === after?.reduced) return;
    if (before !== null) count(before, -1);
    if (after !== null) count(after, 1);
  };
};

const createTrim = (database: SqlDatabase): ReceiptWrites["trim"] => {
  const count = database.prepare("SELECT count(*) AS rows FROM receipts");
  const trim = database.prepare(
    `DELETE FROM receipts WHERE event_id IN (
       SELECT event_id FROM receipts AS old
       WHERE settled_ms < ? AND todo = 0
         AND NOT EXISTS (SELECT 1 FROM spool WHERE spool.event_id = old.event_id)
       ORDER BY settled_ms LIMIT ?)`,
  );
  return (nowMs) => {
    trim.run(nowMs - KEEP_MS, TRIM_ROWS);
    const over = Number(count.get()?.["rows"]) - KEEP_ROWS;
    if (over > 0) trim.run(Number.MAX_SAFE_INTEGER, Math.min(over, TRIM_ROWS));
  };
};

/** The writing half. */
export const createReceiptWrites = (database: SqlDatabase): ReceiptWrites => {
  const read = database.prepare("SELECT * FROM receipts WHERE event_id = ?");
  const write = database.prepare(
    `INSERT OR REPLACE INTO receipts (event_id, mailbox, folder, uidvalidity, uid, outcome, reason,
       reduced, pairs, steps, todo, settled_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  );
  const remove = database.prepare("DELETE FROM receipts WHERE event_id = ?");
  const tally = createTallies(database);
  const find: ReceiptWrites["find"] = (eventId) => {
    const row = read.get(eventId) as ReceiptRow | undefined;
    return row === undefined ? null : receiptOf(row);
  };
  const put: ReceiptWrites["put"] = (before, after) => {
    tally(before, after);
    write.run(
      ...[after.eventId, after.mailbox, after.folder, after.uidvalidity, after.uid, after.outcome],
      ...[after.reason, Number(after.reduced), JSON.stringify(after.pairs)],
      ...[JSON.stringify(after.steps), Number(after.todo), after.settledMs],
    );
  };
  return {
    find,
    put,
    movePair: (eventId, destination, state) => {
      const before = find(eventId);
      if (before !== null) put(before, withPair(before, destination, state));
    },
    moveAway: (eventId) => {
      tally(find(eventId), null);
      remove.run(eventId);
    },
    trim: createTrim(database),
  };
};

/** The reading half. */
export const createReceiptReads = (
  database: SqlDatabase,
  { find }: ReceiptWrites,
): Pick<Store, "readReceipts" | "readReceipt" | "counts"> => {
  const list = database.prepare(
    `SELECT * FROM receipts WHERE mailbox = coalesce(?, mailbox) AND uid = coalesce(?, uid)
     ORDER BY settled_ms DESC, rowid DESC LIMIT ?`,
  );
  const tallies = database.prepare("SELECT outcome, count FROM tallies WHERE mailbox = ?");
  return {
    readReceipts: async ({ mailbox, uid, last }) =>
      list
        .all(mailbox ?? null, uid ?? null, last)
        .map((row) => receiptOf(row as unknown as ReceiptRow)),
    readReceipt: async (eventId) => find(eventId),
    counts: async (mailbox): Promise<OutcomeCounts> => {
      const rows = tallies.all(mailbox);
      const of = new Map(rows.map((row) => [row["outcome"], Number(row["count"])]));
      return {
        delivered: of.get("delivered") ?? 0,
        filtered: of.get("filtered") ?? 0,
        parked: of.get("parked") ?? 0,
        gone: of.get("gone") ?? 0,
        reduced: of.get("reduced") ?? 0,
      };
    },
  };
};

/** What is owed after delivery. */
export const createTodos = (
  database: SqlDatabase,
  fenced: FencedTransaction,
): Pick<Store, "openTodos" | "closeTodos"> & {
  /** Inside a commit: nothing is owed in this folder any more; returns how much was. */
  dropAll(mailbox: string, folder: string): number;
} => {
  const open = database.prepare(
    `SELECT event_id, uid FROM receipts
     WHERE todo = 1 AND outcome = 'delivered' AND mailbox = ? AND folder = ? AND uidvalidity = ?
     ORDER BY uid LIMIT ?`,
  );
  const close = database.prepare("UPDATE receipts SET todo = 0 WHERE mailbox = ? AND event_id = ?");
  const drop = database.prepare(
    "UPDATE receipts SET todo = 0 WHERE todo = 1 AND mailbox = ? AND folder = ?",
  );
  return {
    openTodos: async ({ mailbox, folder, uidvalidity, limit }) =>
      open
        .all(mailbox, folder, uidvalidity, limit)
        .map((row) => ({ eventId: String(row["event_id"]), uid: Number(row["uid"]) })),
    closeTodos: async (mailbox, fence, eventIds) =>
      fenced({ mailbox, fence }, () => {
        for (const eventId of eventIds) close.run(mailbox, eventId);
      }),
    dropAll: (mailbox, folder) => Number(drop.run(mailbox, folder).changes),
  };
};
