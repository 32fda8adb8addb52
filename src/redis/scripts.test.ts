// The scripts on a real server: what each of them answers, and what it leaves behind when it refuses.
// One server for the file, empty before each test; a test that breaks a server starts its own.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type RedisServer, startRedis } from "../../test/support/redis.ts";
import { openRedis } from "./ioredis.adapter.ts";
import { keyOfLock } from "./keys.ts";
import type { Redis, RedisReply } from "./redis.ts";

const LOCK = "render_signal:poller_lock";
const [FENCE, RELEASED, STATE] = ["fence", "released", "state"].map((name) =>
  keyOfLock(LOCK, name),
) as [string, string, string];
const TTL_MS = 300_000;
const A = "aaaaaaaa-0000-4000-8000-000000000000";
const B = "bbbbbbbb-0000-4000-8000-000000000000";

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

/** Acquires for A, unless told otherwise. */
const acquire = async (
  more: { on?: Redis; owner?: string; highWater?: number; expected?: string } = {},
): Promise<readonly RedisReply[]> => {
  const { on = redis, owner = A, highWater = 0, expected = "" } = more;
  const args = [owner, String(TTL_MS), String(highWater), expected];
  return (await on.script("acquire", [LOCK, FENCE, RELEASED, STATE], args)) as RedisReply[];
};

const granted = async (more: Parameters<typeof acquire>[0] = {}): Promise<number> => {
  const [code, fence] = await acquire(more);
  expect(code).toBe(1);
  return Number(fence);
};

const renew = async (current: string, next: string): Promise<RedisReply> =>
  await redis.script("renew", [LOCK], [current, next, String(TTL_MS)]);

const release = async (
  prefix: string,
  { fence, clean, on = redis }: { fence: number; clean: boolean; on?: Redis },
): Promise<RedisReply> =>
  await on.script("release", [LOCK, RELEASED], [prefix, String(fence), clean ? "1" : "0"]);

/** Commands as the words of a script. */
const wordsOf = (commands: readonly (readonly string[])[]): string[] =>
  commands.flatMap((words) => [String(words.length), ...words]);

const read = async (...commands: readonly string[][]): Promise<RedisReply> =>
  await redis.script("read", [], wordsOf(commands));

/** Redis milliseconds. */
const redisMs = async (): Promise<number> => {
  const [seconds, micros] = (await server.cli("TIME")).split("\n").map(Number) as [number, number];
  return seconds * 1000 + Math.floor(micros / 1000);
};

/** A user who may do everything but what Redis calls dangerous, INFO among it. */
const connectWithoutInfo = async (to: RedisServer): Promise<Redis> => {
  await to.cli("ACL", "SETUSER", "plain", "on", ">secret", "~*", "+@all", "-@dangerous");
  return connect(to.url.replace("//", "//plain:secret@"));
};

