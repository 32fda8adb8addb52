// The script that writes, on a real server: under which fence and revision it does, and that it leaves
// nothing behind when it, or the server, refuses. One server for the file, empty before each test; a
// test that breaks a server starts its own.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type RedisServer, startRedis, startReplica } from "../../test/support/redis.ts";
import { openRedis } from "./ioredis.adapter.ts";
import { keyOfLock } from "./keys.ts";
import type { Redis, RedisReply } from "./redis.ts";

const LOCK = "render_signal:poller_lock";
const FENCE = keyOfLock(LOCK, "fence");
const STATE = keyOfLock(LOCK, "state");

let server: RedisServer;
let redis: Redis;

const connect = (url: string): Redis => openRedis({ url, commandTimeoutMs: 5000 });

beforeAll(async () => {
  server = await startRedis();
  redis = connect(server.url);
});

afterAll(async () => {
  await redis.close();
  await server[Symbol.asyncDispose]();
});

beforeEach(async () => void (await server.cli("FLUSHALL")));

const SET = ["SET", "some", "1"];

interface Guard {
  fence?: string;
  revision?: string;
  count?: string;
  slack?: string;
  on?: Redis;
}

/** All that the script answers. */
const writeCounted = async (
  guard: Guard,
  ...commands: readonly string[][]
): Promise<readonly RedisReply[]> => {
  const { fence = "", revision = "", count = "", slack = "", on = redis } = guard;
  const words = commands.flatMap((command) => [String(command.length), ...command]);
  const head = [fence, revision, count, slack];
  return (await on.script("write", [FENCE, STATE], [...head, ...words])) as RedisReply[];
};

/** Its code and the revision or fence with it. */
const write = async (
  guard: Guard,
  ...commands: readonly string[][]
): Promise<readonly RedisReply[]> => (await writeCounted(guard, ...commands)).slice(0, 2);

const keysOf = async ({ cli }: RedisServer): Promise<string[]> =>
  (await cli("KEYS", "*")).split("\n").filter((key) => key !== "");

