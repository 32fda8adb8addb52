// Publication against a real Redis that loses what it had, or goes back to an older state: nothing is lost,
// nothing that was delivered is settled away or sent again without a cause, whoever publishes first.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type RedisServer, startRedis } from "../../../test/support/redis.ts";
import {
  cursorOf,
  many,
  NOW,
  parkedEntryOf,
  parkedReceiptOf,
  receiptOf,
  tailEntryOf,
} from "../contract/samples.contract.ts";
import {
  deliveredFromSpool,
  idOf,
  openNode,
  publisherOf,
  rowOf,
  saveRedis,
  settledUpTo,
  spooledUpTo,
  type TestNode,
} from "./nodes.contract.ts";
import { publishMailbox } from "./publish.ts";
import { isNewer, type Publication, type StateVersion } from "./shared-store.ts";

const TAGS = { tags: ["redis", "resilience"] };

let server: RedisServer;
beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server[Symbol.asyncDispose]());
beforeEach(async () => void (await server.cli("FLUSHALL")));

const publish = (node: TestNode): Promise<number> => publishMailbox(publisherOf(node), "m");

const cursorAt = async (node: TestNode) => {
  const cursor = await node.shared.readCursor("m", "INBOX");
  return cursor === null ? null : [cursor.settledUpTo, cursor.settledAbove];
};

const openUids = async (node: TestNode): Promise<number[]> =>
  (await node.shared.readState("m")).open.map(({ uid }) => uid).toSorted((a, b) => a - b);

/** Goes on alone, and returns the fence of that time. */
const goAlone = async (node: TestNode): Promise<number> => {
  node.alone.add("m");
  return await node.store.issueFence("m", NOW);
};

const comeBack = async (node: TestNode): Promise<void> => {
  node.alone.delete("m");
  await publish(node);
};

describe("a Redis that comes back empty", TAGS, () => {
  test("gets cursor and tail back, and counts as newer than every journal", async () => {
    await using node = await openNode(server.url);
    const fence = await node.store.issueFence("m", NOW);
    for (const uid of [1, 2, 3]) await node.store.commit({ ...settledUpTo(uid), fence });
    const before = await node.journal.read("m");
    await server.cli("FLUSHALL");
    await publish(node);
    expect(await cursorAt(node)).toEqual([3, []]);
    expect(await node.shared.readTail("m", "INBOX")).toHaveLength(3);
    const { version } = await node.shared.readState("m");
    expect(isNewer(version!, before!.version)).toBe(true);
    expect((await node.journal.read("m"))?.version).toEqual(version);
  });

  test("has those messages read again whose rows it lost, waiting or parked", async () => {
    await using node = await openNode(server.url);
    const fence = await node.store.issueFence("m", NOW);
    await node.store.commit({ ...settledUpTo(1), fence });
    await node.store.commit({ ...spooledUpTo(2), fence });
    const parked = { ...parkedEntryOf(3), eventId: idOf(3) };
    const receipts = [{ ...parkedReceiptOf(3), eventId: idOf(3) }];
    await node.store.commit({ ...settledUpTo(3, { receipts, spool: [parked] }), fence });
    await node.store.commit({ ...settledUpTo(4), fence });
    await server.cli("FLUSHALL");
    await publish(node);
    expect(await cursorAt(node)).toEqual([1, [[4, 4]]]);
    // Alone it would have to read them again as well.
    expect((await node.own.readCursor("m", "INBOX"))?.settledUpTo).toBe(1);
    expect((await node.journal.read("m"))?.open).toEqual([]);
  });

  test("keeps a message settled whose row was delivered before the loss", async () => {
    await using node = await openNode(server.url);
    const fence = await node.store.issueFence("m", NOW);
    await node.store.commit({ ...spooledUpTo(1), fence });
    await node.store.updateSpool("m", fence, [deliveredFromSpool(1)]);
    await server.cli("FLUSHALL");
    await publish(node);
    expect(await cursorAt(node)).toEqual([1, []]);
  });

  test("gets a long tail back whole", async () => {
    await using node = await openNode(server.url);
    const fence = await node.store.issueFence("m", NOW);
    const tail = many(2500, (uid) => tailEntryOf(uid));
    await node.store.commit({ ...settledUpTo(2500, { tail }), fence });
    await server.cli("FLUSHALL");
    await publish(node);
    expect(await node.shared.readTail("m", "INBOX")).toHaveLength(2500);
  });

  test.each(["the newer", "the older"])("is right when %s journal comes first", async (first) => {
    await using ahead = await openNode(server.url, 1);
    await using behind = await openNode(server.url, 2);
    const fence = await ahead.store.issueFence("m", NOW);
    await ahead.store.commit({ ...settledUpTo(1), fence });
    await publish(behind);
    await ahead.store.commit({ ...settledUpTo(2), fence });
    await ahead.store.commit({ ...spooledUpTo(3), fence });
    await server.cli("FLUSHALL");
    for (const node of first === "the newer" ? [ahead, behind] : [behind, ahead]) {
      await publish(node);
    }
    expect(await cursorAt(ahead)).toEqual([2, []]);
    await publish(behind);
    expect((await behind.journal.read("m"))?.cursors[0]?.settledUpTo).toBe(2);
  });

  test("gets its state back although a new holder has begun to write", async () => {
    await using node = await openNode(server.url, 1);
    await using fresh = await openNode(server.url, 2);
    const fence = await node.store.issueFence("m", NOW);
    await node.store.commit({ ...settledUpTo(3), fence });
    await server.cli("FLUSHALL");
    await fresh.store.beginRun("m", await fresh.store.issueFence("m", NOW + 60_000));
    await publish(node);
    expect(await cursorAt(fresh)).toEqual([3, []]);
  });

  test("keeps what it was given by the newest of its holders", async () => {
    await using former = await openNode(server.url, 1);
    await using latter = await openNode(server.url, 2);
    const first = await former.store.issueFence("m", NOW);
    await former.store.commit({ ...settledUpTo(5), fence: first });
    const second = await latter.store.issueFence("m", NOW + 60_000);
    const cursor = cursorOf({ uidvalidity: "8", settledUpTo: 1, settledAbove: [] });
    await latter.store.commit({ mailbox: "m", fence: second, cursor });
    await publish(former);
    expect(await former.shared.readCursor("m", "INBOX")).toEqual(cursor);
    expect((await former.journal.read("m"))?.cursors).toEqual([cursor]);
  });

  test("gets nothing from a node that knows nothing", async () => {
    await using node = await openNode(server.url);
    await publish(node);
    expect(await node.shared.readState("m")).toEqual({ version: null, cursors: [], open: [] });
    expect(await node.journal.read("m")).toBeNull();
  });
});

