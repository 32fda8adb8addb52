// What a node's own store gives up to the shared one: in portions, with receipts, and never a row that
// cannot be opened or that changed meanwhile.
import { describe, expect, test } from "vitest";
import {
  entryOf,
  many,
  parkedEntryOf,
  parkedReceiptOf,
  NOW,
  receiptOf,
  repeatableRandom,
  spooledReceiptOf,
} from "../contract/samples.contract.ts";
import type { SqlDatabase } from "../sqlite-database.ts";
import { openSqliteMemory } from "../sqlite.adapter.ts";
import { createSqliteStore } from "../sqlite.ts";
import type { Store } from "../store.ts";
import { createLocalRows, type LocalRows } from "./local-rows.ts";
import { createSqliteJournal } from "./sqlite-journal.ts";

const keyOf = (byte: number): string => Buffer.alloc(32, byte).toString("base64");

const openOn = (
  database: SqlDatabase,
  spoolKeys: readonly string[] = [],
): AsyncDisposable & { store: Store; rows: LocalRows } => {
  const deps = { database, random: repeatableRandom(), spoolKeys };
  const store = createSqliteStore(deps);
  const rows = createLocalRows(deps);
  return { store, rows, [Symbol.asyncDispose]: () => store.close() };
};

/** Takes everything; returns how large each portion was. */
const takeAll = async (rows: LocalRows): Promise<string[]> => {
  const sizes: string[] = [];
  for (;;) {
    const portion = await rows.nextPortion("m");
    if (portion.spool.length + portion.receipts.length === 0) return sizes;
    sizes.push(`${portion.spool.length} + ${portion.receipts.length}`);
    await rows.forget("m", portion);
  }
};

describe("portions", () => {
  test("rows come with their receipts, waiting and parked, and then the other receipts", async () => {
    await using opened = openOn(openSqliteMemory());
    const { store, rows } = opened;
    const spool = [entryOf(1), parkedEntryOf(2)];
    const receipts = [spooledReceiptOf(1), parkedReceiptOf(2), receiptOf(3)];
    await store.commit({ mailbox: "m", fence: 1, spool, receipts });
    await store.commit({ mailbox: "n", fence: 1, receipts: [receiptOf(4, { mailbox: "n" })] });
    const first = await rows.nextPortion("m");
    expect(first).toEqual({ spool, receipts: receipts.slice(0, 2) });
    await rows.forget("m", first);
    const second = await rows.nextPortion("m");
    expect(second).toEqual({ spool: [], receipts: [receiptOf(3)] });
    await rows.forget("m", second);
    expect(await rows.nextPortion("m")).toEqual({ spool: [], receipts: [] });
    expect(await store.readReceipt("evt_4")).not.toBeNull();
  });

  test("no portion has more than 256 rows", async () => {
    await using opened = openOn(openSqliteMemory());
    const spool = many(600, (uid) => entryOf(uid));
    const receipts = many(900, (uid) => (uid > 600 ? receiptOf(uid) : spooledReceiptOf(uid)));
    await opened.store.commit({ mailbox: "m", fence: 1, spool, receipts });
    expect(await takeAll(opened.rows)).toEqual([
      "256 + 256",
      "256 + 256",
      "88 + 88",
      "0 + 256",
      "0 + 44",
    ]);
  });

  test("no portion has more than 8 MiB, but one row of any size", async () => {
    await using opened = openOn(openSqliteMemory());
    const payload = (mib: number): string => "x".repeat(mib * 1024 * 1024);
    const sizes = [5, 3, 1, 9, 1];
    const spool = sizes.map((mib, index) => entryOf(index + 1, { payload: payload(mib) }));
    await opened.store.commit({ mailbox: "m", fence: 1, spool });
    expect(await takeAll(opened.rows)).toEqual(["2 + 0", "1 + 0", "1 + 0", "1 + 0"]);
  });
});