describe("write", { tags: ["redis", "resilience"] }, () => {
  test("carries out every command and raises the revision", async () => {
    expect(await write({}, ["HSET", "hash", "a", "1"], ["ZADD", "set", "1", "b"])).toEqual([
      1,
      "1",
    ]);
    expect(await write({}, ["HSET", "hash", "a", "2"])).toEqual([1, "2"]);
    expect(await server.cli("HGET", "hash", "a")).toBe("2");
    expect(await server.cli("ZSCORE", "set", "b")).toBe("1");
    expect(await server.cli("HGET", STATE, "__rev")).toBe("2");
  });

  test("raises the revision without a command", async () => {
    expect(await write({ fence: "5" })).toEqual([1, "1"]);
    expect(await server.cli("HGETALL", STATE)).toBe("__fence\n5\n__count\n1\n__rev\n1");
  });

  test("refuses a fence below the one that was issued", async () => {
    await server.cli("SET", FENCE, "1795507200001");
    const answer = await write({ fence: "1795507200000" }, ["SET", "key", "a"]);
    expect(answer).toEqual([-1, "1795507200001"]);
    expect(await keysOf(server)).toEqual([FENCE]);
  });

  test("refuses a fence below the one that wrote last, though nobody knows who issued it", async () => {
    await write({ fence: "9" });
    expect(await write({ fence: "8" }, ["SET", "key", "a"])).toEqual([-1, "9"]);
    expect(await keysOf(server)).toEqual([STATE]);
  });

  test("takes the newest fence again and again", async () => {
    await server.cli("SET", FENCE, "9");
    expect(await write({ fence: "9" })).toEqual([1, "1"]);
    expect(await write({ fence: "9" })).toEqual([1, "2"]);
  });

  test("leaves the fence as it is when the write needs none", async () => {
    await write({ fence: "9" });
    expect(await write({}, ["SET", "key", "a"])).toEqual([1, "2"]);
    expect(await server.cli("HGET", STATE, "__fence")).toBe("9");
  });

  test("refuses another revision than the expected one, and tells which it is", async () => {
    await write({});
    expect(await write({ revision: "0" }, ["SET", "key", "a"])).toEqual([0, "1"]);
    expect(await write({ revision: "1" }, ["SET", "key", "b"])).toEqual([1, "2"]);
    expect(await server.cli("GET", "key")).toBe("b");
  });

  test("takes revision 0 for a state that is not there", async () => {
    expect(await write({ revision: "0" })).toEqual([1, "1"]);
  });

  test.each([
    ["hash", ["ZADD", "foreign", "1", "a"], ["HSET", "foreign", "a", "b"]],
    ["sorted set", ["HSET", "foreign", "a", "b"], ["ZADD", "foreign", "1", "a"]],
    ["set", ["SET", "foreign", "a"], ["SADD", "foreign", "a"]],
  ])("writes nothing when a later key should be a %s and is not", async (_, foreign, command) => {
    await server.cli(...foreign);
    const writing = write({ fence: "1" }, ["HSET", "first", "a", "b"], command);
    await expect(writing).rejects.toMatchObject({ failure: "wrong_type" });
    expect(await keysOf(server)).toEqual(["foreign"]);
  });

  test("writes nothing when the user may not run a later command", async () => {
    await server.cli("ACL", "SETUSER", "partial", "on", ">secret", "~*", "+@all", "-zadd");
    const on = connect(server.url.replace("//", "//partial:secret@"));
    const writing = write({ on }, ["HSET", "first", "a", "b"], ["ZADD", "second", "1", "a"]);
    await expect(writing).rejects.toMatchObject({ failure: "noauth" });
    expect(await keysOf(server)).toEqual([]);
    await on.close();
  });

  test("writes nothing when the user may not touch a later key", async () => {
    const patterns = ["~{*", "~first"];
    await server.cli("ACL", "SETUSER", "narrow", "on", ">secret", ...patterns, "+@all");
    const on = connect(server.url.replace("//", "//narrow:secret@"));
    const writing = write({ on }, ["HSET", "first", "a", "b"], ["HSET", "second", "a", "b"]);
    await expect(writing).rejects.toMatchObject({ failure: "noauth" });
    expect(await keysOf(server)).toEqual([]);
    await on.close();
  });

  test("over maxmemory writes all of what begins by freeing, and nothing of anything else", async () => {
    await using own = await startRedis({ args: ["--maxmemory-policy", "noeviction"] });
    const on = connect(own.url);
    await write({ on }, ["HSET", "spool", "a", "1", "b", "2"], ["HSET", "counts", "rows", "2"]);
    await own.cli("CONFIG", "SET", "maxmemory", "1");
    const growing = write({ on }, ["HSET", "spool", "c", "3"], ["HDEL", "spool", "a"]);
    await expect(growing).rejects.toMatchObject({ failure: "oom" });
    expect(await own.cli("HGETALL", "spool")).toBe("a\n1\nb\n2");
    expect(await write({ on }, ["HDEL", "spool", "a"], ["HSET", "counts", "rows", "1"])).toEqual([
      1,
      "2",
    ]);
    expect(await own.cli("HGETALL", "spool")).toBe("b\n2");
    expect(await own.cli("HGETALL", "counts")).toBe("rows\n1");
    await on.close();
  });

  test("is refused by a replica, which can be read", async () => {
    await using own = await startRedis();
    await own.cli("SET", "key", "a");
    await using replica = await startReplica(own);
    const on = connect(replica.url);
    expect(await on.get("key")).toBe("a");
    await expect(write({ on }, ["SET", "key", "b"])).rejects.toMatchObject({ failure: "readonly" });
    await expect(write({ on }, ["DEL", "key"])).rejects.toMatchObject({ failure: "readonly" });
    expect(await replica.cli("GET", "key")).toBe("a");
    await on.close();
  });

  test("is refused whole when too few replicas would have it", async () => {
    await using own = await startRedis({ args: ["--min-replicas-to-write", "1"] });
    const on = connect(own.url);
    const writing = write({ on }, ["DEL", "key"], ["SET", "key", "b"]);
    await expect(writing).rejects.toMatchObject({ failure: "unreachable" });
    expect(await keysOf(own)).toEqual([]);
    await on.close();
  });

  test.each(["abc", "9223372036854775807", ""])(
    "writes nothing when the revision reads %j",
    async (revision) => {
      await server.cli("HSET", STATE, "__rev", revision);
      await expect(write({}, SET)).rejects.toMatchObject({ failure: "wrong_type" });
      expect(await redis.get("some")).toBeNull();
    },
  );

  test("counts the writes under fences, and no others", async () => {
    expect(await writeCounted({ fence: "5" })).toEqual([1, "1", "1"]);
    expect(await writeCounted({})).toEqual([1, "2", "1"]);
    expect(await writeCounted({ fence: "6" })).toEqual([1, "3", "2"]);
  });

  test("writes nothing when the count is not the expected one", async () => {
    await writeCounted({ fence: "5" });
    expect(await writeCounted({ fence: "5", count: "1" }, SET)).toEqual([1, "2", "2"]);
    expect(await writeCounted({ fence: "5", count: "1" }, ["SET", "other", "1"])).toEqual([
      -2,
      "2",
    ]);
    expect(await writeCounted({ fence: "5", count: "3" }, ["SET", "other", "1"])).toEqual([
      -2,
      "2",
    ]);
    expect(await redis.get("other")).toBeNull();
  });

  test("takes a count that is one higher after a write without an answer, and no more", async () => {
    await writeCounted({ fence: "5" });
    await writeCounted({ fence: "5", count: "1" });
    expect(await writeCounted({ fence: "5", count: "1", slack: "1" })).toEqual([1, "3", "3"]);
    expect(await writeCounted({ fence: "5", count: "1", slack: "1" })).toEqual([-2, "3"]);
  });
});
