// What every store promises about the spool: what is due, what becomes of a row, and what operators do
// with parked ones. Called by storeContract.
import { describe, expect, test } from "vitest";
import type { Store } from "../store.ts";
import {
  type OpenStore,
  DAY,
  NOW,
  dueOf,
  dueQueryOf,
  entryOf,
  many,
  parkedEntryOf,
  parkedReceiptOf,
  receiptOf,
  spooledReceiptOf,
} from "./samples.contract.ts";

const uidsOf = (rows: readonly { uid: number }[]): number[] => rows.map(({ uid }) => uid);

/** Reading what waits. */
export const spoolReadsContract = (open: OpenStore): void => {
  describe("what waits in the spool", () => {
    test("due rows come oldest first, whole, and none of the destinations left out", async () => {
      await using opened = await open();
      const { store } = opened;
      const spool = [
        entryOf(1, { sinceMs: NOW - 1 }),
        entryOf(2, { sinceMs: NOW - 3 }),
        entryOf(3, { nextAttemptMs: NOW + 1 }),
        entryOf(4, { destination: "rule-a" }),
        parkedEntryOf(5),
      ];
      await store.commit({ mailbox: "m", fence: 1, spool });
      const query = dueQueryOf({ except: ["rule-a"] });
      expect(await store.dueEntries(query)).toEqual([spool[1], spool[0]]);
      expect(uidsOf(await store.dueEntries({ ...query, limit: 1 }))).toEqual([2]);
      expect(uidsOf(await store.dueEntries({ ...query, except: [] }))).toEqual([2, 1, 4]);
      expect(await store.dueEntries({ ...query, mailbox: "other" })).toEqual([]);
    });

    test("a row due later than anything may wait was written by a wrong clock, and is due", async () => {
      await using opened = await open();
      const { store } = opened;
      const spool = [
        entryOf(1, { nextAttemptMs: NOW + DAY }),
        entryOf(2, { nextAttemptMs: NOW + 400 * DAY }),
      ];
      await store.commit({ mailbox: "m", fence: 1, spool });
      expect(uidsOf(await store.dueEntries(dueQueryOf()))).toEqual([2]);
    });

    test("one answer holds as many bytes as asked for, and at least one row", async () => {
      await using opened = await open();
      const { store } = opened;
      const spool = [1, 2, 3].map((uid) => entryOf(uid, { payload: "x".repeat(3000) }));
      await store.commit({ mailbox: "m", fence: 1, spool });
      const query = dueQueryOf({ maxBytes: 8000 });
      expect(uidsOf(await store.dueEntries(query))).toEqual([1, 2]);
      const large = entryOf(4, { sinceMs: 0, payload: "x".repeat(9000) });
      await store.commit({ mailbox: "m", fence: 1, spool: [large] });
      expect(uidsOf(await store.dueEntries(query))).toEqual([4]);
    });

    test("the bytes of an answer are told without loading it", async () => {
      await using opened = await open();
      const { store } = opened;
      expect(await store.dueBytes(dueQueryOf())).toBe(0);
      const spool = [1, 2, 3].map((uid) => entryOf(uid, { payload: "ä".repeat(1500) }));
      await store.commit({ mailbox: "m", fence: 1, spool });
      const all = await store.dueBytes(dueQueryOf());
      // Sealed payloads are a little longer.
      expect(all).toBeGreaterThanOrEqual(9000);
      expect(all).toBeLessThan(9300);
      const maxBytes = await store.dueBytes(dueQueryOf({ maxBytes: 8000 }));
      expect(maxBytes).toBe((all * 2) / 3);
      expect(uidsOf(await store.dueEntries(dueQueryOf({ maxBytes })))).toEqual([1, 2]);
    });

    test("the destinations waited for are those of waiting rows, due or not", async () => {
      await using opened = await open();
      const { store } = opened;
      expect(await store.waitingDestinations("m")).toEqual([]);
      const spool = [
        entryOf(1, { destination: "rule-b", nextAttemptMs: NOW + DAY }),
        entryOf(1, { destination: "rule-a" }),
        entryOf(2, { destination: "rule-a" }),
        parkedEntryOf(3),
      ];
      await store.commit({ mailbox: "m", fence: 1, spool });
      expect(await store.waitingDestinations("m")).toEqual(["rule-a", "rule-b"]);
      expect(await store.waitingDestinations("other")).toEqual([]);
    });

    test("the row that waits longest is found whether it is due or not", async () => {
      await using opened = await open();
      const { store } = opened;
      const oldest = entryOf(2, { sinceMs: NOW - 9, nextAttemptMs: NOW + 999 });
      const spool = [entryOf(1), oldest, entryOf(3, { destination: "rule-a", sinceMs: 0 })];
      await store.commit({ mailbox: "m", fence: 1, spool });
      expect(await store.oldestWaiting("m", "default")).toEqual(oldest);
      expect(await store.oldestWaiting("m", "rule-b")).toBeNull();
      expect(await store.oldestWaiting("other", "default")).toBeNull();
    });

    test("a destination is made due in all mailboxes and no other with it", async () => {
      await using opened = await open();
      const { store } = opened;
      const nextAttemptMs = NOW + 5000;
      const spool = [
        entryOf(1, { nextAttemptMs }),
        entryOf(2, { nextAttemptMs, destination: "rule-a" }),
      ];
      await store.commit({ mailbox: "m", fence: 1, spool });
      const elsewhere = entryOf(3, { mailbox: "other", nextAttemptMs });
      await store.commit({ mailbox: "other", fence: 1, spool: [elsewhere] });
      await store.makeDue("default", NOW);
      expect(uidsOf(await dueOf(store))).toEqual([1]);
      const query = dueQueryOf({ mailbox: "other" });
      expect(uidsOf(await store.dueEntries(query))).toEqual([3]);
    });

    test("usage counts rows and bytes over all mailboxes, waiting and parked", async () => {
      await using opened = await open();
      const { store } = opened;
      expect(await store.spoolUsage()).toMatchObject({ rows: 0, bytes: 0, parts: [] });
      const spool = [entryOf(1), entryOf(2), parkedEntryOf(3)];
      await store.commit({ mailbox: "m", fence: 1, spool });
      const { rows, bytes, parts } = await store.spoolUsage();
      expect(rows).toBe(3);
      expect(bytes).toBeGreaterThanOrEqual(3 * '{"uid":1}'.length);
      expect(parts).toEqual([{ mailbox: "m", destination: "default", waiting: 2, parked: 1 }]);
      expect(await store.undecryptable()).toBe(0);
    });
  });
};

