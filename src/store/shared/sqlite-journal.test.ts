// The journal in the database of a store: what it remembers of shared writes, what it never forgets, and
// that the store beside it stands where the shared state stood.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import {
  cursorOf,
  entryOf,
  many,
  NOW,
  receiptOf,
  repeatableRandom,
  spooledReceiptOf,
  tailEntryOf,
} from "../contract/samples.contract.ts";
import type { SqlDatabase } from "../sqlite-database.ts";
import { openSqliteFile, openSqliteMemory } from "../sqlite.adapter.ts";
import { createSqliteStore } from "../sqlite.ts";
import type { Store } from "../store.ts";
import type { Journal } from "./journal.ts";
import { createSqliteJournal } from "./sqlite-journal.ts";

interface Opened extends AsyncDisposable {
  store: Store;
  journal: Journal;
}

const openOn = (database: SqlDatabase): Opened => {
  const store = createSqliteStore({ database, random: repeatableRandom(), spoolKeys: [] });
  return {
    ...{ store, journal: createSqliteJournal(database) },
    [Symbol.asyncDispose]: () => store.close(),
  };
};

const open = (): Opened => openOn(openSqliteMemory());

const pairOf = (uid: number) => ({ eventId: `evt_${uid}`, destination: "default", uid });

const commitOf = (uid: number, fence = 9) => ({
  ...{ mailbox: "m", fence, cursor: cursorOf({ settledUpTo: uid, settledAbove: [] }) },
  ...{ receipts: [spooledReceiptOf(uid)], spool: [entryOf(uid)], tail: [tailEntryOf(uid)] },
});

describe("what is recorded of a shared commit", () => {
  test("a mailbox that nobody wrote has no entry", async () => {
    await using opened = open();
    expect(await opened.journal.read("m")).toBeNull();
    expect(await opened.journal.version("m")).toBeNull();
    expect(await opened.journal.readTail("m")).toEqual([]);
  });

  test("version, cursor, open pairs and tail are remembered, and no content", async () => {
    const database = openSqliteMemory();
    await using opened = openOn(database);
    await opened.journal.record(commitOf(4), { fence: 9, revision: 3 });
    expect(await opened.journal.read("m")).toEqual({
      version: { fence: 9, revision: 3 },
      cursors: [cursorOf({ settledUpTo: 4, settledAbove: [] })],
      open: [pairOf(4)],
    });
    const tail = [{ ...tailEntryOf(4), uidvalidity: "7", folder: "INBOX" }];
    expect(await opened.journal.readTail("m")).toEqual(tail);
    expect(await opened.journal.version("m")).not.toBeNull();
    expect((await opened.store.spoolUsage()).rows).toBe(0);
    expect(await opened.store.readReceipt("evt_4")).toBeNull();
  });

  test("the node's own store stands where the shared state stood", async () => {
    await using opened = open();
    const claims = [{ key: "k", eventId: "evt_4", expiresMs: NOW + 1 }];
    const version = { fence: NOW + 500, revision: 3 };
    await opened.journal.record({ ...commitOf(4, NOW + 500), claims }, version);
    const cursor = cursorOf({ settledUpTo: 4, settledAbove: [] });
    expect(await opened.store.readCursor("m", "INBOX")).toEqual(cursor);
    expect(await opened.store.readTail("m", "INBOX")).toHaveLength(1);
    expect(await opened.store.readClaims(["k"], NOW)).toEqual(new Map([["k", "evt_4"]]));
    expect(await opened.store.issueFence("m", NOW)).toBe(NOW + 501);
  });

  test("a pair is closed by its delivery, in a commit or from the spool", async () => {
    await using opened = open();
    const { journal } = opened;
    const spool = many(3, (uid) => entryOf(uid));
    await journal.record({ mailbox: "m", fence: 9, spool }, { fence: 9, revision: 1 });
    const receipts = [receiptOf(1)];
    await journal.record({ mailbox: "m", fence: 9, receipts }, { fence: 9, revision: 2 });
    await journal.close("m", [pairOf(2)], { fence: 9, revision: 3 });
    expect(await journal.read("m")).toMatchObject({
      version: { fence: 9, revision: 3 },
      open: [pairOf(3)],
    });
  });

  test("a tail entry that was found again leaves the tail", async () => {
    await using opened = open();
    const { journal } = opened;
    await journal.record(commitOf(4), { fence: 9, revision: 1 });
    const cursor = cursorOf({ uidvalidity: "8" });
    const commit = { mailbox: "m", fence: 9, cursor, tailMatched: ["hash-4"] };
    await journal.record(commit, { fence: 9, revision: 2 });
    expect(await journal.readTail("m")).toEqual([]);
  });

  test("the version never falls when shared state went back", async () => {
    await using opened = open();
    const { journal } = opened;
    await journal.record(commitOf(4), { fence: 9, revision: 8 });
    await journal.record(commitOf(5), { fence: 9, revision: 2 });
    await journal.close("m", [], { fence: 8, revision: 90 });
    const entry = await journal.read("m");
    expect(entry?.version).toEqual({ fence: 9, revision: 8 });
    expect(entry?.cursors[0]?.settledUpTo).toBe(5);
  });

  test("what was written is there after a restart", async () => {
    const path = mkdtempSync(join(tmpdir(), "signalpost-journal-"));
    try {
      await openOn(openSqliteFile(path)).journal.record(commitOf(4), { fence: 9, revision: 3 });
      await using again = openOn(openSqliteFile(path));
      expect((await again.journal.read("m"))?.open).toEqual([pairOf(4)]);
    } finally {
      rmSync(path, { recursive: true, force: true });
    }
  });
});

