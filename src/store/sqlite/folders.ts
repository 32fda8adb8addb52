// What is known of a folder and of subject groups: the cursor, the tail that survives a UIDVALIDITY
// change, and the claims. Written by commits inside their transaction, read at the start of a cycle.
import type { UidSet } from "../../core/uid-set.ts";
import type { SqlDatabase } from "../sqlite-database.ts";
import type { Claim, CursorRecord, Store, TailEntry } from "../store.ts";

const TAIL_KEEP_MS = 48 * 3_600_000;
const TAIL_MIN_ROWS = 1000;
const TAIL_MAX_ROWS = 20_000;
/** One trim of a folder is short; what is over goes at the next one. */
const TAIL_TRIM_ROWS = 5000;

/** Cursors, inside a commit and out. */
export const createCursors = (
  database: SqlDatabase,
): Pick<Store, "readCursor"> & {
  put(cursor: CursorRecord, fence: number): void;
  /** Is a cursor stored under which the UIDs of this folder named other messages? */
  isRenumbered(cursor: CursorRecord): boolean;
} => {
  const read = database.prepare("SELECT * FROM cursors WHERE mailbox = ? AND folder = ?");
  const write = database.prepare(
    `INSERT OR REPLACE INTO cursors (mailbox, folder, uidvalidity, account_hash, first_contact_ms,
       settled_up_to, settled_above, fence) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
  );
  const readOther = database.prepare(
    `SELECT 1 FROM cursors
     WHERE mailbox = ? AND folder = ? AND (uidvalidity <> ? OR account_hash <> ?)`,
  );
  return {
    isRenumbered: ({ mailbox, folder, uidvalidity, accountHash }) =>
      readOther.get(mailbox, folder, uidvalidity, accountHash) !== undefined,
    readCursor: async (mailbox, folder) => {
      const row = read.get(mailbox, folder);
      if (row === undefined) return null;
      return {
        mailbox,
        folder,
        uidvalidity: String(row["uidvalidity"]),
        accountHash: String(row["account_hash"]),
        firstContactMs: Number(row["first_contact_ms"]),
        settledUpTo: Number(row["settled_up_to"]),
        settledAbove: JSON.parse(String(row["settled_above"])) as UidSet,
      };
    },
    put: (cursor, fence) => {
      write.run(
        ...[cursor.mailbox, cursor.folder, cursor.uidvalidity, cursor.accountHash],
        ...[cursor.firstContactMs, cursor.settledUpTo, JSON.stringify(cursor.settledAbove), fence],
      );
    },
  };
};

/** The tail of settled messages. */
export interface Tail extends Pick<Store, "readTail"> {
  add(cursor: CursorRecord, entries: readonly TailEntry[]): void;
  /** Takes away one entry of an older UIDVALIDITY for each hash. */
  takeMatched(cursor: CursorRecord, hashes: readonly string[]): void;
  trim(nowMs: number): void;
}

/** What leaves the tail: what is old, but for the newest thousand; and what is over the maximum. */
const createTailTrim = (database: SqlDatabase): Tail["trim"] => {
  const folders = database.prepare("SELECT mailbox, folder FROM cursors");
  const trim = database.prepare(
    `DELETE FROM tail WHERE rowid IN (
       SELECT rowid FROM (
         SELECT rowid, settled_ms FROM tail WHERE mailbox = ? AND folder = ?
         ORDER BY settled_ms DESC, rowid DESC LIMIT -1 OFFSET ?)
       WHERE settled_ms < ? LIMIT ?)`,
  );
  return (nowMs) => {
    for (const { mailbox = null, folder = null } of folders.all()) {
      trim.run(mailbox, folder, TAIL_MIN_ROWS, nowMs - TAIL_KEEP_MS, TAIL_TRIM_ROWS);
      trim.run(mailbox, folder, TAIL_MAX_ROWS, Number.MAX_SAFE_INTEGER, TAIL_TRIM_ROWS);
    }
  };
};

/** The tails of all folders. */
export const createTail = (database: SqlDatabase): Tail => {
  const read = database.prepare(
    `SELECT uid, uidvalidity, internal_date_ms, hash, settled_ms FROM tail
     WHERE mailbox = ? AND folder = ? ORDER BY settled_ms DESC, rowid DESC LIMIT ${TAIL_MAX_ROWS}`,
  );
  const add = database.prepare(
    `INSERT OR IGNORE INTO tail (mailbox, folder, uidvalidity, uid, hash, internal_date_ms,
       settled_ms) VALUES (?, ?, ?, ?, ?, ?, ?)`,
  );
  const take = database.prepare(
    `DELETE FROM tail WHERE rowid = (
       SELECT rowid FROM tail WHERE mailbox = ? AND folder = ? AND hash = ? AND uidvalidity <> ?
       LIMIT 1)`,
  );
  return {
    readTail: async (mailbox, folder) =>
      read.all(mailbox, folder).map((row) => ({
        uid: Number(row["uid"]),
        uidvalidity: String(row["uidvalidity"]),
        internalDateMs: Number(row["internal_date_ms"]),
        hash: String(row["hash"]),
        settledMs: Number(row["settled_ms"]),
      })),
    add: ({ mailbox, folder, uidvalidity }, entries) => {
      for (const { uid, hash, internalDateMs, settledMs } of entries) {
        add.run(mailbox, folder, uidvalidity, uid, hash, internalDateMs, settledMs);
      }
    },
    takeMatched: ({ mailbox, folder, uidvalidity }, hashes) => {
      for (const hash of hashes) take.run(mailbox, folder, hash, uidvalidity);
    },
    trim: createTailTrim(database),
  };
};

/** Claims of subject groups. */
export const createClaims = (
  database: SqlDatabase,
): Pick<Store, "readClaims"> & {
  /** The first to claim wins until its claim expires. */
  put(claims: readonly Claim[], nowMs: number): void;
  trim(nowMs: number): void;
} => {
  const read = database.prepare(
    `SELECT key, event_id FROM claims
     WHERE key IN (SELECT value FROM json_each(?)) AND expires_ms > ?`,
  );
  const write = database.prepare(
    `INSERT INTO claims (key, event_id, expires_ms) VALUES (?, ?, ?)
     ON CONFLICT DO UPDATE SET event_id = excluded.event_id, expires_ms = excluded.expires_ms
     WHERE claims.expires_ms <= ? OR claims.event_id = excluded.event_id`,
  );
  const trim = database.prepare("DELETE FROM claims WHERE expires_ms <= ?");
  return {
    readClaims: async (keys, nowMs) => {
      const rows = read.all(JSON.stringify(keys), nowMs);
      return new Map(rows.map((row) => [String(row["key"]), String(row["event_id"])]));
    },
    put: (claims, nowMs) => {
      for (const { key, eventId, expiresMs } of claims) write.run(key, eventId, expiresMs, nowMs);
    },
    trim: (nowMs) => void trim.run(nowMs),
  };
};