/** What becomes of rows. */
export const spoolUpdatesContract = (open: OpenStore): void => {
  const pair = { eventId: "evt_1", destination: "default" };
  const openWaiting = async (store: Store): Promise<void> => {
    const receipts = [spooledReceiptOf(1)];
    await store.commit({ mailbox: "m", fence: 1, receipts, spool: [entryOf(1)] });
  };

  describe("what becomes of a spool row", () => {
    test("a waiting row is not touched by another commit of its pair", async () => {
      await using opened = await open();
      const { store } = opened;
      await openWaiting(store);
      const again = entryOf(1, { attempts: 9, payload: "other" });
      await store.commit({ mailbox: "m", fence: 1, spool: [again] });
      expect(await store.readEntries("evt_1")).toEqual([entryOf(1)]);
    });

    test("a delivered row goes, and its receipt says so", async () => {
      await using opened = await open();
      const { store } = opened;
      await openWaiting(store);
      await store.updateSpool("m", 1, [{ ...pair, kind: "delivered", attempts: 2 }]);
      expect(await store.readEntries("evt_1")).toEqual([]);
      const pairs = { default: { kind: "delivered" as const, attempts: 2 } };
      expect(await store.readReceipt("evt_1")).toEqual(receiptOf(1, { pairs }));
    });

    test("a failed row waits with what is known of the failure", async () => {
      await using opened = await open();
      const { store } = opened;
      await openWaiting(store);
      const known = { attempts: 3, counted: 2, nextAttemptMs: NOW + 7, errorClass: "dns" as const };
      await store.updateSpool("m", 1, [{ ...pair, kind: "waiting", ...known }]);
      expect(await store.readEntries("evt_1")).toEqual([entryOf(1, known)]);
      const { pairs } = (await store.readReceipt("evt_1")) ?? {};
      expect(pairs).toEqual({ default: { kind: "waiting", attempts: 3, errorClass: "dns" } });
    });

    test("a row that is given up is parked, listed and counted", async () => {
      await using opened = await open();
      const { store } = opened;
      await openWaiting(store);
      const end = { attempts: 20, reason: "attempts_exhausted" as const };
      await store.updateSpool("m", 1, [{ ...pair, kind: "parked", ...end, parkedMs: NOW + 1 }]);
      const { payload: _, ...row } = entryOf(1, { ...end, state: "parked", parkedMs: NOW + 1 });
      expect(await store.listParked()).toEqual([row]);
      expect(await dueOf(store)).toEqual([]);
      expect((await store.readReceipt("evt_1"))?.pairs).toEqual({
        default: { kind: "parked", ...end },
      });
      expect((await store.counts("m")).parked).toBe(1);
    });

    test("a message is delivered only when every pair is", async () => {
      await using opened = await open();
      const { store } = opened;
      const waiting = { kind: "waiting", attempts: 1, errorClass: null } as const;
      const receipt = receiptOf(1, {
        outcome: "spooled",
        pairs: { default: waiting, "rule-a": waiting },
      });
      const spool = [entryOf(1), entryOf(1, { destination: "rule-a" })];
      await store.commit({ mailbox: "m", fence: 1, receipts: [receipt], spool });
      await store.updateSpool("m", 1, [{ ...pair, kind: "delivered", attempts: 2 }]);
      expect((await store.readReceipt("evt_1"))?.outcome).toBe("spooled");
      const other = { eventId: "evt_1", destination: "rule-a", attempts: 2 };
      await store.updateSpool("m", 1, [{ ...other, kind: "delivered" }]);
      expect((await store.readReceipt("evt_1"))?.outcome).toBe("delivered");
    });

    test("the result of an attempt at a row that is gone changes nothing", async () => {
      await using opened = await open();
      const { store } = opened;
      const receipts = [parkedReceiptOf(1)];
      await store.commit({ mailbox: "m", fence: 1, receipts, spool: [parkedEntryOf(1)] });
      await store.drop("all");
      await store.updateSpool("m", 1, [{ ...pair, kind: "delivered", attempts: 5 }]);
      expect((await store.readReceipt("evt_1"))?.pairs).toEqual({
        default: { kind: "dropped", attempts: 4 },
      });
    });
  });
};

