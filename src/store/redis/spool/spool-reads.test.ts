// Reading the spool of the Redis store on a real server: how much is looked at when thousands of rows
// wait, and what becomes of rows that no key opens or whose payload is damaged.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  LOCK_KEY,
  type RedisStores,
  type RedisStoreServer,
  startRedisStores,
} from "../../../../test/support/redis-store.ts";
import type { Redis } from "../../../redis/redis.ts";
import { NOW, dueOf, dueQueryOf, entryOf, many } from "../../contract/samples.contract.ts";
import type { SharedStore } from "../../shared/shared-store.ts";
import type { SpoolEntry } from "../../store.ts";

const keyOf = (byte: number): string => Buffer.alloc(32, byte).toString("base64");
const PAYLOADS = `{${LOCK_KEY}:m}:spool:payloads`;
const uidsOf = (rows: readonly { uid: number }[]): number[] => rows.map(({ uid }) => uid);

describe("the spool in Redis", { tags: ["redis", "resilience"] }, () => {
  let redis: RedisStoreServer;
  beforeAll(async () => {
    redis = await startRedisStores();
  });
  afterAll(() => redis[Symbol.asyncDispose]());

  describe("with 10,000 rows that wait", () => {
    const ROWS = 10_000;
    let stores: RedisStores;
    let store: SharedStore;
    let asked = { scripts: 0, answerChars: 0 };
    beforeAll(async () => {
      stores = await redis.fresh();
      const wrap = (inner: Redis): Redis => ({
        ...inner,
        script: async (name, keys, args) => {
          const answer = await inner.script(name, keys, args);
          asked.scripts += 1;
          asked.answerChars += JSON.stringify(answer).length;
          return answer;
        },
      });
      store = stores.connect({ wrap });
      const spool = many(ROWS, (uid) =>
        entryOf(uid, { sinceMs: NOW - uid, nextAttemptMs: NOW + uid, payload: "x".repeat(100) }),
      );
      await store.commit({ mailbox: "m", fence: 1, spool });
    });
    afterAll(() => stores[Symbol.asyncDispose]());

    const costOf = async <T>(work: () => Promise<T>): Promise<typeof asked & { result: T }> => {
      asked = { scripts: 0, answerChars: 0 };
      const result = await work();
      return { ...asked, result };
    };

    test("none of them is read to find that none is due", async () => {
      const query = dueQueryOf({ nowMs: NOW - 1, limit: 64 });
      const { scripts, answerChars, result } = await costOf(() => store.dueEntries(query));
      expect(result).toEqual([]);
      expect(scripts).toBeLessThanOrEqual(2);
      expect(answerChars).toBeLessThan(1000);
    });

    test("a few that are due are found among them, those that wait longest first", async () => {
      const query = dueQueryOf({ nowMs: NOW + 70, limit: 64 });
      const { scripts, answerChars, result } = await costOf(() => store.dueEntries(query));
      expect(uidsOf(result)).toEqual(many(64, (place) => 71 - place));
      expect(scripts).toBeLessThanOrEqual(5);
      expect(answerChars).toBeLessThan(100_000);
    });

    test("when all are due only the first of them are read", async () => {
      const query = dueQueryOf({ nowMs: NOW + ROWS, limit: 64 });
      const { scripts, answerChars, result } = await costOf(() => store.dueEntries(query));
      expect(uidsOf(result)).toEqual(many(64, (place) => ROWS + 1 - place));
      expect(scripts).toBeLessThanOrEqual(5);
      expect(answerChars).toBeLessThan(400_000);
    });

    test("those that wait longest are found though many others are due before them", async () => {
      // Due are the 5,000 that wait shortest: half of all pages hold none.
      const query = dueQueryOf({ nowMs: NOW + ROWS / 2, limit: 64 });
      const { scripts, result } = await costOf(() => store.dueEntries(query));
      expect(uidsOf(result)).toEqual(many(64, (place) => ROWS / 2 + 1 - place));
      expect(scripts).toBeLessThanOrEqual(30);
    });

    test("questions about all of them cost a look or two", async () => {
      const questions: (() => Promise<unknown>)[] = [
        () => store.nextDueMs("m", []),
        () => store.waitingDestinations("m"),
        () => store.spoolUsage(),
        () => store.undecryptable(),
        () => store.oldestWaiting("m", "default"),
      ];
      for (const question of questions) {
        const { scripts, answerChars } = await costOf(question);
        expect(scripts).toBeLessThanOrEqual(4);
        expect(answerChars).toBeLessThan(3000);
      }
    });
  });

  describe("with keys", () => {
    const commit = (store: SharedStore, spool: readonly SpoolEntry[]): Promise<unknown> =>
      store.commit({ mailbox: "m", fence: 1, spool });

    test("a row opens under the key it was sealed with, whichever key is first now", async () => {
      await using stores = await redis.fresh();
      await commit(stores.connect({ spoolKeys: [keyOf(1)] }), [entryOf(1)]);
      const rotated = stores.connect({ spoolKeys: [keyOf(2), keyOf(1)] });
      await commit(rotated, [entryOf(2)]);
      expect(await dueOf(rotated)).toEqual([entryOf(1), entryOf(2)]);
      expect(await rotated.waitingDestinations("m")).toEqual(["default"]);
      expect((await rotated.spoolUsage()).parts).toEqual([
        { mailbox: "m", destination: "default", waiting: 2, parked: 0 },
      ]);
      expect(await redis.server.cli("HVALS", PAYLOADS)).not.toContain("uid");
    });

    test("a row whose key is missing is counted, kept and holds nobody up", async () => {
      await using stores = await redis.fresh();
      const sealed = [
        entryOf(1, { sinceMs: 0, nextAttemptMs: 0 }),
        entryOf(2, { sinceMs: 1, destination: "rule-a" }),
      ];
      await commit(stores.connect({ spoolKeys: [keyOf(1)] }), sealed);
      const store = stores.connect({ spoolKeys: [keyOf(2)] });
      await commit(store, [entryOf(3)]);
      expect(await store.dueEntries(dueQueryOf({ limit: 1 }))).toEqual([entryOf(3)]);
      expect(await store.oldestWaiting("m", "default")).toEqual(entryOf(3));
      expect(await store.nextDueMs("m", [])).toBe(NOW);
      expect(await store.waitingDestinations("m")).toEqual(["default"]);
      expect(await store.readEntries("evt_1")).toEqual([]);
      expect(await store.undecryptable()).toBe(2);
      expect((await store.spoolUsage()).rows).toBe(3);
      const both = stores.connect({ spoolKeys: [keyOf(2), keyOf(1)] });
      expect(await dueOf(both)).toHaveLength(3);
      expect(await both.undecryptable()).toBe(0);
    });

    test("rows without a key at hand are parked and dropped with all others", async () => {
      await using stores = await redis.fresh();
      await commit(stores.connect({ spoolKeys: [keyOf(1)] }), [entryOf(1)]);
      const store = stores.connect();
      expect(await store.parkMailbox("m", "mailbox_gone", NOW)).toBe(1);
      expect(await store.undecryptable()).toBe(1);
      expect(await store.drop("all")).toBe(1);
      expect(await store.undecryptable()).toBe(0);
    });

    test.each([
      ["damaged", ["HSET", PAYLOADS, "evt_1 default", "AAAA"]],
      ["gone", ["HDEL", PAYLOADS, "evt_1 default"]],
    ])("a payload that is %s is counted and holds nobody up", async (_, words) => {
      await using stores = await redis.fresh();
      const store = stores.connect({ spoolKeys: [keyOf(1)] });
      await commit(store, [entryOf(1, { sinceMs: 0, nextAttemptMs: 0 }), entryOf(2)]);
      await redis.server.cli(...words);
      const query = dueQueryOf({ limit: 1 });
      expect(await store.dueEntries(query)).toEqual([]);
      expect(await store.dueEntries(query)).toEqual([entryOf(2)]);
      expect(await store.undecryptable()).toBe(1);
      expect(await store.nextDueMs("m", [])).toBe(NOW);
      expect(await store.oldestWaiting("m", "default")).toEqual(entryOf(2));
      const end = { eventId: "evt_2", destination: "default", attempts: 2 };
      await store.updateSpool("m", 1, [{ ...end, kind: "delivered" }]);
      expect(await store.waitingDestinations("m")).toEqual([]);
      expect(await store.nextDueMs("m", [])).toBeNull();
      expect(await store.oldestWaiting("m", "default")).toBeNull();
    });
  });

  test("nothing of a delivered payload is left", async () => {
    await using stores = await redis.fresh();
    const store = stores.connect();
    const spool = [entryOf(1), entryOf(1, { destination: "rule-a" })];
    await store.commit({ mailbox: "m", fence: 1, spool });
    const ends = spool.map(({ eventId, destination }) => ({ eventId, destination, attempts: 2 }));
    await store.updateSpool(
      "m",
      1,
      ends.map((end) => ({ ...end, kind: "delivered" })),
    );
    const keys = (await redis.server.cli("KEYS", "*spool*")).split("\n");
    expect(keys).toEqual([`{${LOCK_KEY}:m}:spool:usage`]);
  });
});
