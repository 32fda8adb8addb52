// The journal in the database of a node's own store. Cursors, tails, claims and documents lie in the very
// tables of that store, so that a node that goes on alone stands where the shared state stood. Made by
// daemon/ beside the store; written after every shared write, read when Redis lost something.
import type { SqlDatabase } from "../sqlite-database.ts";
import { createDocumentCopy, createDocuments } from "../sqlite/documents.ts";
import { createHighWater, createTransaction } from "../sqlite/fence.ts";
import { createClaims, createCursors, createTail } from "../sqlite/folders.ts";
import type { CursorRecord, TailRecord } from "../store.ts";
import type { Journal, JournalFacts } from "./journal.ts";
import { isNewer, type OpenPair, type StateVersion } from "./shared-store.ts";

/**
 * The deliveries that a node knows to lie in the shared spool, one small row each, without content. They
 * tell after a loss of Redis which messages were settled only because a row of the spool was there. To be
 * called inside a transaction.
 */
export interface OpenPairs {
  list(mailbox: string): readonly OpenPair[];
  add(mailbox: string, pair: OpenPair): void;
  remove(mailbox: string, pair: Pick<OpenPair, "eventId" | "destination">): void;
  /** Takes all away but those that ended alone. */
  clear(mailbox: string): void;
  /** It was delivered while the node was alone: the shared spool has its row still. */
  end(mailbox: string, pair: Pick<OpenPair, "eventId" | "destination">): void;
  ended(mailbox: string): readonly OpenPair[];
}

/** The open pairs in a database that a SQLite store has prepared. */
export const createOpenPairs = (database: SqlDatabase): OpenPairs => {
  const list = database.prepare(
    "SELECT event_id, destination, uid FROM journal_open WHERE mailbox = ? AND ended = ?",
  );
  const add = database.prepare(
    `INSERT INTO journal_open (mailbox, event_id, destination, uid, ended) VALUES (?, ?, ?, ?, 0)
     ON CONFLICT DO UPDATE SET uid = excluded.uid`,
  );
  const remove = database.prepare(
    "DELETE FROM journal_open WHERE mailbox = ? AND event_id = ? AND destination = ?",
  );
  const end = database.prepare(
    "UPDATE journal_open SET ended = 1 WHERE mailbox = ? AND event_id = ? AND destination = ?",
  );
  const clear = database.prepare("DELETE FROM journal_open WHERE mailbox = ? AND ended = 0");
  const pairsOf = (mailbox: string, ended: 0 | 1): readonly OpenPair[] =>
    list.all(mailbox, ended).map((row) => ({
      eventId: String(row["event_id"]),
      destination: String(row["destination"]),
      uid: Number(row["uid"]),
    }));
  return {
    list: (mailbox) => pairsOf(mailbox, 0),
    ended: (mailbox) => pairsOf(mailbox, 1),
    end: (mailbox, { eventId, destination }) => void end.run(mailbox, eventId, destination),
    add: (mailbox, { eventId, destination, uid }) =>
      void add.run(mailbox, eventId, destination, uid),
    remove: (mailbox, { eventId, destination }) => void remove.run(mailbox, eventId, destination),
    clear: (mailbox) => void clear.run(mailbox),
  };
};

/** The versions of the mailboxes, inside a transaction and out. */
const createVersions = (database: SqlDatabase) => {
  const read = database.prepare("SELECT fence, revision FROM journal WHERE mailbox = ?");
  const alone = database.prepare("SELECT max(fence) AS fence FROM cursors WHERE mailbox = ?");
  const write = database.prepare(
    "INSERT OR REPLACE INTO journal (mailbox, fence, revision) VALUES (?, ?, ?)",
  );
  const find = (mailbox: string): StateVersion | null => {
    const row = read.get(mailbox);
    const recorded =
      row === undefined ? null : { fence: Number(row["fence"]), revision: Number(row["revision"]) };
    const fence = alone.get(mailbox)?.["fence"] ?? null;
    // A cursor that the store wrote alone carries a fence that was never recorded here.
    if (fence === null || (recorded !== null && recorded.fence >= Number(fence))) return recorded;
    return { fence: Number(fence), revision: 0 };
  };
  const put = (mailbox: string, { fence, revision }: StateVersion): void =>
    void write.run(mailbox, fence, revision);
  return {
    find,
    put,
    /** Never falls: what was recorded before stays known even where shared state has forgotten it. */
    raise: (mailbox: string, version: StateVersion): void => {
      const known = find(mailbox);
      if (known === null || isNewer(version, known)) put(mailbox, version);
    },
  };
};