describe("a Redis that goes back to an older state", TAGS, () => {
  test("loses rows that were delivered since, and has lost ones read again", async () => {
    await using node = await openNode(server.url);
    const fence = await node.store.issueFence("m", NOW);
    await node.store.commit({ ...spooledUpTo(1), fence });
    await node.store.commit({ ...spooledUpTo(2), fence });
    const goBack = await saveRedis(server.url);
    await node.store.updateSpool("m", fence, [deliveredFromSpool(1)]);
    await node.store.commit({ ...settledUpTo(3), fence });
    await node.store.commit({ ...spooledUpTo(4), fence });
    await goBack();
    expect(await openUids(node)).toEqual([1, 2]);
    await publish(node);
    expect(await cursorAt(node)).toEqual([3, []]);
    expect(await openUids(node)).toEqual([2]);
    expect(await node.shared.readEntries(idOf(1))).toEqual([]);
    expect(await node.shared.readEntries(idOf(2))).toEqual([rowOf(2)]);
  });

  test("keeps a row of which the journal does not know whether its message is settled", async () => {
    await using node = await openNode(server.url);
    const fence = await node.store.issueFence("m", NOW);
    const row = rowOf(9, { eventId: idOf(9, "6") });
    await node.store.commit({ ...settledUpTo(1, { spool: [row] }), fence });
    const goBack = await saveRedis(server.url);
    await node.store.updateSpool("m", fence, [{ ...deliveredFromSpool(9), eventId: idOf(9, "6") }]);
    await node.store.commit({ ...settledUpTo(2), fence });
    await goBack();
    await publish(node);
    expect(await openUids(node)).toEqual([9]);
    expect(await cursorAt(node)).toEqual([2, []]);
  });

  test("takes the numbering of the newer record, whole", async () => {
    await using node = await openNode(server.url);
    const fence = await node.store.issueFence("m", NOW);
    await node.store.commit({ ...settledUpTo(50), fence });
    const goBack = await saveRedis(server.url);
    const cursor = cursorOf({ uidvalidity: "8", settledUpTo: 2, settledAbove: [] });
    await node.store.commit({ mailbox: "m", fence, cursor });
    await goBack();
    await publish(node);
    expect(await node.shared.readCursor("m", "INBOX")).toEqual(cursor);
  });

  test("keeps the holder whose writes it lost from writing over what is left", async () => {
    await using node = await openNode(server.url);
    const fence = await node.store.issueFence("m", NOW);
    await node.store.commit({ ...settledUpTo(1), fence });
    const goBack = await saveRedis(server.url);
    await node.store.commit({ ...settledUpTo(2), fence });
    await goBack();
    const code = "store/state-lost";
    await expect(node.store.commit({ ...settledUpTo(3), fence })).rejects.toMatchObject({ code });
    expect(await cursorAt(node)).toEqual([1, []]);
    await publish(node);
    expect(await cursorAt(node)).toEqual([2, []]);
  });
});

