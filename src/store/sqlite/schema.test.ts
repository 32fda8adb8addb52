// The tables on fresh state, on state of an older version and on state of a newer one.
import { describe, expect, test } from "vitest";
import {
  cursorOf,
  entryOf,
  NOW,
  receiptOf,
  repeatableRandom,
  spooledReceiptOf,
  tailEntryOf,
} from "../contract/samples.contract.ts";
import type { SqlDatabase } from "../sqlite-database.ts";
import { openSqliteMemory } from "../sqlite.adapter.ts";
import { createSqliteStore } from "../sqlite.ts";
import type { Store } from "../store.ts";

const storeOn = (database: SqlDatabase): Store =>
  createSqliteStore({ database, random: repeatableRandom(), spoolKeys: [] });

const tablesOf = (database: SqlDatabase): unknown[] =>
  database
    .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
    .all()
    .map(({ name }) => name);

/** As the first version of the program left it. */
const backToVersion1 = (database: SqlDatabase): void => {
  for (const table of [
    "documents",
    "adoptions",
    "journal",
    "journal_open",
    "high_waters",
    "held",
  ]) {
    database.exec(`DROP TABLE ${table}`);
  }
  database.exec("UPDATE meta SET value = 1 WHERE name = 'schema_version'");
};

describe("the schema", () => {
  test("content stands in one column only", () => {
    const database = openSqliteMemory();
    storeOn(database);
    const columns = database
      .prepare(
        `SELECT t.name || '.' || c.name AS name FROM sqlite_schema AS t, pragma_table_info(t.name) AS c
         WHERE t.type = 'table' AND c.name GLOB '*[p]ayload*'`,
      )
      .all();
    expect(columns.map(({ name }) => name)).toEqual(["spool_payload.payload"]);
    database.close();
  });

  test("state of a newer version is refused and left as it is", () => {
    const database = openSqliteMemory();
    storeOn(database);
    database.exec("UPDATE meta SET value = 3 WHERE name = 'schema_version'");
    expect(() => storeOn(database)).toThrow("schema version 3");
    expect(database.prepare("SELECT value FROM meta WHERE name = 'schema_version'").get()).toEqual({
      value: 3,
    });
    database.close();
  });

  test("state of version 1 is kept, and gets what it lacks", async () => {
    const database = openSqliteMemory();
    const former = storeOn(database);
    const tables = tablesOf(database);
    const commit = { receipts: [spooledReceiptOf(1), receiptOf(2)], spool: [entryOf(1)] };
    const tail = [tailEntryOf(2)];
    await former.commit({ mailbox: "m", fence: 7, cursor: cursorOf(), tail, ...commit });
    const key = await former.hmacKey();
    backToVersion1(database);
    const store = storeOn(database);
    expect(tablesOf(database)).toEqual(tables);
    expect(await store.readCursor("m", "INBOX")).toEqual(cursorOf());
    expect(await store.readTail("m", "INBOX")).toEqual([{ ...tailEntryOf(2), uidvalidity: "7" }]);
    expect(await store.readEntries("evt_1")).toEqual([entryOf(1)]);
    expect(await store.readReceipt("evt_2")).toEqual(receiptOf(2));
    expect(await store.hmacKey()).toEqual(key);
    await expect(store.commit({ mailbox: "m", fence: 6 })).rejects.toThrow("newer holder");
    await store.adopt("m", "now");
    expect(await store.readAdoption("m")).toBe("now");
    expect(await storeOn(database).issueFence("m", NOW)).toBe(NOW);
    await store.close();
  });

  test("a migration that fails leaves state of version 1 as it was", () => {
    const database = openSqliteMemory();
    storeOn(database);
    backToVersion1(database);
    database.exec("CREATE TABLE held (something TEXT)");
    const tables = tablesOf(database);
    expect(() => storeOn(database)).toThrow("held already exists");
    expect(tablesOf(database)).toEqual(tables);
    database.exec("DROP TABLE held");
    storeOn(database);
    expect(tablesOf(database)).toContain("journal");
    database.close();
  });
});