describe("what the node's own store wrote", () => {
  test("state from before any Redis counts under its own fence", async () => {
    await using opened = open();
    await opened.store.commit(commitOf(4, 70));
    expect(await opened.journal.read("m")).toEqual({
      version: { fence: 70, revision: 0 },
      cursors: [cursorOf({ settledUpTo: 4, settledAbove: [] })],
      open: [],
    });
    expect(await opened.journal.version("m")).not.toBeNull();
  });

  test("a commit alone makes the entry newer than what was left, by itself", async () => {
    await using opened = open();
    const { store, journal } = opened;
    await journal.record(commitOf(4), { fence: 9, revision: 3 });
    const fence = await store.issueFence("m", 0);
    await store.commit(commitOf(5, fence));
    const entry = await journal.read("m");
    expect(entry?.version).toEqual({ fence: 10, revision: 0 });
    expect(await journal.version("m")).toEqual(entry?.version);
    expect(entry?.cursors[0]?.settledUpTo).toBe(5);
    expect(entry?.open).toEqual([pairOf(4)]);
  });
});

describe("a copy of shared state", () => {
  const tailOf = (uids: readonly number[]) =>
    uids.map((uid) => ({
      ...tailEntryOf(uid, { settledMs: NOW + uid }),
      ...{ uidvalidity: "7", folder: "INBOX" },
    }));

  test("replaces cursors and open pairs, and adds to the tail", async () => {
    await using opened = open();
    const { journal } = opened;
    await journal.record(commitOf(4), { fence: 9, revision: 3 });
    const cursor = cursorOf({ folder: "Other", settledUpTo: 1 });
    const copied = { version: { fence: 10, revision: 1 }, cursors: [cursor], open: [pairOf(6)] };
    await journal.copy("m", copied, [{ ...tailOf([1])[0]!, folder: "Other" }]);
    expect(await journal.read("m")).toEqual(copied);
    const tail = await journal.readTail("m");
    expect(tail.map(({ folder, uid }) => `${folder} ${uid}`).toSorted()).toEqual([
      "INBOX 4",
      "Other 1",
    ]);
  });

  test("of an older version changes nothing", async () => {
    await using opened = open();
    const { journal } = opened;
    await journal.record(commitOf(4), { fence: 9, revision: 3 });
    const before = await journal.read("m");
    const older = { version: { fence: 9, revision: 2 }, cursors: [], open: [] };
    await journal.copy("m", older, tailOf([1]));
    expect(await journal.read("m")).toEqual(before);
    expect(await journal.readTail("m")).toHaveLength(1);
  });

  test("adds only the end of the tail under the same holder, and all of it after a change", async () => {
    await using opened = open();
    const { journal } = opened;
    const copyOf = (fence: number, revision: number) => ({
      ...{ version: { fence, revision }, cursors: [cursorOf()], open: [] },
    });
    await journal.copy("m", copyOf(9, 1), tailOf([5]));
    await journal.copy("m", copyOf(9, 2), tailOf([4, 5, 6]));
    const uids = async () => (await journal.readTail("m")).map(({ uid }) => uid);
    expect(await uids()).toEqual([6, 5]);
    await journal.copy("m", copyOf(10, 1), tailOf([3, 4, 5, 6]));
    expect(await uids()).toEqual([6, 5, 4, 3]);
  });

  test("lets the own store stand there, too", async () => {
    await using opened = open();
    await opened.store.commit(commitOf(4, 5));
    const cursors = [cursorOf({ settledUpTo: 90 })];
    await opened.journal.copy("m", { version: { fence: 9, revision: 1 }, cursors, open: [] }, []);
    expect((await opened.store.readCursor("m", "INBOX"))?.settledUpTo).toBe(90);
    expect((await opened.journal.read("m"))?.version).toEqual({ fence: 9, revision: 1 });
  });
});