/** Cursors and tails of all folders of a mailbox. */
const createFolders = (database: SqlDatabase) => {
  const list = database.prepare("SELECT folder FROM cursors WHERE mailbox = ? ORDER BY folder");
  const clear = database.prepare("DELETE FROM cursors WHERE mailbox = ?");
  const tailed = database.prepare("SELECT DISTINCT folder FROM tail WHERE mailbox = ?");
  const newest = database.prepare(
    "SELECT max(settled_ms) AS settled_ms FROM tail WHERE mailbox = ? AND folder = ?",
  );
  const cursors = createCursors(database);
  const { readTail } = createTail(database);
  const foldersOf = (statement: typeof list, mailbox: string): readonly string[] =>
    statement.all(mailbox).map((row) => String(row["folder"]));
  return {
    readCursors: async (mailbox: string): Promise<readonly CursorRecord[]> => {
      const found: CursorRecord[] = [];
      for (const folder of foldersOf(list, mailbox)) {
        const cursor = await cursors.readCursor(mailbox, folder);
        if (cursor !== null) found.push(cursor);
      }
      return found;
    },
    replaceCursors: (mailbox: string, records: readonly CursorRecord[], fence: number): void => {
      clear.run(mailbox);
      for (const record of records) cursors.put(record, fence);
    },
    readTails: async (mailbox: string): Promise<readonly (TailRecord & { folder: string })[]> => {
      const found: (TailRecord & { folder: string })[] = [];
      for (const folder of foldersOf(tailed, mailbox)) {
        const entries = await readTail(mailbox, folder);
        found.push(...entries.map((entry) => ({ ...entry, folder })));
      }
      return found.toSorted((a, b) => b.settledMs - a.settledMs);
    },
    newestTailMs: (mailbox: string, folder: string): number =>
      Number(newest.get(mailbox, folder)?.["settled_ms"] ?? 0),
  };
};

const FACTS: Readonly<Record<keyof JournalFacts, string>> = {
  redisId: "redis_id",
  marker: "redis_marker",
  hmacKey: "shared_hmac_key",
  hostId: "host_id",
  otherHostMs: "other_host_ms",
};

const createFacts = (database: SqlDatabase): Pick<Journal, "facts" | "writeFacts"> => {
  const read = database.prepare("SELECT value FROM meta WHERE name = ?");
  const write = database.prepare("INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)");
  const clear = database.prepare("DELETE FROM meta WHERE name = ?");
  const transaction = createTransaction(database);
  const valueOf = (name: keyof JournalFacts) => read.get(FACTS[name])?.["value"] ?? null;
  return {
    facts: async () => ({
      redisId: valueOf("redisId") as string | null,
      marker: valueOf("marker") as string | null,
      hmacKey: valueOf("hmacKey") as Uint8Array | null,
      hostId: valueOf("hostId") as string | null,
      otherHostMs: valueOf("otherHostMs") as number | null,
    }),
    writeFacts: async (facts) =>
      transaction(() => {
        for (const name of Object.keys(FACTS) as (keyof JournalFacts)[]) {
          const value = facts[name];
          if (value === null) clear.run(FACTS[name]);
          else if (value !== undefined) write.run(FACTS[name], value);
        }
      }),
  };
};