describe("the return from a time alone", TAGS, () => {
  const spooledAlone = async (node: TestNode): Promise<number> => {
    const first = await node.store.issueFence("m", NOW - 10_000);
    await node.store.commit({ ...settledUpTo(3), fence: first });
    const fence = await goAlone(node);
    await node.store.commit({ ...settledUpTo(4), fence });
    await node.store.commit({ ...spooledUpTo(5), fence });
    return fence;
  };

  test("brings cursor, rows, receipts and counts, once", async () => {
    await using node = await openNode(server.url);
    await spooledAlone(node);
    await comeBack(node);
    expect(await cursorAt(node)).toEqual([5, []]);
    expect(await node.shared.readEntries(idOf(5))).toEqual([rowOf(5)]);
    expect((await node.shared.readReceipt(idOf(4)))?.outcome).toBe("delivered");
    expect(await node.shared.counts("m")).toMatchObject({ delivered: 2 });
    expect((await node.own.spoolUsage()).rows).toBe(0);
    expect(await node.own.readReceipts({ last: 9 })).toEqual([]);
    const { version } = await node.shared.readState("m");
    await publish(node);
    expect((await node.shared.readState("m")).version).toEqual(version);
  });

  test("leaves a pair alone that was delivered elsewhere meanwhile", async () => {
    await using node = await openNode(server.url, 1);
    await using other = await openNode(server.url, 2);
    await spooledAlone(node);
    const fence = await other.store.issueFence("m", NOW + 60_000);
    const cursor = cursorOf({ settledUpTo: 7, settledAbove: [] });
    const receipts = [receiptOf(5, { eventId: idOf(5) })];
    await other.store.commit({ mailbox: "m", fence, cursor, receipts });
    await comeBack(node);
    expect(await openUids(node)).toEqual([]);
    expect(await cursorAt(node)).toEqual([7, []]);
    expect((await node.shared.readReceipt(idOf(5)))?.outcome).toBe("delivered");
    expect((await node.own.spoolUsage()).rows).toBe(0);
  });

  test("brings rows and what it settled even when another host holds newer state", async () => {
    await using node = await openNode(server.url, 1);
    await using other = await openNode(server.url, 2);
    await spooledAlone(node);
    const fence = await other.store.issueFence("m", NOW + 60_000);
    const cursor = cursorOf({ settledUpTo: 4, settledAbove: [[6, 6]] });
    await other.store.commit({ mailbox: "m", fence, cursor });
    await comeBack(node);
    expect(await openUids(node)).toEqual([5]);
    // What was delivered alone need not be read again.
    expect(await cursorAt(node)).toEqual([6, []]);
  });

  test("finds rows of the shared spool delivered meanwhile, and does not settle them away", async () => {
    await using node = await openNode(server.url, 1);
    await using other = await openNode(server.url, 2);
    const first = await node.store.issueFence("m", NOW - 10_000);
    await node.store.commit({ ...spooledUpTo(3), fence: first });
    const alone = await goAlone(node);
    await node.store.commit({ ...settledUpTo(4), fence: alone });
    // By a holder with an older fence, so that the time alone is the newer state.
    await other.store.updateSpool("m", first, [deliveredFromSpool(3)]);
    await comeBack(node);
    expect(await cursorAt(node)).toEqual([4, []]);
    expect(await openUids(node)).toEqual([]);
  });

  test("repeats harmlessly what a crash cut off before the rows were forgotten", async () => {
    await using node = await openNode(server.url);
    await spooledAlone(node);
    node.alone.clear();
    const deps = publisherOf(node);
    const crash = async (): Promise<void> => await Promise.reject(new Error("crash"));
    const crashing = { ...deps, local: { ...deps.local, forget: crash } };
    await expect(publishMailbox(crashing, "m")).rejects.toThrow("crash");
    expect(await openUids(node)).toEqual([5]);
    expect((await node.own.spoolUsage()).rows).toBe(1);
    expect(await cursorAt(node)).toEqual([3, []]);
    // Delivered by a holder in between: it must not come again.
    const fence = await node.store.issueFence("m", NOW + 5000);
    await node.store.updateSpool("m", fence, [deliveredFromSpool(5)]);
    await publish(node);
    expect(await openUids(node)).toEqual([]);
    expect((await node.own.spoolUsage()).rows).toBe(0);
    expect((await node.shared.readReceipt(idOf(5)))?.outcome).toBe("delivered");
    expect(await node.shared.counts("m")).toMatchObject({ delivered: 3 });
  });

  test("settles nothing before its rows are there", async () => {
    await using node = await openNode(server.url);
    await spooledAlone(node);
    node.alone.clear();
    const deps = publisherOf(node);
    const publishRows = async (publication: Publication): Promise<StateVersion | null> => {
      if (publication.cursors.length > 0) throw new Error("crash");
      return await deps.shared.publish(publication);
    };
    const shared = { ...deps.shared, publish: publishRows };
    await expect(publishMailbox({ ...deps, shared }, "m")).rejects.toThrow("crash");
    expect(await cursorAt(node)).toEqual([3, []]);
    expect(await openUids(node)).toEqual([5]);
    // The rows left this node; when Redis loses them now, their message must be read again.
    await server.cli("FLUSHALL");
    await publish(node);
    expect(await cursorAt(node)).toEqual([4, []]);
  });

  test("brings what lay here before there was a Redis", async () => {
    await using node = await openNode(server.url);
    const fence = await node.own.issueFence("m", NOW - 60_000);
    await node.own.commit({ ...settledUpTo(1), fence });
    await node.own.commit({ ...spooledUpTo(2), fence });
    await publish(node);
    expect(await cursorAt(node)).toEqual([2, []]);
    expect(await openUids(node)).toEqual([2]);
    expect(await node.shared.readTail("m", "INBOX")).toHaveLength(2);
    expect(await node.shared.counts("m")).toMatchObject({ delivered: 1 });
  });

  test("brings more rows than one write takes", async () => {
    await using node = await openNode(server.url);
    const fence = await goAlone(node);
    const spool = many(600, (uid) => rowOf(uid));
    const cursor = cursorOf({ settledUpTo: 600, settledAbove: [] });
    await node.store.commit({ mailbox: "m", fence, cursor, spool });
    await comeBack(node);
    expect(await openUids(node)).toHaveLength(600);
    expect(await cursorAt(node)).toEqual([600, []]);
  });

  test("passes on what is to be sent again", async () => {
    await using node = await openNode(server.url);
    await spooledAlone(node);
    await node.store.requestRedelivery("m", [4]);
    await comeBack(node);
    expect(await node.shared.readRedeliveries("m")).toEqual([4]);
    expect(await node.own.redeliveryMailboxes()).toEqual([]);
  });
});

