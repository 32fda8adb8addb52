// Transactions of the Redis store on a real server: how many scripts they take, what happens when another
// process is faster, when answers are lost, and when a key is not what it should be.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  LOCK_KEY,
  type RedisStores,
  type RedisStoreServer,
  startRedisStores,
} from "../../../test/support/redis-store.ts";
import { FencedError } from "../../core/errors.ts";
import { type Redis, RedisError, type RedisScript } from "../../redis/redis.ts";
import {
  NOW,
  cursorOf,
  entryOf,
  many,
  receiptOf,
  spooledReceiptOf,
  tailEntryOf,
} from "../contract/samples.contract.ts";

const KEY = (name: string): string => `{${LOCK_KEY}:m}:${name}`;

describe("transactions on Redis", { tags: ["redis", "resilience"] }, () => {
  let redis: RedisStoreServer;
  beforeAll(async () => {
    redis = await startRedisStores();
  });
  afterAll(() => redis[Symbol.asyncDispose]());

  /** A store whose scripts are listed, and may be held up. */
  const listening = (
    stores: RedisStores,
    before: (name: RedisScript) => Promise<unknown> = async () => undefined,
  ) => {
    const scripts: RedisScript[] = [];
    const wrap = (inner: Redis): Redis => ({
      ...inner,
      script: async (name, keys, args) => {
        scripts.push(name);
        await before(name);
        return inner.script(name, keys, args);
      },
    });
    return { store: stores.connect({ wrap }), scripts };
  };

  test("a commit of 64 messages is one script that reads and one that writes", async () => {
    await using stores = await redis.fresh();
    const { store, scripts } = listening(stores);
    await store.commit({
      ...{ mailbox: "m", fence: 1, cursor: cursorOf() },
      ...{
        receipts: many(64, (uid) => spooledReceiptOf(uid)),
        spool: many(64, (uid) => entryOf(uid)),
      },
      ...{ tail: many(64, (uid) => tailEntryOf(uid)) },
    });
    expect(scripts).toEqual(["read", "write"]);
  });

  test("a commit of nothing is still written", async () => {
    await using stores = await redis.fresh();
    const { store, scripts } = listening(stores);
    await store.commit({ mailbox: "m", fence: 5 });
    expect(scripts).toEqual(["write"]);
    expect(await redis.server.cli("HGET", KEY("state"), "__fence")).toBe("5");
  });

  test("writes of one mailbox at the same time never get in each other's way", async () => {
    await using stores = await redis.fresh();
    const { store, scripts } = listening(stores);
    const commits = many(10, (uid) => ({ mailbox: "m", fence: 1, receipts: [receiptOf(uid)] }));
    await Promise.all(commits.map((commit) => store.commit(commit)));
    expect(scripts).toHaveLength(20);
    expect((await store.counts("m")).delivered).toBe(10);
  });

  test("a failed write does not hold up the next one of its mailbox", async () => {
    await using stores = await redis.fresh();
    const { store } = listening(stores);
    await store.issueFence("m", NOW);
    const stale = store.commit({ mailbox: "m", fence: 1 });
    const good = store.commit({ mailbox: "m", fence: NOW });
    await expect(stale).rejects.toBeInstanceOf(FencedError);
    expect(await good).toEqual({ droppedTodos: 0 });
  });

  test("what another process wrote in between is read again before anything is written", async () => {
    await using stores = await redis.fresh();
    const other = stores.connect();
    let interruptions = 3;
    const { store, scripts } = listening(stores, async (name) => {
      if (name !== "write" || interruptions === 0) return;
      interruptions -= 1;
      const receipts = [receiptOf(7, { settledMs: NOW + interruptions })];
      await other.commit({ mailbox: "m", fence: 1, receipts });
    });
    const filtered = { outcome: "filtered", reason: "sender", pairs: {} } as const;
    await store.commit({ mailbox: "m", fence: 1, receipts: [receiptOf(7, filtered)] });
    expect(scripts.filter((name) => name === "write")).toHaveLength(4);
    expect(await store.counts("m")).toMatchObject({ delivered: 0, filtered: 1 });
  });

  test("a write that another process always overtakes is given up, and says so", async () => {
    await using stores = await redis.fresh();
    const { store, scripts } = listening(stores, async (name) => {
      if (name === "write") await redis.server.cli("HINCRBY", KEY("state"), "__rev", "1");
    });
    const commit = { mailbox: "m", fence: 1, receipts: [receiptOf(1)] };
    await expect(store.commit(commit)).rejects.toMatchObject({ code: "store/contended" });
    expect(scripts.filter((name) => name === "write")).toHaveLength(20);
    expect(await store.readReceipt("evt_1")).toBeNull();
  });

  test("the version of a mailbox is the one of the last write or read", async () => {
    await using stores = await redis.fresh();
    const [store, other] = [stores.connect(), stores.connect()];
    expect(store.knownVersion("m")).toBeNull();
    await store.commit({ mailbox: "m", fence: 3, receipts: [receiptOf(1)] });
    expect(store.knownVersion("m")).toEqual({ fence: 3, revision: 1 });
    await other.commit({ mailbox: "m", fence: 4 });
    expect(store.knownVersion("m")).toEqual({ fence: 3, revision: 1 });
    expect((await store.readState("m")).version).toEqual({ fence: 4, revision: 2 });
    expect(store.knownVersion("m")).toEqual({ fence: 4, revision: 2 });
    await store.replay("all", NOW);
    expect(store.knownVersion("m")).toEqual({ fence: 4, revision: 2 });
    expect(store.knownVersion("other")).toBeNull();
  });

  test("an unclean stop is still known when the answer that told of it is lost", async () => {
    await using stores = await redis.fresh();
    const store = stores.connect();
    await store.beginRun("m", 1);
    expect((await store.beginRun("m", 2)).unclean).toBe(true);
    expect((await store.beginRun("m", 2)).unclean).toBe(true);
    await store.endRun("m", 2);
    expect((await store.beginRun("m", 3)).unclean).toBe(false);
    expect((await store.beginRun("m", 3)).unclean).toBe(false);
  });

  test("a match in the tail that was taken is not taken again by the same commit", async () => {
    await using stores = await redis.fresh();
    const store = stores.connect();
    const twins = [1, 2, 3].map((uid) => tailEntryOf(uid, { hash: "twin" }));
    await store.commit({ mailbox: "m", fence: 1, cursor: cursorOf(), tail: twins });
    const cursor = cursorOf({ uidvalidity: "8" });
    const tail = [tailEntryOf(9, { hash: "twin" })];
    const commit = { mailbox: "m", fence: 1, cursor, tail, tailMatched: ["twin"] };
    await store.commit(commit);
    const after = await store.readTail("m", "INBOX");
    await store.commit(commit);
    expect(after).toHaveLength(3);
    expect(await store.readTail("m", "INBOX")).toEqual(after);
  });

  test("a pair that was delivered since is not spooled again by the repeated commit", async () => {
    await using stores = await redis.fresh();
    const store = stores.connect();
    const receipts = [spooledReceiptOf(1, { todo: true })];
    const commit = { mailbox: "m", fence: 1, receipts, spool: [entryOf(1)] };
    await store.commit(commit);
    const end = { eventId: "evt_1", destination: "default", attempts: 2 };
    await store.updateSpool("m", 1, [{ ...end, kind: "delivered" }]);
    const delivered = await store.readReceipt("evt_1");
    await store.commit(commit);
    expect(await store.readReceipt("evt_1")).toEqual(delivered);
    expect((await store.spoolUsage()).rows).toBe(0);
  });

  test.each(["state", "receipts", "spool:usage", "spool:parked"])(
    "nothing is written when %s holds another kind of value",
    async (name) => {
      await using stores = await redis.fresh();
      const store = stores.connect();
      await redis.server.cli("SET", KEY(name), "foreign");
      const parked = entryOf(1, { state: "parked", parkedMs: NOW });
      const commit = { mailbox: "m", fence: 1, receipts: [receiptOf(2)], spool: [parked] };
      const refused = await store.commit(commit).catch((error: unknown) => error);
      expect(refused).toBeInstanceOf(RedisError);
      expect(refused).toMatchObject({ failure: "wrong_type" });
      expect(await redis.server.cli("KEYS", "*")).toBe(KEY(name));
    },
  );

  test("a very high fence comes back as it was issued", async () => {
    await using stores = await redis.fresh();
    const store = stores.connect();
    const fence = 2 ** 53 - 10;
    expect(await store.issueFence("m", fence)).toBe(fence);
    expect(await store.issueFence("m", fence)).toBe(fence + 1);
    await store.commit({ mailbox: "m", fence: fence + 1 });
    expect((await store.readState("m")).version?.fence).toBe(fence + 1);
  });

  test("all keys of a mailbox share the hash tag of its lock", async () => {
    await using stores = await redis.fresh();
    const store = stores.connect();
    await store.issueFence("default", 5);
    await store.commit({
      ...{ mailbox: "default", fence: 5, cursor: cursorOf({ mailbox: "default" }) },
      ...{ receipts: [receiptOf(1, { todo: true }), spooledReceiptOf(2)], spool: [entryOf(2)] },
      ...{ tail: [tailEntryOf(1)], claims: [{ key: "k", eventId: "evt_1", expiresMs: NOW }] },
    });
    const keys = (await redis.server.cli("KEYS", "*")).split("\n");
    const own = keys.filter((key) => key.startsWith(`{${LOCK_KEY}}:`));
    expect(keys.filter((key) => !own.includes(key))).toEqual(["signalpost:mailboxes"]);
    expect(own).toContain(`{${LOCK_KEY}}:state`);
    expect(keys.filter((key) => key.includes("INBOX"))).toEqual([]);
  });
});
