// The tables of the SQLite store and the version they have. Content of a mail stands in one column
// only, `spool_payload.payload`; everything else is ids, numbers and words from closed lists. Called
// once by createSqliteStore, before anything is prepared.
import { AppError } from "../../core/errors.ts";
import type { Random } from "../../core/random.ts";
import type { SqlDatabase } from "../sqlite-database.ts";
import type { Transaction } from "./fence.ts";

// The version of the tables below, all of them together.
const SCHEMA_VERSION = 2;

// The spool keeps its payloads apart, so that touching a row (a new attempt, a destination that is due
// again) never reads or rewrites megabytes. Steps and pairs are small JSON objects that only we read.
// Instants are REAL because a clock may tell fractions of a millisecond, which INTEGER would refuse.
const TABLES = `
  CREATE TABLE meta (name TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID;

  CREATE TABLE fences (mailbox TEXT PRIMARY KEY, issued INTEGER NOT NULL, writes INTEGER NOT NULL)
    STRICT, WITHOUT ROWID;
  CREATE TABLE runs (mailbox TEXT PRIMARY KEY, fence INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE suspects (
    mailbox TEXT NOT NULL, uid INTEGER NOT NULL, solo_deaths INTEGER NOT NULL,
    PRIMARY KEY (mailbox, uid)) STRICT, WITHOUT ROWID;
  CREATE TABLE redeliveries (
    mailbox TEXT NOT NULL, uid INTEGER NOT NULL, PRIMARY KEY (mailbox, uid)) STRICT, WITHOUT ROWID;

  CREATE TABLE cursors (
    mailbox TEXT NOT NULL, folder TEXT NOT NULL, uidvalidity TEXT NOT NULL,
    account_hash TEXT NOT NULL, first_contact_ms REAL NOT NULL, settled_up_to INTEGER NOT NULL,
    settled_above TEXT NOT NULL, fence INTEGER NOT NULL,
    PRIMARY KEY (mailbox, folder)) STRICT, WITHOUT ROWID;
  CREATE TABLE tail (
    mailbox TEXT NOT NULL, folder TEXT NOT NULL, uidvalidity TEXT NOT NULL, uid INTEGER NOT NULL,
    hash TEXT NOT NULL, internal_date_ms REAL NOT NULL, settled_ms REAL NOT NULL,
    UNIQUE (mailbox, folder, hash, uidvalidity, uid)) STRICT;
  CREATE INDEX tail_by_age ON tail (mailbox, folder, settled_ms);
  CREATE TABLE claims (key TEXT PRIMARY KEY, event_id TEXT NOT NULL, expires_ms REAL NOT NULL)
    STRICT, WITHOUT ROWID;

  CREATE TABLE receipts (
    event_id TEXT PRIMARY KEY, mailbox TEXT NOT NULL, folder TEXT NOT NULL,
    uidvalidity TEXT NOT NULL, uid INTEGER NOT NULL, outcome TEXT NOT NULL, reason TEXT,
    reduced INTEGER NOT NULL, pairs TEXT NOT NULL, steps TEXT NOT NULL, todo INTEGER NOT NULL,
    settled_ms REAL NOT NULL) STRICT;
  CREATE INDEX receipts_by_age ON receipts (settled_ms);
  CREATE INDEX receipts_owed ON receipts (mailbox, folder, uidvalidity, uid) WHERE todo = 1;
  CREATE TABLE tallies (
    mailbox TEXT NOT NULL, outcome TEXT NOT NULL, count INTEGER NOT NULL,
    PRIMARY KEY (mailbox, outcome)) STRICT, WITHOUT ROWID;

  CREATE TABLE spool (
    event_id TEXT NOT NULL, destination TEXT NOT NULL, mailbox TEXT NOT NULL, uid INTEGER NOT NULL,
    state TEXT NOT NULL, attempts INTEGER NOT NULL, counted INTEGER NOT NULL,
    next_attempt_ms REAL NOT NULL, error_class TEXT, reason TEXT, since_ms REAL NOT NULL,
    parked_ms REAL, size_bytes INTEGER NOT NULL, key_id TEXT,
    PRIMARY KEY (event_id, destination)) STRICT;
  CREATE INDEX spool_by_age ON spool (mailbox, state, since_ms);
  CREATE TABLE spool_payload (
    event_id TEXT NOT NULL, destination TEXT NOT NULL, payload BLOB NOT NULL,
    PRIMARY KEY (event_id, destination)) STRICT;

  CREATE TABLE nodes (node TEXT PRIMARY KEY, live TEXT NOT NULL, wall_ms REAL NOT NULL)
    STRICT, WITHOUT ROWID;
  CREATE TABLE named (mailbox TEXT PRIMARY KEY, wall_ms REAL NOT NULL) STRICT, WITHOUT ROWID;
`;

