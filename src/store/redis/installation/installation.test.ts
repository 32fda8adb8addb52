// What the nodes of one Redis share besides mailboxes, on a real server: documents as other programs read
// them, marker and key, the server's own words, and how a daemon hears of an operator's command.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type RedisStoreServer, startRedisStores } from "../../../../test/support/redis-store.ts";
import { type Redis, RedisError } from "../../../redis/redis.ts";
import {
  NOW,
  entryOf,
  parkedEntryOf,
  parkedReceiptOf,
  spooledReceiptOf,
} from "../../contract/samples.contract.ts";
import type { SharedStore } from "../../shared/shared-store.ts";

const DOC = "signalpost:doc:polling_config";
const MEBIBYTE = 1024 * 1024;

/** Until the server has answered what was asked before. */
const answered = async (store: SharedStore): Promise<void> => void (await store.readMarker());

describe("an installation on Redis", { tags: ["redis", "resilience"] }, () => {
  let redis: RedisStoreServer;
  beforeAll(async () => {
    redis = await startRedisStores();
  });
  afterAll(() => redis[Symbol.asyncDispose]());

  test("a document lies under its name as JSON with its version and the time of its writing", async () => {
    await using stores = await redis.fresh();
    const store = stores.connect();
    await store.writeDocument("polling_config", { a: [1] }, { ifVersion: 0, nowMs: NOW });
    expect(JSON.parse(await redis.server.cli("GET", DOC))).toEqual({
      version: 1,
      updated_at: "2026-11-24T08:22:14.000Z",
      document: { a: [1] },
    });
  });

  test("a document that another program wrote in our form is taken", async () => {
    await using stores = await redis.fresh();
    const store = stores.connect();
    const updated_at = "2026-11-24T08:22:14Z";
    const text = JSON.stringify({ version: 7, updated_at, document: { a: 1 } });
    await redis.server.cli("SET", DOC, text);
    const expected = { version: 7, updatedMs: NOW, document: { a: 1 } };
    expect((await store.readDocuments()).polling_config).toEqual(expected);
  });

  test.each(["", "no JSON", "null", "[]", '{"document":{}}', '{"version":0,"document":{}}'])(
    "a document that reads %j is told as it is, hides no other and is written over",
    async (text) => {
      await using stores = await redis.fresh();
      const store = stores.connect();
      const other = { ifVersion: 0, nowMs: NOW };
      await store.writeDocument("routing_rules", { rules: [] }, other);
      await redis.server.cli("SET", DOC, text);
      const { polling_config, routing_rules } = await store.readDocuments();
      expect(polling_config).toEqual({ version: 0, updatedMs: 0, document: text });
      expect(routing_rules).toMatchObject({ version: 1 });
      const written = await store.writeDocument("polling_config", { a: 2 }, other);
      expect(written).toEqual({ kind: "written", version: 1 });
    },
  );

  test("of several keys for hashes the first one offered stands, for every node", async () => {
    await using stores = await redis.fresh();
    const [first, second] = [stores.connect(), stores.connect()];
    await expect(first.hmacKey()).rejects.toMatchObject({ code: "store/no-hmac-key" });
    const [one, two] = [Uint8Array.of(1, 255, 0), Uint8Array.of(2)];
    const offered = [await first.offerHmacKey(one), await second.offerHmacKey(two)];
    expect(offered).toEqual([one, one]);
    expect(await second.hmacKey()).toEqual(one);
  });

  test("the first marker stands until Redis loses it", async () => {
    await using stores = await redis.fresh();
    const [first, second] = [stores.connect(), stores.connect()];
    expect(await first.readMarker()).toBeNull();
    const set = await Promise.all([first.setMarker("a"), second.setMarker("b")]);
    expect(set[0]).toBe(set[1]);
    expect(await first.readMarker()).toBe(set[0]);
    await redis.server.cli("FLUSHALL");
    expect(await first.readMarker()).toBeNull();
  });

  test("the server tells its version and what it does when it is full", async () => {
    await using stores = await redis.fresh();
    expect(await stores.connect().readServer()).toEqual({
      version: expect.stringMatching(/^\d+\.\d+\.\d+$/) as string,
      isValkey: false,
      evictionPolicy: "noeviction",
      maxMemoryBytes: 0,
    });
  });

  test("a user who may not ask for it learns nothing, and that is no error", async () => {
    await using stores = await redis.fresh();
    const store = stores.connect();
    await redis.server.cli("ACL", "SETUSER", "default", "-info");
    try {
      const nothing = {
        version: null,
        isValkey: false,
        evictionPolicy: null,
        maxMemoryBytes: null,
      };
      expect(await store.readServer()).toEqual(nothing);
      expect((await store.spoolUsage()).maxBytes).toBe(128 * MEBIBYTE);
    } finally {
      await redis.server.cli("ACL", "SETUSER", "default", "+info");
    }
  });

  test("the spool takes a quarter of the memory, looked at once a minute", async () => {
    await using stores = await redis.fresh();
    const store = stores.connect();
    const maxBytes = async (): Promise<number | null> => (await store.spoolUsage()).maxBytes;
    expect(await maxBytes()).toBe(128 * MEBIBYTE);
    await redis.server.cli("CONFIG", "SET", "maxmemory", String(100 * MEBIBYTE));
    try {
      expect(await maxBytes()).toBe(128 * MEBIBYTE);
      await stores.clock.advance(60_000);
      expect(await maxBytes()).toBe(25 * MEBIBYTE);
    } finally {
      await redis.server.cli("CONFIG", "SET", "maxmemory", "0");
    }
  });

  test("a full Redis takes no row and says so, and rows still leave it", async () => {
    await using stores = await redis.fresh();
    const store = stores.connect();
    const receipts = [spooledReceiptOf(1), parkedReceiptOf(3)];
    await store.commit({ mailbox: "m", fence: 1, receipts, spool: [entryOf(1), parkedEntryOf(3)] });
    await redis.server.cli("CONFIG", "SET", "maxmemory", "1");
    try {
      const refused = store.commit({ mailbox: "m", fence: 1, spool: [entryOf(2)] });
      await expect(refused).rejects.toMatchObject({ failure: "oom" });
      expect(await store.readEntries("evt_2")).toEqual([]);
      const end = { eventId: "evt_1", destination: "default", attempts: 2 };
      await store.updateSpool("m", 1, [{ ...end, kind: "delivered" }]);
      expect(await store.drop("all")).toBe(1);
      expect((await store.spoolUsage()).rows).toBe(0);
      expect(await store.counts("m")).toMatchObject({ delivered: 1, parked: 1 });
    } finally {
      await redis.server.cli("CONFIG", "SET", "maxmemory", "0");
    }
  });

  describe("watching", () => {
    const watching = (store: SharedStore) => {
      const seen = { changes: 0 };
      const stop = store.watch(() => (seen.changes += 1));
      return { seen, stop };
    };
    const commands: [string, (store: SharedStore) => Promise<unknown>][] = [
      ["a replay", (store) => store.replay("all", NOW)],
      ["a drop", (store) => store.drop("all")],
      ["a request for redelivery", (store) => store.requestRedelivery("m", [1])],
      ["an adoption", (store) => store.adopt("m", "now")],
      [
        "a document",
        (store) => store.writeDocument("polling_config", {}, { ifVersion: 0, nowMs: NOW }),
      ],
    ];

    test.each(commands)("%s by another process is seen within a second", async (_, command) => {
      await using stores = await redis.fresh();
      const [store, operator] = [stores.connect(), stores.connect()];
      await store.commit({ mailbox: "m", fence: 1, spool: [parkedEntryOf(1)] });
      const { seen, stop } = watching(store);
      await answered(store);
      await command(operator);
      expect(seen.changes).toBe(0);
      await stores.clock.advance(1000);
      await answered(store);
      expect(seen.changes).toBe(1);
      stop();
      await command(operator);
      await stores.clock.advance(5000);
      await answered(store);
      expect(seen.changes).toBe(1);
    });

    test("commits and live rows of other daemons are no changes", async () => {
      await using stores = await redis.fresh();
      const [store, other] = [stores.connect(), stores.connect()];
      const { seen } = watching(store);
      await answered(store);
      await other.commit({ mailbox: "m", fence: 1, spool: [parkedEntryOf(1)] });
      await other.writeNode("node", "{}", NOW);
      await other.replay({ eventId: "evt_2", destination: null }, NOW);
      await stores.clock.advance(1000);
      await answered(store);
      expect(seen.changes).toBe(0);
    });

    test("a change during an outage is seen after it", async () => {
      await using stores = await redis.fresh();
      let isDown = false;
      const wrap = (inner: Redis): Redis => ({
        ...inner,
        get: async (key) => {
          if (isDown) throw new RedisError("unreachable");
          return inner.get(key);
        },
      });
      const [store, operator] = [stores.connect({ wrap }), stores.connect()];
      const { seen } = watching(store);
      await answered(store);
      isDown = true;
      await operator.adopt("m", "now");
      await stores.clock.advance(3000);
      expect(seen.changes).toBe(0);
      isDown = false;
      await stores.clock.advance(1000);
      await answered(store);
      expect(seen.changes).toBe(1);
    });
  });

  test("closing twice is harmless, and a closed store answers nothing", async () => {
    await using stores = await redis.fresh();
    const store = stores.connect();
    store.watch(() => undefined);
    await store.close();
    await store.close();
    await expect(store.counts("m")).rejects.toBeInstanceOf(RedisError);
  });
});