describe("acquire", { tags: ["redis", "resilience"] }, () => {
  test("takes a lock that nobody has, with a fence of at least the milliseconds of Redis", async () => {
    const before = await redisMs();
    const [code, fence, clean] = await acquire();
    expect([code, clean]).toEqual([1, 0]);
    expect(Number(fence)).toBeGreaterThanOrEqual(before);
    expect(await server.cli("GET", LOCK)).toBe(`${A}:${fence as string}:0`);
    expect(await server.cli("GET", FENCE)).toBe(fence);
    expect(Number(await server.cli("PTTL", LOCK))).toBeGreaterThan(TTL_MS - 10_000);
  });

  test("refuses with the value and its time to live, and changes nothing", async () => {
    const fence = await granted();
    const [code, value, pttlMs] = await acquire({ owner: B });
    expect([code, value]).toEqual([0, `${A}:${fence}:0`]);
    expect(pttlMs).toBeGreaterThan(TTL_MS - 10_000);
    expect(await server.cli("GET", FENCE)).toBe(String(fence));
  });

  test("takes over exactly the value that stood still", async () => {
    const fence = await granted();
    const [code, next, clean] = await acquire({ owner: B, expected: `${A}:${fence}:0` });
    expect([code, clean]).toEqual([1, 0]);
    expect(Number(next)).toBeGreaterThan(fence);
    expect(await server.cli("GET", LOCK)).toBe(`${B}:${next as string}:0`);
  });

  test("does not take over a value that moved", async () => {
    const fence = await granted();
    await renew(`${A}:${fence}:0`, `${A}:${fence}:1`);
    const [code, value] = await acquire({ owner: B, expected: `${A}:${fence}:0` });
    expect([code, value]).toEqual([0, `${A}:${fence}:1`]);
  });

  test.each([
    [LOCK, ["HSET", LOCK, "a", "b"], "hash"],
    [FENCE, ["SADD", FENCE, "a"], "set"],
    [RELEASED, ["LPUSH", RELEASED, "a"], "list"],
    [STATE, ["SET", STATE, "a"], "string"],
  ] as const)("names the key with a foreign type: %s", async (key, command, kind) => {
    await server.cli(...command);
    expect(await acquire()).toEqual([-2, key, kind]);
    expect(await server.cli("DBSIZE")).toBe("1");
  });

  test("issues a fence above the node's high-water mark after Redis lost everything", async () => {
    const fence = (await granted()) + 1_000_000_000;
    await server.cli("FLUSHALL");
    expect(await granted({ highWater: fence })).toBe(fence + 1);
  });

  test("issues a fence above one that stands far ahead", async () => {
    await server.cli("SET", FENCE, "4000000000000000");
    expect(await granted()).toBe(4_000_000_000_000_001);
  });

  test("issues a fence above the one that wrote the state last", async () => {
    await server.cli("HSET", STATE, "__fence", "3000000000000000");
    expect(await granted()).toBe(3_000_000_000_000_001);
  });

  test("counts on when two acquisitions fall into one millisecond", async () => {
    let last = 0;
    for (let times = 0; times < 20; times += 1) {
      const fence = await granted();
      expect(fence).toBeGreaterThan(last);
      last = fence;
      await server.cli("DEL", LOCK);
    }
  });

  test("respects the value of the Python service until it expires", async () => {
    await server.cli("SET", LOCK, "pid=12", "PX", "300000");
    expect(await acquire()).toEqual([0, "pid=12", expect.any(Number)]);
    await server.cli("PEXPIRE", LOCK, "1");
    await expect.poll(async () => (await acquire())[0], { timeout: 15_000 }).toBe(1);
  });

  test("calls a hand-over clean when the last holder signed off", async () => {
    const fence = await granted();
    await release(`${A}:${fence}:`, { fence, clean: true });
    expect(await acquire({ owner: B })).toEqual([1, expect.any(String), 1]);
  });

  test("calls a hand-over unclean when the tombstone is of an earlier holder", async () => {
    const fence = await granted();
    await release(`${A}:${fence}:`, { fence, clean: true });
    await granted({ owner: B });
    await server.cli("DEL", LOCK);
    expect((await acquire())[2]).toBe(0);
  });

  test("counts no tombstone that another server process recorded", async () => {
    await using own = await startRedis();
    const on = connect(own.url);
    const fence = await granted({ on });
    await release(`${A}:${fence}:`, { on, fence, clean: true });
    await own.restart({ keepData: true });
    const known = (): Promise<string | null> => on.get(FENCE).catch(() => null);
    await expect.poll(known, { timeout: 15_000 }).toBe(String(fence));
    expect(await acquire({ on, owner: B })).toEqual([1, expect.any(String), 0]);
    await on.close();
  });

  test("gives a user without INFO the lock, never cleanly", async () => {
    const on = await connectWithoutInfo(server);
    const fence = await granted({ on });
    expect(await release(`${A}:${fence}:`, { on, fence, clean: true })).toBe(1);
    expect((await acquire({ on }))[2]).toBe(0);
    await on.close();
  });
});

describe("renew", { tags: ["redis", "resilience"] }, () => {
  test("raises the counter and renews the time to live, as often as the same pair comes", async () => {
    const fence = await granted();
    await server.cli("PEXPIRE", LOCK, "60000");
    const [current, next] = [`${A}:${fence}:0`, `${A}:${fence}:1`];
    expect(await renew(current, next)).toEqual([1, next]);
    expect(await renew(current, next)).toEqual([1, next]);
    expect(await server.cli("GET", LOCK)).toBe(next);
    expect(Number(await server.cli("PTTL", LOCK))).toBeGreaterThan(60_000);
  });

  test("refuses when the value is another's", async () => {
    const fence = await granted({ owner: B });
    const answer = await renew(`${A}:1:0`, `${A}:1:1`);
    expect(answer).toEqual([0, `${B}:${fence}:0`]);
    expect(await server.cli("GET", LOCK)).toBe(`${B}:${fence}:0`);
  });

  test("does not make a key again that vanished", async () => {
    expect(await renew(`${A}:1:0`, `${A}:1:1`)).toEqual([0, ""]);
    expect(await server.cli("EXISTS", LOCK)).toBe("0");
  });
});