const createHeld = (
  database: SqlDatabase,
): Pick<Journal, "markHeld" | "hasHeld" | "highWater" | "raiseHighWater"> => {
  const mark = database.prepare("INSERT OR IGNORE INTO held (mailbox, redis_id) VALUES (?, ?)");
  const find = database.prepare("SELECT 1 FROM held WHERE mailbox = ? AND redis_id = ?");
  const raise = database.prepare(
    // What somebody wrote into a lock and nobody issued must not keep this node out for good.
    `INSERT INTO high_waters (mailbox, fence) SELECT ?1, ?2 WHERE ?2 < ${2 ** 52}
     ON CONFLICT DO UPDATE SET fence = max(fence, excluded.fence)`,
  );
  const highWater = createHighWater(database);
  return {
    markHeld: async (mailbox, redisId) => void mark.run(mailbox, redisId),
    hasHeld: async (mailbox, redisId) => find.get(mailbox, redisId) !== undefined,
    highWater: async (mailbox) => highWater(mailbox),
    raiseHighWater: async (mailbox, fence) => {
      // Asked first: this is called for every value seen in a lock, and seldom has anything to write.
      if (fence > highWater(mailbox)) raise.run(mailbox, fence);
    },
  };
};

/** Writes of what happened to shared state. */
const createRecords = (
  database: SqlDatabase,
): Pick<Journal, "read" | "version" | "readTail" | "record" | "close" | "copy" | "endAlone"> => {
  const transaction = createTransaction(database);
  const versions = createVersions(database);
  const folders = createFolders(database);
  const cursors = createCursors(database);
  const tail = createTail(database);
  const claims = createClaims(database);
  const open = createOpenPairs(database);
  return {
    read: async (mailbox) => {
      const version = versions.find(mailbox);
      if (version === null) return null;
      return { version, cursors: await folders.readCursors(mailbox), open: open.list(mailbox) };
    },
    version: async (mailbox) => versions.find(mailbox),
    readTail: folders.readTails,
    record: async (commit, version) =>
      transaction(() => {
        const { mailbox, fence, cursor, receipts = [], spool = [] } = commit;
        if (cursor !== undefined) {
          cursors.put(cursor, fence);
          tail.takeMatched(cursor, commit.tailMatched ?? []);
          tail.add(cursor, commit.tail ?? []);
        }
        claims.put(commit.claims ?? [], Math.max(0, ...receipts.map((one) => one.settledMs)));
        for (const { eventId, pairs } of receipts) {
          for (const [destination, { kind }] of Object.entries(pairs)) {
            if (kind === "delivered") open.remove(mailbox, { eventId, destination });
          }
        }
        for (const entry of spool) open.add(mailbox, entry);
        versions.raise(mailbox, version);
      }),
    close: async (mailbox, pairs, version) =>
      transaction(() => {
        for (const pair of pairs) open.remove(mailbox, pair);
        versions.raise(mailbox, version);
      }),
    endAlone: async (mailbox, pairs) =>
      transaction(() => {
        for (const pair of pairs) open.end(mailbox, pair);
      }),
    copy: async (mailbox, { version, cursors: records, open: pairs }, entries) =>
      transaction(() => {
        const known = versions.find(mailbox);
        if (known !== null && isNewer(known, version)) return;
        // Under the same fence the tail only grows at its end; after a change of holder all may be new.
        const isSameHolder = known?.fence === version.fence;
        const since = new Map(
          records.map(({ folder }) => [folder, folders.newestTailMs(mailbox, folder)]),
        );
        for (const entry of entries) {
          const cursor = records.find(({ folder }) => folder === entry.folder);
          if (cursor === undefined) continue;
          if (isSameHolder && entry.settledMs < (since.get(entry.folder) ?? 0)) continue;
          tail.add({ ...cursor, uidvalidity: entry.uidvalidity }, [entry]);
        }
        folders.replaceCursors(mailbox, records, version.fence);
        open.clear(mailbox);
        for (const pair of pairs) open.add(mailbox, pair);
        versions.put(mailbox, version);
      }),
  };
};

/**
 * A journal in a database that a SQLite store has prepared. The store goes on owning it: it closes it,
 * and it trims the tails and claims that are written here.
 */
export const createSqliteJournal = (database: SqlDatabase): Journal => {
  const transaction = createTransaction(database);
  const copyDocuments = createDocumentCopy(database, transaction);
  return {
    ...createRecords(database),
    ...createHeld(database),
    ...createFacts(database),
    documents: createDocuments(database, transaction).readDocuments,
    copyDocuments: async (documents) => copyDocuments(documents),
  };
};
