// Who may write: transactions, and the fence that each of them checks. A stale holder never gets past a
// fenced transaction. Called by the other parts of the SQLite store.
import { AppError, FencedError } from "../../core/errors.ts";
import type { SqlDatabase } from "../sqlite-database.ts";
import type { Store } from "../store.ts";

/** Runs `work` between BEGIN IMMEDIATE and COMMIT; whatever throws, COMMIT included, rolls back. */
export type Transaction = <T>(work: () => T) => T;

/** A write under a fence. */
export interface Holder {
  mailbox: string;
  fence: number;
}

/** A transaction that throws `FencedError` when a newer fence was issued for the mailbox. */
export type FencedTransaction = <T>(holder: Holder, work: () => T) => T;

/** Transactions on one database. */
export const createTransaction =
  (database: SqlDatabase): Transaction =>
  (work) => {
    database.exec("BEGIN IMMEDIATE");
    try {
      const result = work();
      database.exec("COMMIT");
      return result;
    } catch (error) {
      try {
        database.exec("ROLLBACK");
      } catch {
        // A full disk or an I/O error has rolled back already; the first error is the one to tell.
      }
      throw error;
    }
  };

const gone = (): AppError =>
  new AppError("store/database-gone", "the database was deleted or replaced under the program", {
    hint: "put the data directory back as it was, or stop the program and start it anew",
  });

/**
 * Transactions under a fence. The check is itself a write, so even an empty one proves that the medium
 * takes writes.
 */
export const createFencedTransaction = (
  database: SqlDatabase,
  transaction: Transaction,
): FencedTransaction => {
  const touch = database.prepare(
    `INSERT INTO fences (mailbox, issued, writes) VALUES (?, ?, 1)
     ON CONFLICT DO UPDATE SET issued = excluded.issued, writes = writes + 1
     WHERE issued <= excluded.issued`,
  );
  return ({ mailbox, fence }, work) => {
    if (!database.inPlace()) throw gone();
    return transaction(() => {
      if (Number(touch.run(mailbox, fence).changes) === 0) throw new FencedError(mailbox);
      return work();
    });
  };
};

/** The highest fence of a mailbox that this database has seen, issued here or read elsewhere; 0: none. */
export const createHighWater = (database: SqlDatabase): ((mailbox: string) => number) => {
  const highest = database.prepare(
    `SELECT max(fence) AS fence FROM (
       SELECT 0 AS fence
       UNION ALL SELECT issued FROM fences WHERE mailbox = ?1
       UNION ALL SELECT max(fence) FROM cursors WHERE mailbox = ?1
       UNION ALL SELECT fence FROM journal WHERE mailbox = ?1
       UNION ALL SELECT fence FROM high_waters WHERE mailbox = ?1 AND fence < ${2 ** 52})`,
  );
  return (mailbox) => Number(highest.get(mailbox)?.["fence"]);
};

/** Issues fences, durably: above every fence seen before, and at least the wall clock. */
export const createFences = (
  database: SqlDatabase,
  transaction: Transaction,
): Pick<Store, "issueFence"> => {
  const highWater = createHighWater(database);
  const issue = database.prepare(
    `INSERT INTO fences (mailbox, issued, writes) VALUES (?, ?, 0)
     ON CONFLICT DO UPDATE SET issued = excluded.issued`,
  );
  return {
    issueFence: async (mailbox, wallMs) =>
      transaction(() => {
        const fence = Math.max(highWater(mailbox) + 1, Math.ceil(wallMs));
        issue.run(mailbox, fence);
        return fence;
      }),
  };
};
