// What every store promises about fences, marks of a running poller, suspects, requests for redelivery
// and live rows. Called by storeContract.
import { describe, expect, test } from "vitest";
import { FencedError } from "../../core/errors.ts";
import type { Store } from "../store.ts";
import { type OpenStore, DAY, NOW, cursorOf, entryOf, receiptOf } from "./samples.contract.ts";

const writesWithFence: readonly [string, (store: Store, fence: number) => Promise<unknown>][] = [
  ["commit", (store, fence) => store.commit({ mailbox: "m", fence, cursor: cursorOf() })],
  ["empty commit", (store, fence) => store.commit({ mailbox: "m", fence })],
  ["beginRun", (store, fence) => store.beginRun("m", fence)],
  ["endRun", (store, fence) => store.endRun("m", fence)],
  ["writeSuspects", (store, fence) => store.writeSuspects("m", fence, [])],
  ["updateSpool", (store, fence) => store.updateSpool("m", fence, [])],
  ["closeTodos", (store, fence) => store.closeTodos("m", fence, ["evt_1"])],
  ["clearRedeliveries", (store, fence) => store.clearRedeliveries("m", fence, [1])],
];

/** Fences. */
export const fencesContract = (open: OpenStore): void => {
  describe("fences", () => {
    test("a fence is at least the wall clock and above every one before", async () => {
      await using opened = await open();
      const { store } = opened;
      expect(await store.issueFence("m", NOW)).toBe(NOW);
      expect(await store.issueFence("m", NOW)).toBe(NOW + 1);
      expect(await store.issueFence("m", NOW - DAY)).toBe(NOW + 2);
      expect(await store.issueFence("m", NOW + 9.5)).toBe(NOW + 10);
      expect(await store.issueFence("other", 5)).toBe(5);
    });

    test("a fence written by a holder from elsewhere counts as issued", async () => {
      await using opened = await open();
      const { store } = opened;
      await store.commit({ mailbox: "m", fence: NOW + 50, cursor: cursorOf() });
      expect(await store.issueFence("m", NOW)).toBe(NOW + 51);
    });

    test("a second holder of the same state shuts the first one out", async () => {
      await using opened = await open();
      const first = await opened.store.issueFence("m", NOW);
      const neighbour = await opened.reopen();
      const second = await neighbour.issueFence("m", NOW);
      const late = opened.store.commit({ mailbox: "m", fence: first, cursor: cursorOf() });
      await expect(late).rejects.toBeInstanceOf(FencedError);
      await neighbour.commit({ mailbox: "m", fence: second, cursor: cursorOf({ settledUpTo: 9 }) });
      expect((await opened.store.readCursor("m", "INBOX"))?.settledUpTo).toBe(9);
    });

    test.each(writesWithFence)("%s is refused under a stale fence", async (_, write) => {
      await using opened = await open();
      const { store } = opened;
      const stale = await store.issueFence("m", NOW);
      const fence = await store.issueFence("m", NOW);
      await expect(write(store, stale)).rejects.toBeInstanceOf(FencedError);
      await expect(write(store, fence)).resolves.not.toThrow();
    });

    test("a refused commit leaves nothing behind", async () => {
      await using opened = await open();
      const { store } = opened;
      const stale = await store.issueFence("m", NOW);
      await store.issueFence("m", NOW);
      const refused = store.commit({
        mailbox: "m",
        fence: stale,
        cursor: cursorOf(),
        receipts: [receiptOf(1)],
        spool: [entryOf(2)],
      });
      await expect(refused).rejects.toBeInstanceOf(FencedError);
      expect(await store.readCursor("m", "INBOX")).toBeNull();
      expect(await store.readReceipts({ last: 10 })).toEqual([]);
      expect((await store.spoolUsage()).rows).toBe(0);
    });

    test("the key of the store is made once and stays", async () => {
      await using opened = await open();
      const key = await opened.store.hmacKey();
      expect(key).toHaveLength(32);
      expect(await (await opened.reopen()).hmacKey()).toEqual(key);
    });
  });
};