describe("marks and facts", () => {
  test("the high water is above every fence issued, recorded or seen", async () => {
    await using opened = open();
    const { store, journal } = opened;
    expect(await journal.highWater("m")).toBe(0);
    await journal.record(commitOf(4), { fence: 9, revision: 3 });
    expect(await journal.highWater("m")).toBe(9);
    await journal.raiseHighWater("m", 30);
    await journal.raiseHighWater("m", 20);
    expect(await journal.highWater("m")).toBe(30);
    expect(await store.issueFence("m", 0)).toBe(31);
    expect(await journal.highWater("m")).toBe(31);
    expect(await journal.highWater("n")).toBe(0);
  });

  test("a fence seen elsewhere does not stop a holder that is alone", async () => {
    await using opened = open();
    const fence = await opened.store.issueFence("m", 5);
    await opened.journal.raiseHighWater("m", fence + 10);
    await expect(opened.store.commit({ mailbox: "m", fence })).resolves.toBeDefined();
  });

  test("a mailbox was held through the Redis it was held through", async () => {
    await using opened = open();
    await opened.journal.markHeld("m", "redis-1");
    await opened.journal.markHeld("m", "redis-1");
    expect(await opened.journal.hasHeld("m", "redis-1")).toBe(true);
    expect(await opened.journal.hasHeld("m", "redis-2")).toBe(false);
    expect(await opened.journal.hasHeld("n", "redis-1")).toBe(false);
  });

  test("facts stand until they are changed, each on its own", async () => {
    await using opened = open();
    const { journal } = opened;
    const none = { redisId: null, marker: null, hmacKey: null, hostId: null, otherHostMs: null };
    expect(await journal.facts()).toEqual(none);
    const hmacKey = new Uint8Array(32).fill(7);
    await journal.writeFacts({ redisId: "r", marker: "x", hmacKey });
    await journal.writeFacts({ hostId: "h", otherHostMs: NOW + 0.5, marker: null });
    const facts = { redisId: "r", marker: null, hmacKey, hostId: "h", otherHostMs: NOW + 0.5 };
    expect(await journal.facts()).toEqual(facts);
  });

  test("the own store answers with the shared key as soon as it is known", async () => {
    await using opened = open();
    const own = await opened.store.hmacKey();
    const hmacKey = new Uint8Array(32).fill(7);
    await opened.journal.writeFacts({ hmacKey });
    expect(await opened.store.hmacKey()).toEqual(hmacKey);
    await opened.journal.writeFacts({ hmacKey: null });
    expect(await opened.store.hmacKey()).toEqual(own);
  });

  test("the copy of the documents is exactly what was copied last", async () => {
    await using opened = open();
    const { journal } = opened;
    const rules = { version: 3, updatedMs: NOW, document: { rules: [] } };
    const none = { polling_config: null, routing_rules: null, webhook_config: null };
    expect(await journal.documents()).toEqual(none);
    await journal.copyDocuments({ ...none, polling_config: rules, routing_rules: rules });
    await journal.copyDocuments({ ...none, routing_rules: rules });
    expect(await journal.documents()).toEqual({ ...none, routing_rules: rules });
  });
});