// Since version 2: what operators write down, and the journal of a node that shares its state. The
// journal's cursors, tails and claims lie in the tables above.
const TABLES_OF_2 = `
  CREATE TABLE documents (
    name TEXT PRIMARY KEY, version INTEGER NOT NULL, updated_ms REAL NOT NULL,
    document TEXT NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE adoptions (mailbox TEXT PRIMARY KEY, start_from TEXT NOT NULL)
    STRICT, WITHOUT ROWID;

  CREATE TABLE journal (mailbox TEXT PRIMARY KEY, fence INTEGER NOT NULL, revision INTEGER NOT NULL)
    STRICT, WITHOUT ROWID;
  CREATE TABLE journal_open (
    mailbox TEXT NOT NULL, event_id TEXT NOT NULL, destination TEXT NOT NULL, uid INTEGER NOT NULL,
    ended INTEGER NOT NULL, PRIMARY KEY (mailbox, event_id, destination)) STRICT, WITHOUT ROWID;
  CREATE TABLE high_waters (mailbox TEXT PRIMARY KEY, fence INTEGER NOT NULL)
    STRICT, WITHOUT ROWID;
  CREATE TABLE held (
    mailbox TEXT NOT NULL, redis_id TEXT NOT NULL, PRIMARY KEY (mailbox, redis_id))
    STRICT, WITHOUT ROWID;
`;

const versionOf = (database: SqlDatabase): number | null => {
  const table = database.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'meta'").get();
  if (table === undefined) return null;
  const row = database.prepare("SELECT value FROM meta WHERE name = 'schema_version'").get();
  return Number(row?.["value"]);
};

const createTables = (database: SqlDatabase, random: Random): void => {
  database.exec(TABLES);
  database.exec(TABLES_OF_2);
  const insert = database.prepare("INSERT INTO meta (name, value) VALUES (?, ?)");
  insert.run("schema_version", SCHEMA_VERSION);
  insert.run("hmac_key", random.bytes(32));
  insert.run("payloads_deleted", 0);
};

/** From version 1, all of whose tables stay as they are. */
const migrate = (database: SqlDatabase): void => {
  database.exec(TABLES_OF_2);
  database.prepare("UPDATE meta SET value = ? WHERE name = 'schema_version'").run(SCHEMA_VERSION);
};

/**
 * Makes the tables where there are none, and adds those that an older version lacks, in place. Throws an
 * AppError `store/newer-schema` when a newer version of the program made them: writing there could break
 * what it promises.
 */
export const prepareSchema = (
  database: SqlDatabase,
  transaction: Transaction,
  random: Random,
): void => {
  const before = versionOf(database);
  if (before === null || before < SCHEMA_VERSION) {
    // Looked at again inside: another process may have made them just now.
    transaction(() => {
      const present = versionOf(database);
      if (present === null) createTables(database, random);
      else if (present === 1) migrate(database);
    });
  }
  const version = versionOf(database);
  if (version === SCHEMA_VERSION) return;
  throw new AppError(
    "store/newer-schema",
    `the state has schema version ${version}; this program knows ${SCHEMA_VERSION}`,
    { hint: "start the newer version of signalpost again, or set data_dir to another directory" },
  );
};
