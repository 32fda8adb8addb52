// The spool: deliveries that wait or are parked, with their payloads. A row and the receipt of its
// message always move in one transaction. Rows are idempotent by (event id, destination). Called by
// commits, by the spool's worker and by the commands for parked deliveries.
import type { PairState } from "../../core/outcome.ts";
import type { Pair, SpoolCipher } from "../spool-cipher.ts";
import { afterAttempt, pairOfRow, parkedAs, replayed } from "../spool-rules.ts";
import type { SqlDatabase } from "../sqlite-database.ts";
import type { FencedTransaction, Transaction } from "./fence.ts";
import type { ReceiptWrites } from "./receipts.ts";
import type { PairSelector, SpoolEntry, SpoolRow, SpoolUpdate, Store } from "../store.ts";

/** What the spool's parts work with. */
export interface SpoolParts {
  database: SqlDatabase;
  transaction: Transaction;
  fenced: FencedTransaction;
  cipher: SpoolCipher;
  receipts: ReceiptWrites;
}

/** What a commit does to the spool, inside its transaction. */
export interface SpoolWrites {
  /** Adds a row; a waiting row of the same pair stays as it is, a parked one is replaced. */
  put(entry: SpoolEntry): void;
  /** Takes a row and its payload away. */
  remove(pair: Pair): void;
  /** The destinations of an event that have a row. */
  destinationsOf(eventId: string): readonly string[];
}

interface SpoolTableRow {
  event_id: string;
  destination: string;
  mailbox: string;
  uid: number;
  state: SpoolRow["state"];
  attempts: number;
  counted: number;
  next_attempt_ms: number;
  error_class: SpoolRow["errorClass"];
  reason: SpoolRow["reason"];
  since_ms: number;
  parked_ms: number | null;
}

/** A row as the table has it, in the words of the contract. */
export const spoolRowOf = (row: unknown): SpoolRow => {
  const table = row as SpoolTableRow;
  return {
    eventId: table.event_id,
    destination: table.destination,
    mailbox: table.mailbox,
    uid: table.uid,
    state: table.state,
    attempts: table.attempts,
    counted: table.counted,
    nextAttemptMs: table.next_attempt_ms,
    errorClass: table.error_class,
    reason: table.reason,
    sinceMs: table.since_ms,
    parkedMs: table.parked_ms,
  };
};

/** Adding and removing rows. */
export const createSpoolWrites = (database: SqlDatabase, cipher: SpoolCipher): SpoolWrites => {
  const columns = [
    ...["event_id", "destination", "mailbox", "uid", "state", "attempts", "counted"],
    ...[
      "next_attempt_ms",
      "error_class",
      "reason",
      "since_ms",
      "parked_ms",
      "size_bytes",
      "key_id",
    ],
  ];
  const insert = database.prepare(
    `INSERT INTO spool (${columns.join(", ")}) VALUES (${columns.map(() => "?").join(", ")})
     ON CONFLICT DO UPDATE SET ${columns.map((name) => `${name} = excluded.${name}`).join(", ")}
     WHERE spool.state = 'parked'`,
  );
  const insertPayload = database.prepare(
    "INSERT INTO spool_payload (event_id, destination, payload) VALUES (?, ?, ?)",
  );
  const removeRow = database.prepare("DELETE FROM spool WHERE event_id = ? AND destination = ?");
  const removePayload = database.prepare(
    "DELETE FROM spool_payload WHERE event_id = ? AND destination = ?",
  );
  const countRemoval = database.prepare(
    "UPDATE meta SET value = value + 1 WHERE name = 'payloads_deleted'",
  );
  const list = database.prepare("SELECT destination FROM spool WHERE event_id = ?");
  const dropPayload = ({ eventId, destination }: Pair): void => {
    if (Number(removePayload.run(eventId, destination).changes) > 0) countRemoval.run();
  };
  return {
    put: (entry) => {
      const { keyId, bytes } = cipher.seal(entry, entry.payload);
      const { changes } = insert.run(
        ...[entry.eventId, entry.destination, entry.mailbox, entry.uid, entry.state],
        ...[entry.attempts, entry.counted, entry.nextAttemptMs, entry.errorClass, entry.reason],
        ...[entry.sinceMs, entry.parkedMs, bytes.length, keyId],
      );
      if (Number(changes) === 0) return;
      dropPayload(entry);
      insertPayload.run(entry.eventId, entry.destination, bytes);
    },
    remove: (pair) => {
      removeRow.run(pair.eventId, pair.destination);
      dropPayload(pair);
    },
    destinationsOf: (eventId) => list.all(eventId).map((row) => String(row["destination"])),
  };
};

