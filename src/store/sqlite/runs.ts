// Who runs what: the mark of a mailbox that is being polled with the UIDs suspected to end its process,
// the messages an operator wants sent again, the live row of each daemon, and when a mailbox was named
// last. Called by the mailbox loop, by the command that asks for redelivery, and by status.
import type { SqlDatabase } from "../sqlite-database.ts";
import type { Store } from "../store.ts";
import type { FencedTransaction, Transaction } from "./fence.ts";

const NODE_KEEP_MS = 86_400_000;

/** Nobody named a mailbox for so long: no process ran, or the wall clock jumped. */
const SILENCE_MS = 600_000;

/** The mark of a running poller, and its suspects. */
export const createRuns = (
  database: SqlDatabase,
  fenced: FencedTransaction,
): Pick<Store, "beginRun" | "endRun" | "writeSuspects"> => {
  const readMark = database.prepare("SELECT 1 FROM runs WHERE mailbox = ?");
  const setMark = database.prepare("INSERT OR REPLACE INTO runs (mailbox, fence) VALUES (?, ?)");
  const clearMark = database.prepare("DELETE FROM runs WHERE mailbox = ?");
  const readSuspects = database.prepare(
    "SELECT uid, solo_deaths FROM suspects WHERE mailbox = ? ORDER BY uid",
  );
  const clearSuspects = database.prepare("DELETE FROM suspects WHERE mailbox = ?");
  const addSuspect = database.prepare(
    "INSERT OR REPLACE INTO suspects (mailbox, uid, solo_deaths) VALUES (?, ?, ?)",
  );
  return {
    beginRun: async (mailbox, fence) =>
      fenced({ mailbox, fence }, () => {
        const unclean = readMark.get(mailbox) !== undefined;
        setMark.run(mailbox, fence);
        const suspects = readSuspects.all(mailbox).map((row) => ({
          uid: Number(row["uid"]),
          soloDeaths: Number(row["solo_deaths"]),
        }));
        return { unclean, suspects };
      }),
    endRun: async (mailbox, fence) => fenced({ mailbox, fence }, () => void clearMark.run(mailbox)),
    writeSuspects: async (mailbox, fence, suspects) =>
      fenced({ mailbox, fence }, () => {
        clearSuspects.run(mailbox);
        for (const { uid, soloDeaths } of suspects) addSuspect.run(mailbox, uid, soloDeaths);
      }),
  };
};

/** What an operator wants sent again. */
export const createRedeliveries = (
  database: SqlDatabase,
  { transaction, fenced }: { transaction: Transaction; fenced: FencedTransaction },
): Pick<
  Store,
  "requestRedelivery" | "redeliveryMailboxes" | "readRedeliveries" | "clearRedeliveries"
> => {
  const add = database.prepare("INSERT OR IGNORE INTO redeliveries (mailbox, uid) VALUES (?, ?)");
  const list = database.prepare("SELECT uid FROM redeliveries WHERE mailbox = ? ORDER BY uid");
  const mailboxes = database.prepare("SELECT DISTINCT mailbox FROM redeliveries ORDER BY mailbox");
  const clear = database.prepare("DELETE FROM redeliveries WHERE mailbox = ? AND uid = ?");
  return {
    redeliveryMailboxes: async () => mailboxes.all().map((row) => String(row["mailbox"])),
    requestRedelivery: async (mailbox, uids) =>
      transaction(() => {
        for (const uid of uids) add.run(mailbox, uid);
      }),
    readRedeliveries: async (mailbox) => list.all(mailbox).map((row) => Number(row["uid"])),
    clearRedeliveries: async (mailbox, fence, uids) =>
      fenced({ mailbox, fence }, () => {
        for (const uid of uids) clear.run(mailbox, uid);
      }),
  };
};

/** Forgets, inside a commit, which UIDs were suspects or to be sent again. */
export interface ForgetUids {
  /** These are settled. */
  these(mailbox: string, uids: readonly number[]): void;
  /** They name other messages now. */
  all(mailbox: string): void;
}

/** Forgetting UIDs, inside a commit. */
export const createForgetUids = (database: SqlDatabase): ForgetUids => {
  const tables = ["suspects", "redeliveries"];
  const forgetAll = tables.map((table) =>
    database.prepare(`DELETE FROM ${table} WHERE mailbox = ?`),
  );
  const forgetThese = tables.map((table) =>
    database.prepare(
      `DELETE FROM ${table} WHERE mailbox = ? AND uid IN (SELECT value FROM json_each(?))`,
    ),
  );
  return {
    these: (mailbox, uids) => {
      for (const statement of forgetThese) statement.run(mailbox, JSON.stringify(uids));
    },
    all: (mailbox) => {
      for (const statement of forgetAll) statement.run(mailbox);
    },
  };
};

/** The live rows of daemons; those of a day ago are trimmed. */
export const createNodes = (
  database: SqlDatabase,
): Pick<Store, "writeNode" | "readNodes"> & { trim(nowMs: number): void } => {
  const write = database.prepare(
    "INSERT OR REPLACE INTO nodes (node, live, wall_ms) VALUES (?, ?, ?)",
  );
  const list = database.prepare("SELECT node, live, wall_ms FROM nodes ORDER BY node");
  const trim = database.prepare("DELETE FROM nodes WHERE wall_ms < ?");
  return {
    writeNode: async (node, live, wallMs) => void write.run(node, live, wallMs),
    readNodes: async () =>
      list.all().map((row) => ({
        node: String(row["node"]),
        live: String(row["live"]),
        wallMs: Number(row["wall_ms"]),
      })),
    trim: (nowMs) => void trim.run(nowMs - NODE_KEEP_MS),
  };
};

/** When a process named each mailbox last. */
export const createNames = (
  database: SqlDatabase,
  transaction: Transaction,
): Pick<Store, "nameMailboxes" | "lastNamedMs"> => {
  const newest = database.prepare("SELECT max(wall_ms) AS wall_ms FROM named");
  const moveOn = database.prepare("UPDATE named SET wall_ms = wall_ms + ?");
  const name = database.prepare("INSERT OR REPLACE INTO named (mailbox, wall_ms) VALUES (?, ?)");
  const read = database.prepare("SELECT wall_ms FROM named WHERE mailbox = ?");
  return {
    nameMailboxes: async (mailboxes, wallMs) =>
      transaction(() => {
        const silenceMs = wallMs - Number(newest.get()?.["wall_ms"] ?? wallMs);
        if (silenceMs > SILENCE_MS) moveOn.run(silenceMs);
        for (const mailbox of mailboxes) name.run(mailbox, wallMs);
      }),
    lastNamedMs: async (mailbox) => {
      const row = read.get(mailbox);
      return row === undefined ? null : Number(row["wall_ms"]);
    },
  };
};
