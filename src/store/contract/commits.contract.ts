// What every store promises about commits: cursor, tail and claims. Called by storeContract.
import { describe, expect, test } from "vitest";
import type { CursorRecord, Store } from "../store.ts";
import {
  type OpenStore,
  DAY,
  NOW,
  cursorOf,
  many,
  receiptOf,
  tailEntryOf,
} from "./samples.contract.ts";

/** Cursors. */
export const cursorContract = (open: OpenStore): void => {
  describe("cursors", () => {
    test("a folder that was never seen has no cursor", async () => {
      await using opened = await open();
      expect(await opened.store.readCursor("m", "INBOX")).toBeNull();
    });

    test("a cursor comes back as it was committed, also to a later process", async () => {
      await using opened = await open();
      await opened.store.commit({ mailbox: "m", fence: 1, cursor: cursorOf() });
      const cursor = cursorOf({ settledUpTo: 12, settledAbove: [[14, 20]], uidvalidity: "8" });
      await opened.store.commit({ mailbox: "m", fence: 1, cursor });
      expect(await (await opened.reopen()).readCursor("m", "INBOX")).toEqual(cursor);
      expect(await opened.store.readCursor("m", "Archive")).toBeNull();
      expect(await opened.store.readCursor("other", "INBOX")).toBeNull();
    });

    test("tail entries without a cursor are refused as a whole", async () => {
      await using opened = await open();
      const { store } = opened;
      const refused = store.commit({
        mailbox: "m",
        fence: 1,
        receipts: [receiptOf(1)],
        tail: [tailEntryOf(1)],
      });
      await expect(refused).rejects.toMatchObject({ code: "store/no-cursor" });
      expect(await store.readReceipt("evt_1")).toBeNull();
    });
  });
};

/** What becomes of UIDs when a folder is renumbered. */
export const renumberingContract = (open: OpenStore): void => {
  const openTodos = async (store: Store): Promise<number[]> => {
    const query = { mailbox: "m", folder: "INBOX", uidvalidity: "7", limit: 10 };
    return (await store.openTodos(query)).map(({ uid }) => uid);
  };
  const suspectsOf = async (store: Store): Promise<number[]> =>
    (await store.beginRun("m", 1)).suspects.map(({ uid }) => uid);
  const prepare = async (store: Store): Promise<void> => {
    const receipts = [1, 2, 3].map((uid) => receiptOf(uid, { todo: true }));
    await store.commit({ mailbox: "m", fence: 1, cursor: cursorOf(), receipts });
    await store.writeSuspects("m", 1, [{ uid: 8, soloDeaths: 1 }]);
    await store.requestRedelivery("m", [9]);
  };
  const renumbered: [string, Partial<CursorRecord>][] = [
    ["another UIDVALIDITY", { uidvalidity: "8" }],
    ["another account", { accountHash: "another" }],
  ];

  describe("a renumbered folder", () => {
    test.each(renumbered)("%s makes the store forget what it kept by UID", async (_, fields) => {
      await using opened = await open();
      const { store } = opened;
      await prepare(store);
      const cursor = cursorOf(fields);
      const result = await store.commit({ mailbox: "m", fence: 1, cursor });
      expect(result).toEqual({ droppedTodos: 3 });
      expect(await suspectsOf(store)).toEqual([]);
      expect(await store.readRedeliveries("m")).toEqual([]);
      expect(await openTodos(store)).toEqual([]);
      expect((await store.readReceipt("evt_1"))?.outcome).toBe("delivered");
      expect(await store.commit({ mailbox: "m", fence: 1, cursor })).toEqual({ droppedTodos: 0 });
    });

    test("a cursor that only moves on makes it forget nothing", async () => {
      await using opened = await open();
      const { store } = opened;
      await prepare(store);
      const cursor = cursorOf({ settledUpTo: 5 });
      const result = await store.commit({ mailbox: "m", fence: 1, cursor });
      expect(result).toEqual({ droppedTodos: 0 });
      expect(await suspectsOf(store)).toEqual([8]);
      expect(await store.readRedeliveries("m")).toEqual([9]);
      expect(await openTodos(store)).toEqual([1, 2, 3]);
    });

    test("other mailboxes and what the same commit brings are left alone", async () => {
      await using opened = await open();
      const { store } = opened;
      await prepare(store);
      const mailbox = "other";
      await store.commit({ mailbox, fence: 1, cursor: cursorOf({ mailbox }) });
      await store.requestRedelivery(mailbox, [4]);
      const cursor = cursorOf({ uidvalidity: "8" });
      const receipts = [receiptOf(5, { todo: true, uidvalidity: "8" })];
      await store.commit({ mailbox: "m", fence: 1, cursor, receipts });
      expect((await store.readReceipt("evt_5"))?.todo).toBe(true);
      expect(await store.readRedeliveries(mailbox)).toEqual([4]);
    });
  });
};

