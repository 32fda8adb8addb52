// What a node's own store holds of a mailbox from a time alone, in portions that fit into one write of
// the shared store, and the way to forget what lies there now. Rows that no configured key opens stay
// where they are. Made by daemon/ beside the journal, called when a mailbox is published.
import type { Random } from "../../core/random.ts";
import { createSpoolCipher } from "../spool-cipher.ts";
import type { SqlDatabase } from "../sqlite-database.ts";
import { createTransaction } from "../sqlite/fence.ts";
import { createReceiptWrites } from "../sqlite/receipts.ts";
import { createOpener, OPENS, withinBytes } from "../sqlite/spool-reads.ts";
import { createSpoolWrites } from "../sqlite/spool.ts";
import type { Receipt, SpoolEntry } from "../store.ts";
import type { OpenPair } from "./shared-store.ts";
import { createOpenPairs } from "./sqlite-journal.ts";

const PORTION_ROWS = 256;
const PORTION_BYTES = 8 * 1024 * 1024;

/** Rows with the receipts of their messages, or receipts alone; both empty: nothing is left. */
export interface LocalPortion {
  spool: readonly SpoolEntry[];
  receipts: readonly Receipt[];
}

/** What lies in a node's own store and belongs into the shared one. */
export interface LocalRows {
  /** Mailboxes with rows that a configured key opens. */
  mailboxesWithRows(): Promise<readonly string[]>;
  /** At most 256 rows and 8 MiB of payload. */
  nextPortion(mailbox: string): Promise<LocalPortion>;
  /**
   * The portion lies in the shared store: takes it away here, without an outcome, and remembers its rows
   * as open pairs. A row that an operator changed meanwhile stays for the next portion.
   */
  forget(mailbox: string, portion: LocalPortion): Promise<void>;
  /** Deliveries that ended while the node was alone, and whose rows the shared spool has still. */
  ended(mailbox: string): Promise<readonly OpenPair[]>;
  forgetEnded(mailbox: string, pairs: readonly OpenPair[]): Promise<void>;
  /** Messages that an operator asked to send again while the node was alone. */
  redeliveries(mailbox: string): Promise<readonly number[]>;
  forgetRedeliveries(mailbox: string, uids: readonly number[]): Promise<void>;
}

/** Of a mailbox whose rows another process may be working with. */
export const NO_LOCAL_ROWS: LocalRows = {
  mailboxesWithRows: async () => [],
  nextPortion: async () => ({ spool: [], receipts: [] }),
  forget: async () => undefined,
  ended: async () => [],
  forgetEnded: async () => undefined,
  redeliveries: async () => [],
  forgetRedeliveries: async () => undefined,
};

/** What {@link createLocalRows} works with; the database is the one of the node's own store. */
export interface LocalRowsDeps {
  database: SqlDatabase;
  random: Random;
  spoolKeys: readonly string[];
}

/** The rows of a database that a SQLite store has prepared. */
export const createLocalRows = ({ database, random, spoolKeys }: LocalRowsDeps): LocalRows => {
  const cipher = createSpoolCipher(spoolKeys, random);
  const { opens, openEach } = createOpener(database, cipher);
  const transaction = createTransaction(database);
  const spoolWrites = createSpoolWrites(database, cipher);
  const receiptWrites = createReceiptWrites(database);
  const openPairs = createOpenPairs(database);
  const rows = database.prepare(
    `SELECT * FROM spool WHERE mailbox = ? AND ${OPENS} ORDER BY since_ms, rowid LIMIT ${PORTION_ROWS}`,
  );
  const withRows = database.prepare(
    `SELECT DISTINCT mailbox FROM spool WHERE ${OPENS} ORDER BY mailbox`,
  );
  const withoutRows = database.prepare(
    `SELECT event_id FROM receipts WHERE mailbox = ?
       AND NOT EXISTS (SELECT 1 FROM spool WHERE spool.event_id = receipts.event_id)
     LIMIT ${PORTION_ROWS}`,
  );
  const unchanged = database.prepare(
    "SELECT 1 FROM spool WHERE event_id = ? AND destination = ? AND state = ?",
  );
  const listAgain = database.prepare("SELECT uid FROM redeliveries WHERE mailbox = ? ORDER BY uid");
  const dropAgain = database.prepare("DELETE FROM redeliveries WHERE mailbox = ? AND uid = ?");

  const receiptsOf = (eventIds: Iterable<string>): readonly Receipt[] =>
    [...new Set(eventIds)].map(receiptWrites.find).filter((receipt) => receipt !== null);

  const nextRows = (mailbox: string): readonly SpoolEntry[] => {
    // A payload that turns out to be damaged is left out of the next look, so this comes to an end.
    for (;;) {
      const found = rows.all(mailbox, ...opens());
      const entries = openEach(withinBytes(found, PORTION_BYTES));
      if (entries.length > 0 || found.length === 0) return entries;
    }
  };

  return {
    mailboxesWithRows: async () => withRows.all(...opens()).map((row) => String(row["mailbox"])),
    nextPortion: async (mailbox) => {
      const spool = nextRows(mailbox);
      if (spool.length > 0) return { spool, receipts: receiptsOf(spool.map((row) => row.eventId)) };
      const eventIds = withoutRows.all(mailbox).map((row) => String(row["event_id"]));
      return { spool, receipts: receiptsOf(eventIds) };
    },
    forget: async (mailbox, { spool, receipts }) =>
      transaction(() => {
        for (const row of spool) {
          openPairs.add(mailbox, row);
          if (unchanged.get(row.eventId, row.destination, row.state) === undefined) continue;
          spoolWrites.remove(row);
        }
        for (const { eventId } of receipts) {
          if (spoolWrites.destinationsOf(eventId).length === 0) receiptWrites.moveAway(eventId);
        }
      }),
    ended: async (mailbox) => openPairs.ended(mailbox),
    forgetEnded: async (mailbox, pairs) =>
      transaction(() => {
        for (const pair of pairs) openPairs.remove(mailbox, pair);
      }),
    redeliveries: async (mailbox) => listAgain.all(mailbox).map((row) => Number(row["uid"])),
    forgetRedeliveries: async (mailbox, uids) =>
      transaction(() => {
        for (const uid of uids) dropAgain.run(mailbox, uid);
      }),
  };
};