describe("release", { tags: ["redis", "resilience"] }, () => {
  test("gives back whatever the counter says", async () => {
    const fence = await granted();
    await renew(`${A}:${fence}:0`, `${A}:${fence}:1`);
    expect(await release(`${A}:${fence}:`, { fence, clean: true })).toBe(1);
    expect(await server.cli("EXISTS", LOCK)).toBe("0");
    expect(await server.cli("GET", RELEASED)).toMatch(new RegExp(`^${fence}:[0-9a-f]{40}$`));
  });

  test("leaves another's lock alone", async () => {
    const fence = await granted({ owner: B });
    expect(await release(`${A}:${fence}:`, { fence, clean: true })).toBe(0);
    expect(await server.cli("GET", LOCK)).toBe(`${B}:${fence}:0`);
    expect(await server.cli("EXISTS", RELEASED)).toBe("0");
  });

  test("leaves our own later lock alone", async () => {
    const fence = await granted();
    expect(await release(`${A}:${fence - 1}:`, { fence: fence - 1, clean: true })).toBe(0);
  });

  test("leaves no tombstone when work was not finished", async () => {
    const fence = await granted();
    expect(await release(`${A}:${fence}:`, { fence, clean: false })).toBe(1);
    expect(await server.cli("EXISTS", LOCK, RELEASED)).toBe("0");
    expect((await acquire({ owner: B }))[2]).toBe(0);
  });

  test("gives back over maxmemory", async () => {
    await using own = await startRedis();
    const on = connect(own.url);
    const fence = await granted({ on });
    await own.cli("CONFIG", "SET", "maxmemory", "1");
    expect(await release(`${A}:${fence}:`, { on, fence, clean: true })).toBe(1);
    expect(await own.cli("EXISTS", LOCK)).toBe("0");
    await on.close();
  });
});

describe("read", { tags: ["redis", "resilience"] }, () => {
  test("answers each command in its place, nil as null", async () => {
    await server.cli("SET", "text", "tëxt");
    await server.cli("HSET", "hash", "a", "1", "b", "2");
    const commands = [
      ["GET", "text"],
      ["GET", "nothing"],
      ["HGETALL", "hash"],
      ["HMGET", "hash", "a", "nothing", "b"],
      ["ZCARD", "nothing"],
      ["TYPE", "hash"],
    ];
    const answers = ["tëxt", null, ["a", "1", "b", "2"], ["1", null, "2"], 0, "hash"];
    expect(await read(...commands)).toEqual(answers);
  });

  test("answers nothing to no command", async () => {
    expect(await read()).toEqual([]);
  });

  test("answers INFO, and null to a user who may not call it", async () => {
    expect(await read(["INFO", "server"])).toEqual([expect.stringContaining("redis_version:")]);
    const on = await connectWithoutInfo(server);
    const words = wordsOf([
      ["INFO", "server"],
      ["GET", "nothing"],
    ]);
    expect(await on.script("read", [], words)).toEqual([null, null]);
    await on.close();
  });

  test("answers what belongs together while another connection writes", async () => {
    const other = connect(server.url);
    await server.cli("MSET", "left", "0", "right", "0");
    const writing = Promise.all(
      Array.from({ length: 200 }, (_, index) => {
        const commands = ["left", "right"].map((key) => ["SET", key, String(index)]);
        return other.script("write", [FENCE, STATE], ["", "", "", "", ...wordsOf(commands)]);
      }),
    );
    for (let times = 0; times < 200; times += 1) {
      const [left, right] = (await read(["GET", "left"], ["GET", "right"])) as string[];
      expect(left).toBe(right);
    }
    await writing;
    await other.close();
  });

  test("says which failure it is when a key holds another type", async () => {
    await server.cli("SET", "text", "a");
    await expect(read(["HGETALL", "text"])).rejects.toMatchObject({ failure: "wrong_type" });
  });
});