/** Runs, suspects, redeliveries and live rows. */
export const runsContract = (open: OpenStore): void => {
  describe("runs", () => {
    test("only a run that did not end is unclean", async () => {
      await using opened = await open();
      const { store } = opened;
      expect(await store.beginRun("m", 1)).toEqual({ unclean: false, suspects: [] });
      expect((await store.beginRun("m", 2)).unclean).toBe(true);
      expect((await store.beginRun("other", 1)).unclean).toBe(false);
      await store.endRun("m", 2);
      expect((await store.beginRun("m", 3)).unclean).toBe(false);
    });

    test("suspects are replaced as a whole and found by the next run", async () => {
      await using opened = await open();
      const { store } = opened;
      await store.writeSuspects("m", 1, [{ uid: 1, soloDeaths: 0 }]);
      const suspects = [
        { uid: 2, soloDeaths: 1 },
        { uid: 3, soloDeaths: 0 },
      ];
      await store.writeSuspects("m", 1, suspects);
      expect((await (await opened.reopen()).beginRun("m", 2)).suspects).toEqual(suspects);
    });

    test("a commit acquits the messages it settles", async () => {
      await using opened = await open();
      const { store } = opened;
      await store.requestRedelivery("m", [2, 9]);
      await store.writeSuspects("m", 1, [
        { uid: 2, soloDeaths: 1 },
        { uid: 3, soloDeaths: 1 },
      ]);
      await store.commit({ mailbox: "m", fence: 1, receipts: [receiptOf(2)] });
      expect((await store.beginRun("m", 2)).suspects).toEqual([{ uid: 3, soloDeaths: 1 }]);
      expect(await store.readRedeliveries("m")).toEqual([9]);
    });

    test("requests for redelivery are kept once, in order, until they are cleared", async () => {
      await using opened = await open();
      const { store } = opened;
      await store.requestRedelivery("m", [9, 4]);
      await store.requestRedelivery("m", [4, 5]);
      await store.requestRedelivery("b", [1]);
      expect(await store.readRedeliveries("m")).toEqual([4, 5, 9]);
      expect(await store.redeliveryMailboxes()).toEqual(["b", "m"]);
      await store.clearRedeliveries("m", 1, [4, 5, 9]);
      expect(await store.readRedeliveries("m")).toEqual([]);
      expect(await store.redeliveryMailboxes()).toEqual(["b"]);
    });

    test("a mailbox keeps the time at which a process named it last", async () => {
      await using opened = await open();
      const { store } = opened;
      expect(await store.lastNamedMs("m")).toBe(null);
      await store.nameMailboxes(["m", "b"], NOW);
      await store.nameMailboxes(["b"], NOW + 60_000);
      expect(await store.lastNamedMs("m")).toBe(NOW);
      expect(await store.lastNamedMs("b")).toBe(NOW + 60_000);
    });

    test("a time in which no process ran counts for no mailbox", async () => {
      await using opened = await open();
      const { store } = opened;
      await store.nameMailboxes(["m"], NOW);
      await store.nameMailboxes(["b"], NOW + 60_000);
      await store.nameMailboxes(["b"], NOW + 60_000 + 3 * DAY);
      expect(await store.lastNamedMs("m")).toBe(NOW + 3 * DAY);
      expect(await store.lastNamedMs("b")).toBe(NOW + 60_000 + 3 * DAY);
    });

    test("a live row is replaced by its node and trimmed after a day", async () => {
      await using opened = await open();
      const { store } = opened;
      await store.writeNode("old", "{}", NOW - DAY - 1);
      await store.writeNode("node", '{"a":1}', NOW - 5000);
      await store.writeNode("node", '{"a":2}', NOW);
      expect(await store.readNodes()).toHaveLength(2);
      await store.housekeep(NOW);
      expect(await store.readNodes()).toEqual([{ node: "node", live: '{"a":2}', wallMs: NOW }]);
    });
  });
};
