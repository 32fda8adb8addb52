// The state of a mailbox as a whole, on a real server: how new it is, and what a publication adds to it,
// replaces and leaves alone.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type RedisStoreServer, startRedisStores } from "../../../../test/support/redis-store.ts";
import { FencedError } from "../../../core/errors.ts";
import {
  NOW,
  cursorOf,
  dueOf,
  entryOf,
  parkedEntryOf,
  parkedReceiptOf,
  receiptOf,
  spooledReceiptOf,
  tailEntryOf,
} from "../../contract/samples.contract.ts";
import type { Publication } from "../../shared/shared-store.ts";

const publicationOf = (fields: Partial<Publication> = {}): Publication => ({
  mailbox: "m",
  expected: null,
  version: { fence: 1, revision: 1 },
  cursors: [],
  tail: [],
  spool: [],
  receipts: [],
  closed: [],
  ...fields,
});

const WAITING = { kind: "waiting", attempts: 1, errorClass: null } as const;

describe("shared state in Redis", { tags: ["redis", "resilience"] }, () => {
  let redis: RedisStoreServer;
  beforeAll(async () => {
    redis = await startRedisStores();
  });
  afterAll(() => redis[Symbol.asyncDispose]());

  test("a mailbox that no holder ever wrote has no version, whatever operators asked for", async () => {
    await using stores = await redis.fresh();
    const store = stores.connect();
    const nothing = { version: null, cursors: [], open: [] };
    expect(await store.readState("m")).toEqual(nothing);
    await store.issueFence("m", NOW);
    await store.adopt("m", "now");
    await store.requestRedelivery("m", [1]);
    expect(await store.readState("m")).toEqual(nothing);
  });

  test("the state is read with all cursors and open pairs", async () => {
    await using stores = await redis.fresh();
    const store = stores.connect();
    const other = cursorOf({ folder: "Archive ü" });
    await store.commit({ mailbox: "m", fence: 2, cursor: other });
    const spool = [entryOf(1), entryOf(1, { destination: "rule-a" }), parkedEntryOf(2)];
    await store.commit({ mailbox: "m", fence: 2, cursor: cursorOf(), spool });
    const { version, cursors, open } = await store.readState("m");
    expect(version).toEqual({ fence: 2, revision: 2 });
    expect(cursors).toHaveLength(2);
    expect(cursors).toEqual(expect.arrayContaining([other, cursorOf()]));
    expect(open).toHaveLength(3);
    expect(open).toEqual(
      expect.arrayContaining([
        { eventId: "evt_1", destination: "default", uid: 1 },
        { eventId: "evt_1", destination: "rule-a", uid: 1 },
        { eventId: "evt_2", destination: "default", uid: 2 },
      ]),
    );
  });

  test("an empty Redis takes all of a publication, and its version with it", async () => {
    await using stores = await redis.fresh();
    const store = stores.connect();
    const version = { fence: 50, revision: 700 };
    const tail = [{ ...tailEntryOf(1), uidvalidity: "7", folder: "INBOX" }];
    const published = await store.publish(
      publicationOf({
        ...{ version, cursors: [cursorOf()], tail, spool: [entryOf(1), parkedEntryOf(2)] },
        receipts: [spooledReceiptOf(1), parkedReceiptOf(2)],
      }),
    );
    const state = await store.readState("m");
    expect(published).toEqual(state.version);
    expect(state.version?.fence).toBe(50);
    expect(state.version?.revision).toBeGreaterThanOrEqual(700);
    expect(store.knownVersion("m")).toEqual(state.version);
    expect(state.cursors).toEqual([cursorOf()]);
    expect(await store.readTail("m", "INBOX")).toHaveLength(1);
    expect(await dueOf(store)).toEqual([entryOf(1)]);
    expect((await store.listParked()).map(({ uid }) => uid)).toEqual([2]);
    expect(await store.counts("m")).toMatchObject({ delivered: 0, parked: 1 });
  });

  test("a publication counts as a holder's write: an older fence is refused after it", async () => {
    await using stores = await redis.fresh();
    const store = stores.connect();
    await store.publish(publicationOf({ version: { fence: 50, revision: 1 } }));
    const late = store.commit({ mailbox: "m", fence: 49, cursor: cursorOf() });
    await expect(late).rejects.toBeInstanceOf(FencedError);
    expect(await store.issueFence("m", 1)).toBe(51);
  });

  test.each([
    ["nothing is expected and something is there", null],
    ["an older revision is expected", { fence: 3, revision: 0 }],
    ["another fence is expected", { fence: 2, revision: 1 }],
  ])("nothing is published when %s", async (_, expected) => {
    await using stores = await redis.fresh();
    const store = stores.connect();
    await store.commit({ mailbox: "m", fence: 3, cursor: cursorOf() });
    const before = await store.readState("m");
    const cursors = [cursorOf({ settledUpTo: 99 })];
    expect(await store.publish(publicationOf({ expected, cursors }))).toBeNull();
    expect(await store.readState("m")).toEqual(before);
  });

  test("of two nodes that publish at once one has to read again", async () => {
    await using stores = await redis.fresh();
    const nodes = [stores.connect(), stores.connect()];
    const results = await Promise.all(
      nodes.map((node, index) =>
        node.publish(publicationOf({ cursors: [cursorOf({ settledUpTo: index })] })),
      ),
    );
    expect(results.filter((version) => version === null)).toHaveLength(1);
  });

  test("a newer version that is there already is not lowered", async () => {
    await using stores = await redis.fresh();
    const store = stores.connect();
    await store.commit({ mailbox: "m", fence: 9, cursor: cursorOf() });
    const { version: expected } = await store.readState("m");
    await store.publish(publicationOf({ expected, version: { fence: 1, revision: 0 } }));
    expect((await store.readState("m")).version).toEqual({ fence: 9, revision: 2 });
  });

  test("a pair that was delivered here stays delivered, and gets no row", async () => {
    await using stores = await redis.fresh();
    const store = stores.connect();
    await store.commit({ mailbox: "m", fence: 1, receipts: [receiptOf(1)] });
    const { version: expected } = await store.readState("m");
    const pairs = { default: { ...WAITING, attempts: 9 }, "rule-a": WAITING };
    const receipts = [receiptOf(1, { outcome: "spooled", pairs })];
    const spool = [entryOf(1, { attempts: 9 }), entryOf(1, { destination: "rule-a" })];
    await store.publish(publicationOf({ expected, receipts, spool }));
    const receipt = await store.readReceipt("evt_1");
    expect(receipt?.pairs).toEqual({ ...receiptOf(1).pairs, "rule-a": WAITING });
    expect(receipt?.outcome).toBe("spooled");
    expect((await dueOf(store)).map(({ destination }) => destination)).toEqual(["rule-a"]);
    expect(await store.counts("m")).toMatchObject({ delivered: 0, parked: 0 });
  });

  test("an action after delivery that was done on either side is not owed again", async () => {
    await using stores = await redis.fresh();
    const store = stores.connect();
    const receipts = [receiptOf(1, { todo: false }), receiptOf(2, { todo: true })];
    await store.commit({ mailbox: "m", fence: 1, receipts });
    const { version: expected } = await store.readState("m");
    const published = [
      receiptOf(1, { todo: true }),
      receiptOf(2, { todo: false }),
      receiptOf(3, { todo: true }),
    ];
    await store.publish(publicationOf({ expected, receipts: published }));
    const query = { mailbox: "m", folder: "INBOX", uidvalidity: "7", limit: 9 };
    expect((await store.openTodos(query)).map(({ uid }) => uid)).toEqual([3]);
  });

  test("a waiting row stays as it is, and a parked one is replaced", async () => {
    await using stores = await redis.fresh();
    const store = stores.connect();
    await store.commit({ mailbox: "m", fence: 1, spool: [entryOf(1), parkedEntryOf(2)] });
    const { version: expected } = await store.readState("m");
    const spool = [1, 2].map((uid) => entryOf(uid, { payload: "new", attempts: 7 }));
    await store.publish(publicationOf({ expected, spool }));
    expect(await store.readEntries("evt_1")).toEqual([entryOf(1)]);
    expect(await store.readEntries("evt_2")).toEqual([spool[1]]);
  });

  test("closed rows go with their payloads, count as delivered and owe nothing", async () => {
    await using stores = await redis.fresh();
    const store = stores.connect();
    const receipts = [spooledReceiptOf(1, { todo: true }), spooledReceiptOf(2)];
    await store.commit({ mailbox: "m", fence: 1, receipts, spool: [entryOf(1), entryOf(2)] });
    const { version: expected } = await store.readState("m");
    const gone = { eventId: "evt_9", destination: "default", uid: 9 };
    const closed = [{ eventId: "evt_1", destination: "default", uid: 1 }, gone];
    await store.publish(publicationOf({ expected, closed }));
    expect(await store.readEntries("evt_1")).toEqual([]);
    expect(await store.readReceipt("evt_1")).toMatchObject({ outcome: "delivered", todo: false });
    expect(await store.readReceipt("evt_9")).toBeNull();
    expect((await store.spoolUsage()).rows).toBe(1);
    expect(await store.counts("m")).toMatchObject({ delivered: 1 });
  });

  test("a published cursor ends the wait for an operator's decision", async () => {
    await using stores = await redis.fresh();
    const store = stores.connect();
    await store.adopt("m", "now");
    await store.publish(publicationOf());
    expect(await store.readAdoption("m")).toBe("now");
    const { version: expected } = await store.readState("m");
    await store.publish(publicationOf({ expected, cursors: [cursorOf()] }));
    expect(await store.readAdoption("m")).toBeNull();
  });

  test("published twice, nothing is there twice", async () => {
    await using stores = await redis.fresh();
    const store = stores.connect();
    const part = {
      ...{ receipts: [spooledReceiptOf(1), receiptOf(2)], spool: [entryOf(1)] },
      ...{ tail: [{ ...tailEntryOf(2), uidvalidity: "7", folder: "INBOX" }] },
    };
    await store.publish(publicationOf(part));
    const usage = await store.spoolUsage();
    const { version: expected } = await store.readState("m");
    await store.publish(publicationOf({ expected, ...part }));
    expect(await store.spoolUsage()).toEqual(usage);
    expect(await store.counts("m")).toMatchObject({ delivered: 1 });
    expect(await store.readTail("m", "INBOX")).toHaveLength(1);
  });
});
