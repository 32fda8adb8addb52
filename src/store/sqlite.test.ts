// The SQLite store against the contract, on a file and on memory, and what only SQLite can get wrong:
// the atomicity of a transaction, the files of the data directory, and what is left in them.
import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import {
  type OpenStore,
  NOW,
  cursorOf,
  dueOf,
  dueQueryOf,
  entryOf,
  many,
  receiptOf,
  repeatableRandom,
  spooledReceiptOf,
  tailEntryOf,
} from "./contract/samples.contract.ts";
import type { SqlDatabase } from "./sqlite-database.ts";
import { openSqliteFile, openSqliteMemory } from "./sqlite.adapter.ts";
import { createSqliteStore } from "./sqlite.ts";
import { storeContract } from "./store.contract.ts";
import type { Store } from "./store.ts";

const keyOf = (byte: number): string => Buffer.alloc(32, byte).toString("base64");

const storeOn = (database: SqlDatabase, spoolKeys: readonly string[] = []): Store =>
  createSqliteStore({ database, random: repeatableRandom(), spoolKeys });

const temporaryDirectory = (): { path: string } & Disposable => {
  const path = mkdtempSync(join(tmpdir(), "signalpost-store-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
};

const openOnFile =
  (spoolKeys: readonly string[] = []): OpenStore =>
  async () => {
    const directory = temporaryDirectory();
    const stores = [storeOn(openSqliteFile(directory.path), spoolKeys)];
    const [store] = stores as [Store];
    return {
      store,
      reopen: async () => {
        const another = storeOn(openSqliteFile(directory.path), spoolKeys);
        stores.push(another);
        return another;
      },
      [Symbol.asyncDispose]: async () => {
        for (const opened of stores) await opened.close();
        directory[Symbol.dispose]();
      },
    };
  };

/** A later process of a simulation finds the same memory. */
const openOnMemory: OpenStore = async () => {
  const database = openSqliteMemory();
  const store = storeOn(database);
  return {
    store,
    reopen: async () => storeOn(database),
    [Symbol.asyncDispose]: () => store.close(),
  };
};

storeContract("SQLite on a file", openOnFile());
storeContract("SQLite on a file with a spool key", openOnFile([keyOf(1)]));
storeContract("SQLite on memory", openOnMemory);

/** The same database, but a statement that `fails` names throws instead of running. */
const failing = (database: SqlDatabase, fails: { sql: string | null }): SqlDatabase => {
  const check = (sql: string): void => {
    if (fails.sql !== null && sql.includes(fails.sql)) throw new Error("database or disk is full");
  };
  return {
    exec: (sql) => {
      check(sql);
      database.exec(sql);
    },
    prepare: (sql) => {
      const statement = database.prepare(sql);
      return {
        run: (...values) => {
          check(sql);
          return statement.run(...values);
        },
        get: (...values) => statement.get(...values),
        all: (...values) => statement.all(...values),
      };
    },
    watch: (changed) => database.watch(changed),
    inPlace: () => database.inPlace(),
    close: () => database.close(),
  };
};

describe("a transaction that fails", () => {
  const points = ["COMMIT", "INTO spool ", "INTO spool_payload", "INTO receipts", "INTO tallies"];

  test.each(points)("leaves nothing when %s fails, and the store goes on", async (sql) => {
    const fails: { sql: string | null } = { sql: null };
    const store = storeOn(failing(openSqliteMemory(), fails));
    const fence = await store.issueFence("m", NOW);
    const claims = [{ key: "k", eventId: "evt_1", expiresMs: NOW + 1 }];
    await store.writeSuspects("m", fence, [{ uid: 1, soloDeaths: 1 }]);
    const commit = {
      ...{ mailbox: "m", fence, cursor: cursorOf(), claims, tail: [tailEntryOf(1)] },
      ...{ receipts: [spooledReceiptOf(1)], spool: [entryOf(1)] },
    };
    fails.sql = sql;
    await expect(store.commit(commit)).rejects.toThrow("full");
    fails.sql = null;
    expect(await store.readCursor("m", "INBOX")).toBeNull();
    expect(await store.readTail("m", "INBOX")).toEqual([]);
    expect(await store.readReceipt("evt_1")).toBeNull();
    expect((await store.readClaims(["k"], NOW)).size).toBe(0);
    expect((await store.spoolUsage()).rows).toBe(0);
    expect((await store.beginRun("m", fence)).suspects).toHaveLength(1);
    await store.commit(commit);
    expect(await store.readEntries("evt_1")).toEqual([entryOf(1)]);
    await store.close();
  });

  test("an empty commit proves that the medium takes writes", async () => {
    const fails: { sql: string | null } = { sql: null };
    const database = openSqliteMemory();
    const store = storeOn(failing(database, fails));
    const writesOf = (): unknown => database.prepare("SELECT writes FROM fences").get()?.["writes"];
    await store.commit({ mailbox: "m", fence: 1 });
    await store.commit({ mailbox: "m", fence: 1 });
    expect(writesOf()).toBe(2);
    fails.sql = "COMMIT";
    await expect(store.commit({ mailbox: "m", fence: 1 })).rejects.toThrow("full");
    expect(writesOf()).toBe(2);
    await store.close();
  });

  test("the spool rows are the last that a commit writes", async () => {
    const database = openSqliteMemory();
    const written: string[] = [];
    const recording: SqlDatabase = {
      exec: (sql) => {
        written.push(sql);
        database.exec(sql);
      },
      prepare: (sql) => {
        const statement = database.prepare(sql);
        const run: typeof statement.run = (...values) => {
          written.push(sql.trim());
          return statement.run(...values);
        };
        return { run, get: statement.get.bind(statement), all: statement.all.bind(statement) };
      },
      watch: (changed) => database.watch(changed),
      inPlace: () => true,
      close: () => database.close(),
    };
    const store = storeOn(recording);
    const [receipts, spool] = [[spooledReceiptOf(1)], [entryOf(1)]];
    await store.commit({ mailbox: "m", fence: 1, cursor: cursorOf(), receipts, spool });
    const [row, , payload, commit] = written.slice(-4);
    expect(row).toMatch(/^INSERT INTO spool \(/);
    expect(payload).toMatch(/^INSERT INTO spool_payload/);
    expect(commit).toBe("COMMIT");
    await store.close();
  });
});

describe("fences of a damaged state", () => {
  test("the fence of a cursor counts as issued, even when the record of fences is lost", async () => {
    const database = openSqliteMemory();
    const store = storeOn(database);
    await store.commit({ mailbox: "m", fence: NOW + 5, cursor: cursorOf() });
    database.exec("DELETE FROM fences");
    expect(await store.issueFence("m", NOW)).toBe(NOW + 6);
    await store.close();
  });
});

describe("two processes on one file", () => {
  test("a commit that finds the file locked fails alone, and succeeds when tried again", async () => {
    using directory = temporaryDirectory();
    const store = storeOn(openSqliteFile(directory.path));
    const neighbour = openSqliteFile(directory.path);
    neighbour.exec("BEGIN IMMEDIATE");
    const commit = { mailbox: "m", fence: 1, receipts: [receiptOf(1)] };
    await expect(store.commit(commit)).rejects.toThrow("locked");
    expect(await store.readReceipt("evt_1")).toBeNull();
    neighbour.exec("ROLLBACK");
    neighbour.close();
    await store.commit(commit);
    expect(await store.readReceipt("evt_1")).toEqual(receiptOf(1));
    await store.close();
  });
});

describe("spool keys", () => {
  test("a row opens under the key it was sealed with, whichever key is first now", async () => {
    const database = openSqliteMemory();
    await storeOn(database, [keyOf(1)]).commit({ mailbox: "m", fence: 1, spool: [entryOf(1)] });
    const rotated = storeOn(database, [keyOf(2), keyOf(1)]);
    await rotated.commit({ mailbox: "m", fence: 1, spool: [entryOf(2)] });
    expect(await dueOf(rotated)).toEqual([entryOf(1), entryOf(2)]);
    const keyIds = database.prepare("SELECT DISTINCT key_id FROM spool").all();
    expect(keyIds).toHaveLength(2);
    await rotated.close();
  });

  test("a row whose key is missing is counted, kept and holds nobody up", async () => {
    const database = openSqliteMemory();
    const sealed = [entryOf(1, { sinceMs: 0 }), entryOf(2, { sinceMs: 1 })];
    await storeOn(database, [keyOf(1)]).commit({ mailbox: "m", fence: 1, spool: sealed });
    const store = storeOn(database, [keyOf(2)]);
    await store.commit({ mailbox: "m", fence: 1, spool: [entryOf(3)] });
    const query = dueQueryOf({ limit: 1 });
    expect(await store.dueEntries(query)).toEqual([entryOf(3)]);
    expect(await store.oldestWaiting("m", "default")).toEqual(entryOf(3));
    expect(await store.readEntries("evt_1")).toEqual([]);
    expect(await store.undecryptable()).toBe(2);
    expect((await store.spoolUsage()).rows).toBe(3);
    expect(await dueOf(storeOn(database, [keyOf(2), keyOf(1)]))).toHaveLength(3);
    await store.close();
  });

  test("a damaged payload is counted with them and holds nobody up", async () => {
    const database = openSqliteMemory();
    const store = storeOn(database, [keyOf(1)]);
    const spool = [entryOf(1, { sinceMs: 0 }), entryOf(2)];
    await store.commit({ mailbox: "m", fence: 1, spool });
    database.exec("UPDATE spool_payload SET payload = x'00' WHERE event_id = 'evt_1'");
    const query = dueQueryOf({ limit: 1 });
    expect(await store.dueEntries(query)).toEqual([]);
    expect(await store.dueEntries(query)).toEqual([entryOf(2)]);
    expect(await store.undecryptable()).toBe(1);
    await store.close();
  });

  test("a key that is not 32 bytes is refused with a way out", () => {
    const database = openSqliteMemory();
    expect(() => storeOn(database, ["c2hvcnQ="])).toThrow("32 bytes");
    database.close();
  });
});

describe("housekeeping", () => {
  const canary = "canary-7f3a91";
  const bytesOf = (directory: string): string =>
    readdirSync(directory)
      .map((name) => readFileSync(join(directory, name), "latin1"))
      .join("");

  test("nothing of a delivered payload is left in any file", async () => {
    using directory = temporaryDirectory();
    const store = storeOn(openSqliteFile(directory.path));
    const spool = many(20, (uid) => entryOf(uid, { payload: canary.repeat(100 * uid) }));
    const receipts = many(20, (uid) => spooledReceiptOf(uid));
    await store.commit({ mailbox: "m", fence: 1, receipts, spool });
    expect(bytesOf(directory.path)).toContain(canary);
    await store.housekeep(NOW);
    const ends = spool.map(({ eventId, destination }) => ({ eventId, destination, attempts: 2 }));
    const delivered = ends.map((end) => ({ ...end, kind: "delivered" as const }));
    await store.updateSpool("m", 1, delivered);
    await store.housekeep(NOW + 59_000);
    expect(bytesOf(directory.path)).toContain(canary);
    await store.housekeep(NOW + 60_000);
    expect(bytesOf(directory.path)).not.toContain(canary);
    await store.close();
  });

  test("a payload that another process dropped is wiped as well", async () => {
    using directory = temporaryDirectory();
    const store = storeOn(openSqliteFile(directory.path));
    const parked = entryOf(1, { state: "parked", payload: canary });
    await store.commit({ mailbox: "m", fence: 1, spool: [parked] });
    await store.housekeep(NOW);
    const command = storeOn(openSqliteFile(directory.path));
    await command.drop("all");
    await command.close();
    await store.housekeep(NOW + 60_000);
    expect(bytesOf(directory.path)).not.toContain(canary);
    await store.close();
  });

  test("a reader in another process only puts the truncation off", async () => {
    using directory = temporaryDirectory();
    const database = openSqliteFile(directory.path);
    const store = storeOn(database);
    await store.commit({ mailbox: "m", fence: 1, spool: [entryOf(1, { payload: canary })] });
    const reader = openSqliteFile(directory.path);
    reader.exec("BEGIN");
    reader.prepare("SELECT count(*) FROM spool").get();
    const end = { eventId: "evt_1", destination: "default", attempts: 2 };
    await store.updateSpool("m", 1, [{ ...end, kind: "delivered" }]);
    await store.housekeep(NOW);
    expect(bytesOf(directory.path)).toContain(canary);
    expect(database.prepare("PRAGMA busy_timeout").get()).toEqual({ timeout: 100 });
    reader.exec("COMMIT");
    reader.close();
    await store.housekeep(NOW + 60_000);
    expect(bytesOf(directory.path)).not.toContain(canary);
    await store.close();
  });

  test("free pages go back to the disk a few at a time", async () => {
    const database = openSqliteMemory();
    const store = storeOn(database);
    const payload = "x".repeat(4_000_000);
    await store.commit({ mailbox: "m", fence: 1, spool: [entryOf(1, { payload })] });
    const end = { eventId: "evt_1", destination: "default", attempts: 2 };
    await store.updateSpool("m", 1, [{ ...end, kind: "delivered" }]);
    const freePages = (): number =>
      Number(database.prepare("PRAGMA freelist_count").get()?.["freelist_count"]);
    const before = freePages();
    await store.housekeep(NOW);
    expect(before - freePages()).toBe(200);
    await store.close();
  });

  test("no more than a hundred thousand receipts are kept, the newest", async () => {
    const database = openSqliteMemory();
    const store = storeOn(database);
    await store.commit({
      mailbox: "m",
      fence: 1,
      receipts: [receiptOf(1, { settledMs: NOW + 1 })],
    });
    database.exec(
      `WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 100004)
       INSERT INTO receipts SELECT 'evt_' || i, mailbox, folder, uidvalidity, i, outcome, reason,
         reduced, pairs, steps, todo, ${NOW} - i FROM receipts, n`,
    );
    await store.housekeep(NOW);
    expect(database.prepare("SELECT count(*) AS rows FROM receipts").get()?.["rows"]).toBe(100_000);
    expect(await store.readReceipt("evt_1")).not.toBeNull();
    expect(await store.readReceipt("evt_100004")).toBeNull();
    await store.close();
  });
});

describe("closing", () => {
  test("closing twice is harmless", async () => {
    const store = storeOn(openSqliteMemory());
    await store.close();
    await expect(store.close()).resolves.toBeUndefined();
    await expect(store.counts("m")).rejects.toThrow("finalized");
  });
});
