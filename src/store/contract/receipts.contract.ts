// What every store promises about receipts, the counts by outcome, what is owed after delivery, and
// messages that are sent again. Called by storeContract.
import { describe, expect, test } from "vitest";
import type { Store } from "../store.ts";
import {
  type OpenStore,
  DAY,
  NOW,
  entryOf,
  parkedEntryOf,
  parkedReceiptOf,
  receiptOf,
  spooledReceiptOf,
} from "./samples.contract.ts";

const NONE = { delivered: 0, filtered: 0, parked: 0, gone: 0, reduced: 0 };

/** Receipts and counts. */
export const receiptsContract = (open: OpenStore): void => {
  describe("receipts", () => {
    test("a receipt comes back as it was committed", async () => {
      await using opened = await open();
      const { store } = opened;
      const receipt = receiptOf(4, { reason: "crash", reduced: true, todo: true });
      await store.commit({ mailbox: "m", fence: 1, receipts: [receipt] });
      expect(await store.readReceipt("evt_4")).toEqual(receipt);
      expect(await store.readReceipt("evt_5")).toBeNull();
    });

    test("receipts are listed newest first, by mailbox and by UID", async () => {
      await using opened = await open();
      const { store } = opened;
      const receipts = [1, 2, 3].map((uid) => receiptOf(uid, { settledMs: NOW + uid }));
      await store.commit({ mailbox: "m", fence: 1, receipts });
      const other = receiptOf(2, { mailbox: "other", eventId: "evt_o", settledMs: NOW + 9 });
      await store.commit({ mailbox: "other", fence: 1, receipts: [other] });
      const uidsOf = async (query: Parameters<Store["readReceipts"]>[0]): Promise<number[]> =>
        (await store.readReceipts(query)).map(({ uid }) => uid);
      expect(await uidsOf({ last: 3 })).toEqual([2, 3, 2]);
      expect(await uidsOf({ mailbox: "m", last: 2 })).toEqual([3, 2]);
      expect(await uidsOf({ mailbox: "m", uid: 1, last: 2 })).toEqual([1]);
      expect(await uidsOf({ uid: 2, last: 9 })).toEqual([2, 2]);
    });

    test("messages are counted once, under their latest outcome", async () => {
      await using opened = await open();
      const { store } = opened;
      expect(await store.counts("m")).toEqual(NONE);
      const receipts = [
        receiptOf(1),
        receiptOf(2, { outcome: "filtered", reason: "sender", pairs: {} }),
        receiptOf(3, { outcome: "gone", pairs: {} }),
        spooledReceiptOf(4, { reduced: true, reason: "malformed" }),
      ];
      await store.commit({ mailbox: "m", fence: 1, receipts, spool: [entryOf(4)] });
      await store.commit({ mailbox: "m", fence: 1, receipts });
      expect(await store.counts("m")).toEqual({
        ...NONE,
        delivered: 1,
        filtered: 1,
        gone: 1,
        reduced: 1,
      });
      const end = { eventId: "evt_4", destination: "default", attempts: 2 };
      await store.updateSpool("m", 1, [{ ...end, kind: "delivered" }]);
      await store.commit({ mailbox: "m", fence: 1, receipts: [receiptOf(2)] });
      expect(await store.counts("m")).toEqual({ ...NONE, delivered: 3, gone: 1, reduced: 1 });
      expect(await store.counts("other")).toEqual(NONE);
    });

    test("receipts are trimmed after thirty days, but not while something depends on them", async () => {
      await using opened = await open();
      const { store } = opened;
      const settledMs = NOW - 30 * DAY - 1;
      const receipts = [
        receiptOf(1, { settledMs }),
        receiptOf(2, { settledMs, todo: true }),
        spooledReceiptOf(3, { settledMs }),
        receiptOf(4, { settledMs: settledMs + 2 }),
      ];
      await store.commit({ mailbox: "m", fence: 1, receipts, spool: [entryOf(3)] });
      await store.housekeep(NOW);
      const left = (await store.readReceipts({ last: 9 })).map(({ uid }) => uid);
      expect(left.toSorted()).toEqual([2, 3, 4]);
      expect((await store.counts("m")).delivered).toBe(3);
    });
  });
};

