// The upkeep of the Redis store on a real server, where it goes beyond the contract: what is over the
// number of receipts kept, receipts that something depends on, and upkeep that finds nothing to do.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  LOCK_KEY,
  type RedisStoreServer,
  startRedisStores,
} from "../../../test/support/redis-store.ts";
import {
  DAY,
  NOW,
  cursorOf,
  entryOf,
  many,
  parkedEntryOf,
  parkedReceiptOf,
  receiptOf,
  tailEntryOf,
} from "../contract/samples.contract.ts";

const KEY = (mailbox: string, name: string): string => `{${LOCK_KEY}:${mailbox}}:${name}`;

/** Copies one receipt many times, each a millisecond older than the one before. */
const COPY = `local text = redis.call('HGET', KEYS[1], ARGV[1])
  for i = 1, tonumber(ARGV[2]) do
    redis.call('HSET', KEYS[1], 'copy_' .. i, text)
    redis.call('ZADD', KEYS[2], tonumber(ARGV[3]) - i, 'copy_' .. i)
  end return 1`;

describe("housekeeping on Redis", { tags: ["redis", "resilience"] }, () => {
  let redis: RedisStoreServer;
  beforeAll(async () => {
    redis = await startRedisStores();
  });
  afterAll(() => redis[Symbol.asyncDispose]());

  const copy = (mailbox: string, eventId: string, count: number): Promise<string> => {
    const keys = [KEY(mailbox, "receipts"), KEY(mailbox, "receipts:by-age")];
    return redis.server.cli("EVAL", COPY, "2", ...keys, eventId, String(count), String(NOW));
  };
  const countOf = async (mailbox: string): Promise<number> =>
    Number(await redis.server.cli("HLEN", KEY(mailbox, "receipts")));

  test("of more than a hundred thousand receipts the oldest go, in the mailbox that has the most", async () => {
    await using stores = await redis.fresh();
    const store = stores.connect();
    await store.commit({ mailbox: "m", fence: 1, receipts: [receiptOf(1)] });
    const small = receiptOf(2, { mailbox: "other", settledMs: NOW - DAY });
    await store.commit({ mailbox: "other", fence: 1, receipts: [small] });
    await copy("m", "evt_1", 100_004);
    await store.housekeep(NOW);
    expect(await countOf("m")).toBe(99_999);
    expect(await store.readReceipt("evt_2")).toEqual(small);
    expect(await store.readReceipt("evt_1")).not.toBeNull();
    expect(await store.readReceipt("copy_99998")).not.toBeNull();
    expect(await store.readReceipt("copy_99999")).toBeNull();
    expect(await redis.server.cli("ZCARD", KEY("m", "receipts:by-age"))).toBe("99999");
  });

  test("receipts that must stay do not keep the ones behind them from going", async () => {
    await using stores = await redis.fresh();
    const store = stores.connect();
    const settledMs = NOW - 40 * DAY;
    const parked = many(1200, (uid) => ({ ...parkedReceiptOf(uid), settledMs }));
    const old = receiptOf(5000, { settledMs: settledMs + 1 });
    const owed = receiptOf(5001, { settledMs: settledMs + 2, todo: true });
    await store.commit({
      ...{ mailbox: "m", fence: 1, receipts: [...parked, old, owed] },
      spool: many(1200, parkedEntryOf),
    });
    await store.housekeep(NOW);
    expect(await countOf("m")).toBe(1201);
    expect(await store.readReceipt("evt_5000")).toBeNull();
    expect(await store.counts("m")).toMatchObject({ parked: 1200, delivered: 2 });
  });

  test("where nothing is past its keep nothing is written", async () => {
    await using stores = await redis.fresh();
    const store = stores.connect();
    await store.commit({
      ...{ mailbox: "m", fence: 1, cursor: cursorOf(), receipts: [receiptOf(1)] },
      ...{ spool: [entryOf(2)], tail: [tailEntryOf(1)] },
      claims: [{ key: "k", eventId: "evt_1", expiresMs: NOW + DAY }],
    });
    const before = await store.readState("m");
    await store.housekeep(NOW);
    expect(await store.readState("m")).toEqual(before);
  });
});
