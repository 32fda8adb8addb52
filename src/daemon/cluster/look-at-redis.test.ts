// The watch's words to Redis, spoken to a real server: what the shipped scripts make of them. Each test
// starts a server of its own and ends it.
import { describe, expect, test } from "vitest";
import { type RedisServer, startRedis } from "../../../test/support/redis.ts";
import { openRedis } from "../../redis/ioredis.adapter.ts";
import type { Redis } from "../../redis/redis.ts";
import { judgeServer } from "./judge-server.ts";
import { lookAtRedis, removeBeat, writeBeat } from "./look-at-redis.ts";

const withRedis = async (
  args: readonly string[],
  work: (redis: Redis, server: RedisServer) => Promise<void>,
): Promise<void> => {
  await using server = await startRedis({ args });
  const redis = openRedis({ url: server.url, commandTimeoutMs: 5000 });
  try {
    await expect.poll(() => redis.get("nothing").catch(() => "not yet")).toBeNull();
    await work(redis, server);
  } finally {
    await redis.close();
  }
};

const request = { lockKey: "lock", mailboxes: ["default", "sales"], asksServer: true };

describe("a look at a real Redis", { tags: ["redis", "resilience"] }, () => {
  test("finds an empty server fit and free", async () => {
    await withRedis([], async (redis) => {
      const { server, ...seen } = await lookAtRedis(redis, request);
      expect(seen).toEqual({
        locks: new Map([
          ["default", null],
          ["sales", null],
        ]),
        versions: new Map([
          ["default", null],
          ["sales", null],
        ]),
        members: new Map(),
      });
      expect(server).toMatchObject({ isValkey: false, evictionPolicy: "noeviction" });
      expect(server?.version).toMatch(/^\d+\.\d+\.\d+$/);
      expect(server === null ? "none" : judgeServer(server)).toBeNull();
    });
  });

  test("finds locks, versions and heartbeats, and none after the goodbye", async () => {
    await withRedis([], async (redis, { cli }) => {
      await cli("SET", "lock", "pid=7");
      await cli("HSET", "{lock:sales}:state", "__fence", "12", "__rev", "3");
      await writeBeat(redis, "a", { row: "one", abandoned: [] });
      await writeBeat(redis, "b", { row: "two", abandoned: [] });
      const seen = await lookAtRedis(redis, { ...request, asksServer: false });
      expect(seen.server).toBeNull();
      expect(seen.locks.get("default")).toBe("pid=7");
      expect(seen.versions.get("sales")).toEqual({ fence: 12, revision: 3 });
      expect(seen.members).toEqual(new Map(Object.entries({ a: "one", b: "two" })));
      await writeBeat(redis, "b", { row: "three", abandoned: ["a", "nobody"] });
      expect((await lookAtRedis(redis, request)).members).toEqual(new Map([["b", "three"]]));
      await removeBeat(redis, "b");
      expect((await lookAtRedis(redis, request)).members).toEqual(new Map());
    });
  });

  test("sees every lock although the state of one mailbox is of another type", async () => {
    await withRedis([], async (redis, { cli }) => {
      await cli("SET", "lock:sales", "pid=7");
      await cli("SET", "{lock}:state", "not a hash");
      const seen = await lookAtRedis(redis, request);
      expect(seen.locks.get("sales")).toBe("pid=7");
      expect(seen.versions.size).toBe(0);
    });
  });

  test("finds a server unfit that throws keys away", async () => {
    await withRedis(["--maxmemory-policy", "allkeys-lru"], async (redis) => {
      const { server } = await lookAtRedis(redis, request);
      expect(server === null ? "none" : judgeServer(server)).toContain("noeviction");
    });
  });

  test("is given the benefit of the doubt where INFO is closed", async () => {
    await withRedis([], async (redis, { cli }) => {
      await cli("ACL", "SETUSER", "default", "-info");
      const { server } = await lookAtRedis(redis, request);
      expect(server).toMatchObject({ version: null, evictionPolicy: null });
    });
  });

  test("reads more mailboxes than one script takes", async () => {
    await withRedis([], async (redis, { cli }) => {
      const mailboxes = Array.from({ length: 1200 }, (_, index) => `mailbox-${index}`);
      await cli("SET", "lock:mailbox-1100", "pid=7");
      const { locks } = await lookAtRedis(redis, { ...request, mailboxes });
      expect([locks.size, locks.get("mailbox-1100")]).toEqual([1200, "pid=7"]);
    });
  });
});