describe("others that write at the same time", TAGS, () => {
  test("make it start over with what they wrote", async () => {
    await using node = await openNode(server.url, 1);
    await using other = await openNode(server.url, 2);
    const fence = await node.store.issueFence("m", NOW);
    await node.store.commit({ ...settledUpTo(1), fence });
    const goBack = await saveRedis(server.url);
    for (const uid of [2, 3]) await node.store.commit({ ...settledUpTo(uid), fence });
    await goBack();
    const deps = publisherOf(node);
    let refused = 0;
    const publishLate = async (publication: Publication): Promise<StateVersion | null> => {
      if (refused === 0) await other.shared.requestRedelivery("m", [1]);
      const published = await deps.shared.publish(publication);
      if (published === null) refused += 1;
      return published;
    };
    const shared = { ...deps.shared, publish: publishLate };
    await publishMailbox({ ...deps, shared }, "m");
    expect(refused).toBe(1);
    expect(await cursorAt(node)).toEqual([3, []]);
    expect(await node.shared.readRedeliveries("m")).toEqual([1]);
  });

  test("and never stop are told of", async () => {
    await using node = await openNode(server.url);
    await node.own.commit({ ...settledUpTo(3), fence: 1 });
    const deps = publisherOf(node);
    const shared = { ...deps.shared, publish: async () => await Promise.resolve(null) };
    const publishing = publishMailbox({ ...deps, shared }, "m");
    await expect(publishing).rejects.toMatchObject({ code: "store/contended" });
  });
});