/** Writes what became of a row, and of its receipt's pair. */
const createMove = ({ database, receipts }: SpoolParts) => {
  const update = database.prepare(
    `UPDATE spool SET state = ?, attempts = ?, counted = ?, next_attempt_ms = ?, error_class = ?,
       reason = ?, since_ms = ?, parked_ms = ? WHERE event_id = ? AND destination = ?`,
  );
  return (row: SpoolRow): void => {
    update.run(
      ...[row.state, row.attempts, row.counted, row.nextAttemptMs, row.errorClass, row.reason],
      ...[row.sinceMs, row.parkedMs, row.eventId, row.destination],
    );
    receipts.movePair(row.eventId, row.destination, pairOfRow(row));
  };
};

/** After attempts: the results of the lease's holder. */
export const createSpoolUpdates = (
  parts: SpoolParts,
  writes: SpoolWrites,
): Pick<Store, "updateSpool" | "makeDue"> => {
  const { database, fenced, receipts, transaction } = parts;
  const find = database.prepare(
    "SELECT * FROM spool WHERE mailbox = ? AND event_id = ? AND destination = ?",
  );
  const due = database.prepare(
    `UPDATE spool SET next_attempt_ms = ?1
     WHERE destination = ?2 AND state = 'waiting' AND next_attempt_ms > ?1`,
  );
  const move = createMove(parts);
  const apply = (mailbox: string, update: SpoolUpdate): void => {
    const found = find.get(mailbox, update.eventId, update.destination);
    // Dropped meanwhile by an operator: the result of the attempt has nothing to be written to.
    if (found === undefined) return;
    if (update.kind === "delivered") {
      const { eventId, destination, attempts } = update;
      writes.remove(update);
      receipts.movePair(eventId, destination, { kind: "delivered", attempts });
    } else move(afterAttempt(spoolRowOf(found), update));
  };
  return {
    updateSpool: async (mailbox, fence, updates) =>
      fenced({ mailbox, fence }, () => {
        for (const update of updates) apply(mailbox, update);
      }),
    makeDue: async (destination, nowMs) => transaction(() => void due.run(nowMs, destination)),
  };
};

// Rows that one transaction of an operator's decision changes: to drop thousands of payloads at once
// would hold up the daemon's commits, and swell the log of a disk that may be full already.
const DECISION_ROWS = 100;

/** What operators do, from any process and without a lease: replay, drop, park for good. */
export const createSpoolDecisions = (
  parts: SpoolParts,
  writes: SpoolWrites,
): Pick<Store, "replay" | "drop" | "parkMailbox"> => {
  const { database, receipts, transaction } = parts;
  const parked = database.prepare(
    `SELECT * FROM spool WHERE state = 'parked'
     AND event_id = coalesce(?, event_id) AND destination = coalesce(?, destination)`,
  );
  const waiting = database.prepare("SELECT * FROM spool WHERE mailbox = ? AND state = 'waiting'");
  const find = database.prepare(
    "SELECT * FROM spool WHERE event_id = ? AND destination = ? AND state = ?",
  );
  const move = createMove(parts);
  const select = (selector: PairSelector): readonly SpoolRow[] =>
    (selector === "all"
      ? parked.all(null, null)
      : parked.all(selector.eventId, selector.destination)
    ).map(spoolRowOf);
  const decide = (rows: readonly SpoolRow[], change: (row: SpoolRow) => void): number => {
    let changed = 0;
    for (let first = 0; first < rows.length; first += DECISION_ROWS) {
      transaction(() => {
        for (const { eventId, destination, state } of rows.slice(first, first + DECISION_ROWS)) {
          // Read again inside: the daemon may have changed the row since the list was made.
          const row = find.get(eventId, destination, state);
          if (row === undefined) continue;
          change(spoolRowOf(row));
          changed += 1;
        }
      });
    }
    return changed;
  };
  const drop = (row: SpoolRow): void => {
    writes.remove(row);
    const dropped: PairState = { kind: "dropped", attempts: row.attempts };
    receipts.movePair(row.eventId, row.destination, dropped);
  };
  return {
    replay: async (selector, nowMs) =>
      decide(select(selector), (row) => move(replayed(row, nowMs))),
    drop: async (selector) => decide(select(selector), drop),
    parkMailbox: async (mailbox, reason, nowMs) =>
      decide(waiting.all(mailbox).map(spoolRowOf), (row) => move(parkedAs(row, reason, nowMs))),
  };
};
