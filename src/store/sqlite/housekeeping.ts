// The store's upkeep: trims what is past its keep, gives free pages back, and empties the write-ahead
// log after payloads were deleted, so that no content outlives its spool row on the medium. Called once
// a minute by the daemon.
import type { SqlDatabase } from "../sqlite-database.ts";
import type { Store } from "../store.ts";
import type { Transaction } from "./fence.ts";

const TRUNCATE_EVERY_MS = 60_000;

/** Empties the log when payloads were deleted since the last time it was emptied, by any process. */
const createTruncation = (database: SqlDatabase): ((nowMs: number) => void) => {
  const deleted = database.prepare("SELECT value FROM meta WHERE name = 'payloads_deleted'");
  const timeout = database.prepare("PRAGMA busy_timeout");
  const truncate = database.prepare("PRAGMA wal_checkpoint(TRUNCATE)");
  // Nothing is known of the log that a former process left: the first time always empties it.
  let truncatedAt = -1;
  let triedMs = Number.NEGATIVE_INFINITY;
  return (nowMs) => {
    const count = Number(deleted.get()?.["value"]);
    if (count === truncatedAt || Math.abs(nowMs - triedMs) < TRUNCATE_EVERY_MS) return;
    triedMs = nowMs;
    const waitMs = Number(timeout.get()?.["timeout"]);
    // A reader in another process would hold up the whole loop for the busy timeout: try, never wait.
    database.exec("PRAGMA busy_timeout = 0");
    try {
      if (truncate.get()?.["busy"] === 0) truncatedAt = count;
    } finally {
      database.exec(`PRAGMA busy_timeout = ${waitMs}`);
    }
  };
};

/** The `housekeep` of the contract; `trims` run in one transaction. */
export const createHousekeeping = (
  database: SqlDatabase,
  transaction: Transaction,
  trims: readonly ((nowMs: number) => void)[],
): Pick<Store, "housekeep"> => {
  const truncateLog = createTruncation(database);
  return {
    housekeep: async (nowMs) => {
      transaction(() => {
        for (const trim of trims) trim(nowMs);
      });
      database.exec("PRAGMA incremental_vacuum(200)");
      truncateLog(nowMs);
    },
  };
};