describe("forgetting", () => {
  test("rows, receipts and counts go, and the rows stay known as open pairs", async () => {
    const database = openSqliteMemory();
    await using opened = openOn(database);
    const { store, rows } = opened;
    const receipts = [spooledReceiptOf(1), receiptOf(2, { reduced: true })];
    await store.commit({ mailbox: "m", fence: 1, spool: [entryOf(1)], receipts });
    await takeAll(rows);
    expect((await store.spoolUsage()).rows).toBe(0);
    expect(await store.readReceipts({ last: 9 })).toEqual([]);
    const none = { delivered: 0, filtered: 0, parked: 0, gone: 0, reduced: 0 };
    expect(await store.counts("m")).toEqual(none);
    const openPairs = database.prepare("SELECT event_id, uid FROM journal_open").all();
    expect(openPairs).toEqual([{ event_id: "evt_1", uid: 1 }]);
    const deleted = database.prepare("SELECT value FROM meta WHERE name = 'payloads_deleted'");
    expect(deleted.get()).toEqual({ value: 1 });
  });

  test("a row that was replayed meanwhile stays, with its receipt", async () => {
    await using opened = openOn(openSqliteMemory());
    const { store, rows } = opened;
    const commit = { spool: [parkedEntryOf(1)], receipts: [parkedReceiptOf(1)] };
    await store.commit({ mailbox: "m", fence: 1, ...commit });
    const portion = await rows.nextPortion("m");
    await store.replay("all", NOW + 5);
    await rows.forget("m", portion);
    const next = await rows.nextPortion("m");
    expect(next.spool).toMatchObject([{ state: "waiting", sinceMs: NOW + 5 }]);
    expect(next.receipts).toMatchObject([{ outcome: "spooled" }]);
  });

  test("a message with a row that stays keeps its receipt", async () => {
    const database = openSqliteMemory();
    await openOn(database, [keyOf(1)]).store.commit({
      mailbox: "m",
      fence: 1,
      spool: [entryOf(1)],
    });
    await using opened = openOn(database, [keyOf(2)]);
    const spool = [entryOf(1, { destination: "rule-a" })];
    await opened.store.commit({ mailbox: "m", fence: 1, spool, receipts: [spooledReceiptOf(1)] });
    expect(await takeAll(opened.rows)).toEqual(["1 + 1"]);
    expect(await opened.store.readReceipt("evt_1")).not.toBeNull();
    expect(await opened.store.undecryptable()).toBe(1);
  });
});

describe("rows that cannot be opened", () => {
  test("a row without its key and a damaged one stay, and hold up no other", async () => {
    const database = openSqliteMemory();
    await openOn(database, [keyOf(1)]).store.commit({
      mailbox: "m",
      fence: 1,
      spool: [entryOf(1)],
    });
    await using opened = openOn(database, [keyOf(2)]);
    const spool = [entryOf(2), entryOf(3)];
    await opened.store.commit({ mailbox: "m", fence: 1, spool });
    database.exec("UPDATE spool_payload SET payload = x'00' WHERE event_id = 'evt_2'");
    expect(await takeAll(opened.rows)).toEqual(["1 + 0"]);
    expect((await opened.store.spoolUsage()).rows).toBe(2);
    const withKeys = openOn(database, [keyOf(2), keyOf(1)]);
    expect((await withKeys.rows.nextPortion("m")).spool).toEqual([entryOf(1)]);
  });
});

describe("messages to be sent again", () => {
  test("are listed and forgotten by mailbox", async () => {
    await using opened = openOn(openSqliteMemory());
    const { store, rows } = opened;
    await store.requestRedelivery("m", [7, 5]);
    await store.requestRedelivery("n", [5]);
    expect(await rows.redeliveries("m")).toEqual([5, 7]);
    await rows.forgetRedeliveries("m", [5, 7]);
    expect(await store.redeliveryMailboxes()).toEqual(["n"]);
  });
});

describe("the journal beside the rows", () => {
  test("knows of moved rows at once", async () => {
    const database = openSqliteMemory();
    await using opened = openOn(database);
    const fence = await opened.store.issueFence("m", 1);
    await opened.store.commit({ mailbox: "m", fence, spool: [entryOf(1)] });
    await createSqliteJournal(database).close("m", [], { fence, revision: 1 });
    await takeAll(opened.rows);
    const entry = await createSqliteJournal(database).read("m");
    expect(entry?.open).toEqual([{ eventId: "evt_1", destination: "default", uid: 1 }]);
  });
});