/** The tail. */
export const tailContract = (open: OpenStore): void => {
  describe("the tail", () => {
    test("entries come back newest settled first, with their UIDVALIDITY", async () => {
      await using opened = await open();
      const { store } = opened;
      const older = tailEntryOf(1, { settledMs: NOW - 5 });
      const cursor = cursorOf();
      await store.commit({ mailbox: "m", fence: 1, cursor, tail: [tailEntryOf(2), older] });
      await store.commit({ mailbox: "m", fence: 1, cursor, tail: [tailEntryOf(2)] });
      const expected = [tailEntryOf(2), older].map((entry) => ({ ...entry, uidvalidity: "7" }));
      expect(await store.readTail("m", "INBOX")).toEqual(expected);
      expect(await store.readTail("m", "Archive")).toEqual([]);
    });

    test("a match takes one old entry of its hash and none of the present UIDVALIDITY", async () => {
      await using opened = await open();
      const { store } = opened;
      const twins = [1, 2, 3].map((uid) => tailEntryOf(uid, { hash: "twin" }));
      await store.commit({ mailbox: "m", fence: 1, cursor: cursorOf(), tail: twins });
      await store.commit({
        mailbox: "m",
        fence: 1,
        cursor: cursorOf({ uidvalidity: "8" }),
        tail: [tailEntryOf(1, { hash: "twin" }), tailEntryOf(2, { hash: "twin" })],
        tailMatched: ["twin", "twin", "unknown"],
      });
      const left = (await store.readTail("m", "INBOX")).map(({ uidvalidity }) => uidvalidity);
      expect(left.toSorted()).toEqual(["7", "8", "8"]);
      const tailMatched = ["twin", "twin", "twin"];
      const cursor = cursorOf({ uidvalidity: "8" });
      await store.commit({ mailbox: "m", fence: 1, cursor, tailMatched });
      expect((await store.readTail("m", "INBOX")).map(({ uid }) => uid).toSorted()).toEqual([1, 2]);
    });

    test("the newest thousand and all of two days stay, the others are trimmed", async () => {
      await using opened = await open();
      const { store } = opened;
      const old = many(1200, (uid) => tailEntryOf(uid, { settledMs: NOW - 3 * DAY + uid }));
      await store.commit({ mailbox: "m", fence: 1, cursor: cursorOf(), tail: old });
      await store.housekeep(NOW);
      const kept = await store.readTail("m", "INBOX");
      expect(kept).toHaveLength(1000);
      expect(kept.at(-1)?.uid).toBe(201);
      const fresh = many(1100, (uid) => tailEntryOf(5000 + uid, { settledMs: NOW - DAY }));
      await store.commit({ mailbox: "m", fence: 1, cursor: cursorOf(), tail: fresh });
      await store.housekeep(NOW);
      const uids = (await store.readTail("m", "INBOX")).map(({ uid }) => uid);
      expect(uids).toHaveLength(1100);
      expect(Math.min(...uids)).toBe(5001);
    });

    test("even of two days no more than twenty thousand stay", async () => {
      await using opened = await open();
      const { store } = opened;
      const tail = many(20_100, (uid) => tailEntryOf(uid, { settledMs: NOW - DAY + uid }));
      await store.commit({ mailbox: "m", fence: 1, cursor: cursorOf(), tail });
      await store.housekeep(NOW);
      const kept = await store.readTail("m", "INBOX");
      expect(kept).toHaveLength(20_000);
      expect(kept.at(-1)?.uid).toBe(101);
    });
  });
};

/** Claims of subject groups. */
export const claimsContract = (open: OpenStore): void => {
  describe("claims", () => {
    test("the first event to claim a key keeps it", async () => {
      await using opened = await open();
      const { store } = opened;
      for (const eventId of ["evt_1", "evt_2"]) {
        const claims = [{ key: "k", eventId, expiresMs: NOW + DAY }];
        await store.commit({ mailbox: "m", fence: 1, receipts: [receiptOf(1)], claims });
      }
      expect(await store.readClaims(["k", "free"], NOW)).toEqual(new Map([["k", "evt_1"]]));
    });

    test("an expired claim is not read, and goes to the next event that wants it", async () => {
      await using opened = await open();
      const { store } = opened;
      const first = [{ key: "k", eventId: "evt_1", expiresMs: NOW }];
      await store.commit({ mailbox: "m", fence: 1, receipts: [receiptOf(1)], claims: first });
      expect(await store.readClaims(["k"], NOW)).toEqual(new Map());
      const next = [{ key: "k", eventId: "evt_2", expiresMs: NOW + DAY }];
      await store.commit({ mailbox: "m", fence: 1, receipts: [receiptOf(2)], claims: next });
      expect(await store.readClaims(["k"], NOW)).toEqual(new Map([["k", "evt_2"]]));
    });

    test("housekeeping takes expired claims away and no others", async () => {
      await using opened = await open();
      const { store } = opened;
      const claims = [
        { key: "old", eventId: "evt_1", expiresMs: NOW - 1 },
        { key: "new", eventId: "evt_2", expiresMs: NOW + 1 },
      ];
      await store.commit({ mailbox: "m", fence: 1, claims });
      await store.housekeep(NOW);
      expect([...(await store.readClaims(["old", "new"], 0)).keys()]).toEqual(["new"]);
    });
  });
};