/** What operators do. */
export const spoolDecisionsContract = (open: OpenStore): void => {
  describe("what operators decide", () => {
    test("a replayed row is due now, keeps its attempts and starts to count anew", async () => {
      await using opened = await open();
      const { store } = opened;
      const receipts = [parkedReceiptOf(1)];
      await store.commit({ mailbox: "m", fence: 1, receipts, spool: [parkedEntryOf(1)] });
      expect(await store.replay({ eventId: "evt_1", destination: "rule-a" }, NOW + 5)).toBe(0);
      expect(await store.replay({ eventId: "evt_1", destination: null }, NOW + 5)).toBe(1);
      expect(await dueOf(store, NOW + 5)).toEqual([
        entryOf(1, {
          attempts: 4,
          counted: 0,
          errorClass: "http_4xx",
          sinceMs: NOW + 5,
          nextAttemptMs: NOW + 5,
        }),
      ]);
      const receipt = await store.readReceipt("evt_1");
      expect(receipt?.outcome).toBe("spooled");
      expect(receipt?.pairs["default"]?.kind).toBe("waiting");
      expect((await store.counts("m")).parked).toBe(0);
    });

    test("only parked rows are dropped, and their receipts say so", async () => {
      await using opened = await open();
      const { store } = opened;
      const receipts = [parkedReceiptOf(1), spooledReceiptOf(2)];
      const spool = [parkedEntryOf(1), entryOf(2)];
      await store.commit({ mailbox: "m", fence: 1, receipts, spool });
      expect(await store.drop({ eventId: "evt_2", destination: null })).toBe(0);
      expect(await store.drop({ eventId: "evt_1", destination: "default" })).toBe(1);
      expect(await store.readEntries("evt_1")).toEqual([]);
      expect(await store.readReceipt("evt_1")).toEqual(
        receiptOf(1, { outcome: "parked", pairs: { default: { kind: "dropped", attempts: 4 } } }),
      );
    });

    test("all parked rows are replayed or dropped at one word", async () => {
      await using opened = await open();
      const { store } = opened;
      const spool = many(250, parkedEntryOf);
      await store.commit({ mailbox: "m", fence: 1, receipts: many(250, parkedReceiptOf), spool });
      expect(await store.replay("all", NOW)).toBe(250);
      expect(await store.replay("all", NOW)).toBe(0);
      expect(await store.parkMailbox("m", "mailbox_gone", NOW)).toBe(250);
      expect(await store.drop("all")).toBe(250);
      expect((await store.spoolUsage()).rows).toBe(0);
    });

    test("what waits for a mailbox that is gone is parked, and nothing of another", async () => {
      await using opened = await open();
      const { store } = opened;
      const receipts = [spooledReceiptOf(1)];
      await store.commit({ mailbox: "m", fence: 1, receipts, spool: [entryOf(1)] });
      const elsewhere = entryOf(2, { mailbox: "other" });
      await store.commit({ mailbox: "other", fence: 1, spool: [elsewhere] });
      expect(await store.parkMailbox("m", "mailbox_gone", NOW + 3)).toBe(1);
      const [row, ...others] = await store.listParked();
      expect(row).toMatchObject({ uid: 1, reason: "mailbox_gone", parkedMs: NOW + 3 });
      expect(others).toEqual([]);
      expect((await store.readReceipt("evt_1"))?.outcome).toBe("parked");
    });
  });
};