/** What is owed after delivery. */
export const todosContract = (open: OpenStore): void => {
  const query = { mailbox: "m", folder: "INBOX", uidvalidity: "7", limit: 10 };

  describe("what is owed after delivery", () => {
    test("only delivered messages of this UIDVALIDITY are owed their action", async () => {
      await using opened = await open();
      const { store } = opened;
      const receipts = [
        receiptOf(1, { todo: true }),
        receiptOf(2),
        spooledReceiptOf(3, { todo: true }),
        receiptOf(4, { todo: true, uidvalidity: "6" }),
      ];
      await store.commit({ mailbox: "m", fence: 1, receipts, spool: [entryOf(3)] });
      expect(await store.openTodos(query)).toEqual([{ eventId: "evt_1", uid: 1 }]);
      const end = { eventId: "evt_3", destination: "default", attempts: 2 };
      await store.updateSpool("m", 1, [{ ...end, kind: "delivered" }]);
      expect((await store.openTodos(query)).map(({ uid }) => uid)).toEqual([1, 3]);
      expect(await store.openTodos({ ...query, limit: 1 })).toHaveLength(1);
      await store.closeTodos("m", 1, ["evt_1"]);
      expect((await store.openTodos(query)).map(({ uid }) => uid)).toEqual([3]);
    });

    test("a dropped delivery ends what was owed", async () => {
      await using opened = await open();
      const { store } = opened;
      const receipts = [{ ...parkedReceiptOf(1), todo: true }];
      await store.commit({ mailbox: "m", fence: 1, receipts, spool: [parkedEntryOf(1)] });
      await store.drop("all");
      expect((await store.readReceipt("evt_1"))?.todo).toBe(false);
    });
  });
};

/** Messages that are sent again. */
export const redeliveryContract = (open: OpenStore): void => {
  describe("a message that is sent again", () => {
    test("a pair that it delivered leaves the spool", async () => {
      await using opened = await open();
      const { store } = opened;
      const parked = parkedReceiptOf(1);
      await store.commit({ mailbox: "m", fence: 1, receipts: [parked], spool: [parkedEntryOf(1)] });
      await store.commit({ mailbox: "m", fence: 1, receipts: [receiptOf(1)] });
      expect((await store.spoolUsage()).rows).toBe(0);
      expect(await store.counts("m")).toEqual({ ...NONE, delivered: 1 });
    });

    test("a parked pair that fails again waits again, with the new payload", async () => {
      await using opened = await open();
      const { store } = opened;
      const parked = parkedReceiptOf(1);
      await store.commit({ mailbox: "m", fence: 1, receipts: [parked], spool: [parkedEntryOf(1)] });
      const again = entryOf(1, { attempts: 5, payload: "new" });
      const receipts = [spooledReceiptOf(1)];
      await store.commit({ mailbox: "m", fence: 1, receipts, spool: [again] });
      expect(await store.readEntries("evt_1")).toEqual([again]);
      expect((await store.readReceipt("evt_1"))?.outcome).toBe("spooled");
      expect(await store.counts("m")).toEqual(NONE);
    });

    test("a pair of the former receipt stays with it as long as it is in the spool", async () => {
      await using opened = await open();
      const { store } = opened;
      const state = { kind: "parked", attempts: 4, reason: "http_4xx" } as const;
      const former = { ...parkedReceiptOf(1), pairs: { "rule-a": state } };
      const spool = [{ ...parkedEntryOf(1), destination: "rule-a" }];
      await store.commit({ mailbox: "m", fence: 1, receipts: [former], spool });
      await store.commit({ mailbox: "m", fence: 1, receipts: [receiptOf(1)] });
      const receipt = await store.readReceipt("evt_1");
      expect(receipt?.outcome).toBe("parked");
      expect(receipt?.pairs).toEqual({ ...receiptOf(1).pairs, "rule-a": state });
    });
  });
};
