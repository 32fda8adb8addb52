// The lock in a real Redis: who gets it, how it is renewed, taken over, lost and given back, and what a
// lost answer, a lost key and a lost database come to. Successor of the reference's test_lock_redis.py;
// part of the resilience suite.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type RedisServer, startRedis, startReplica } from "../../test/support/redis.ts";
import { LOCK_KEY, TTL_MS } from "../../test/support/tenth-lease.ts";
import { openRedis } from "../redis/ioredis.adapter.ts";
import { keyOfLock } from "../redis/keys.ts";
import { type Redis, RedisError, type RedisScript } from "../redis/redis.ts";
import { createRedisLock, type SharedLock } from "./redis.ts";

const A = "aaaaaaaa-0000-4000-8000-000000000000";
const B = "bbbbbbbb-0000-4000-8000-000000000000";
const [FENCE, RELEASED, STATE] = ["fence", "released", "state"].map((name) =>
  keyOfLock(LOCK_KEY, name),
) as [string, string, string];

let server: RedisServer;
const opened: Redis[] = [];

beforeAll(async () => {
  server = await startRedis();
});
beforeEach(async () => void (await server.cli("FLUSHALL")));
afterEach(async () => {
  await Promise.all(opened.splice(0).map((redis) => redis.close()));
});
afterAll(() => server[Symbol.asyncDispose]());

const open = (url = server.url): Redis => {
  const redis = openRedis({ url, commandTimeoutMs: 5000 });
  opened.push(redis);
  return redis;
};

const lockOf = (owner: string, redis: Redis = open(), lockKey = LOCK_KEY): SharedLock =>
  createRedisLock({ redis, lockKey, owner, ttlMs: TTL_MS });

/** Acquires and tells the fence. */
const granted = async (lock: SharedLock, takeOver: string | null = null): Promise<number> => {
  const answer = await lock.acquire(takeOver, 0);
  if (answer.kind !== "granted") throw new Error(JSON.stringify(answer));
  return answer.fence;
};

/** A connection that carries out every script and loses the answers of those named. */
const deaf = (lost: Set<RedisScript>): Redis => {
  const redis = open();
  return {
    ...redis,
    script: async (name, keys, args) => {
      const reply = await redis.script(name, keys, args);
      if (lost.has(name)) throw new RedisError("unreachable");
      return reply;
    },
  };
};

const value = (): Promise<string> => server.cli("GET", LOCK_KEY);

const LOST = { kind: "failed", failure: "unreachable" };

describe("the lock in Redis", { tags: ["redis", "resilience"] }, () => {
  test("goes to one of two contenders, with the reference's key and time to live", async () => {
    const answers = await Promise.all([lockOf(A).acquire(null, 0), lockOf(B).acquire(null, 0)]);
    expect(answers.map(({ kind }) => kind).toSorted()).toEqual(["granted", "refused"]);
    const refusal = answers.find(({ kind }) => kind === "refused");
    expect(refusal).toMatchObject({ pulse: await value() });
    const ttlMs = Number(await server.cli("PTTL", "render_signal:poller_lock"));
    expect(ttlMs > 0 && ttlMs <= 300_000).toBe(true);
  });

  test("of one mailbox does not hold up another", async () => {
    await granted(lockOf(A));
    expect((await lockOf(B, open(), `${LOCK_KEY}:sales`).acquire(null, 0)).kind).toBe("granted");
  });

  test("counts its renewals in the value, and each gives it its whole time again", async () => {
    const lock = lockOf(A);
    const fence = await granted(lock);
    await server.cli("PEXPIRE", LOCK_KEY, "5000");
    for (const renewals of [1, 2, 3]) {
      expect(await lock.renew()).toEqual({ kind: "renewed" });
      expect(await value()).toBe(`${A}:${fence}:${renewals}`);
    }
    expect(Number(await server.cli("PTTL", LOCK_KEY))).toBeGreaterThan(5000);
  });

  test("is taken over by exactly the value that stood still, under a higher fence", async () => {
    const [holder, other] = [lockOf(A), lockOf(B)];
    const fence = await granted(holder);
    const stood = await value();
    await holder.renew();
    const living = await value();
    expect(await other.acquire(stood, 0)).toMatchObject({ kind: "refused", pulse: living });
    const answer = await other.acquire(living, 0);
    expect(answer).toMatchObject({ kind: "granted", clean: false });
    expect(await holder.renew()).toEqual({ kind: "lost", vanished: false });
    expect(Number((await value()).split(":")[1])).toBeGreaterThan(fence);
  });

  test("that was deleted is lost, and its holder does not make it again", async () => {
    const lock = lockOf(A);
    await granted(lock);
    await server.cli("DEL", LOCK_KEY);
    expect(await lock.renew()).toEqual({ kind: "lost", vanished: true });
    expect(await lock.renew()).toEqual({ kind: "lost", vanished: true });
    expect(await server.cli("EXISTS", LOCK_KEY)).toBe("0");
  });

  test("is not given back by one who lost it to another", async () => {
    const [holder, other] = [lockOf(A), lockOf(B)];
    await granted(holder);
    await granted(other, await value());
    const standing = await value();
    expect(await holder.release(true)).toBe(true);
    expect([await value(), await server.cli("EXISTS", RELEASED)]).toEqual([standing, "0"]);
  });
});

describe("a lost answer", { tags: ["redis", "resilience"] }, () => {
  test("to an acquisition: the next one renews what it finds, unclean, with the same fence", async () => {
    const lost = new Set<RedisScript>(["acquire"]);
    const lock = lockOf(A, deaf(lost));
    await granted(lockOf(B));
    await server.cli("DEL", LOCK_KEY);
    expect(await lock.acquire(null, 0)).toEqual(LOST);
    const fence = Number((await value()).split(":")[1]);
    lost.clear();
    expect(await lock.acquire(null, 0)).toEqual({ kind: "granted", fence, clean: false });
    expect(await value()).toBe(`${A}:${fence}:1`);
    expect(await lock.renew()).toEqual({ kind: "renewed" });
  });

  test("to an acquisition whose fence was given out since: it gets a new one", async () => {
    const lock = lockOf(A);
    const fence = await granted(lock);
    const answer = await lock.acquire(null, fence);
    expect(answer).toMatchObject({ kind: "granted", clean: false });
    expect(answer.kind === "granted" && answer.fence).toBeGreaterThan(fence);
    expect(await lock.renew()).toEqual({ kind: "renewed" });
  });

  test("to an acquisition and to the renewal after it leaves the lock to be asked for again", async () => {
    const lost = new Set<RedisScript>(["acquire"]);
    const lock = lockOf(A, deaf(lost));
    await lock.acquire(null, 0);
    lost.clear();
    lost.add("renew");
    expect(await lock.acquire(null, 0)).toEqual(LOST);
    lost.clear();
    expect(await lock.acquire(null, 0)).toMatchObject({ kind: "granted", clean: false });
  });

  test("to an acquisition whose lock somebody else took just then is a refusal of ours", async () => {
    const lost = new Set<RedisScript>(["acquire"]);
    const redis = deaf(lost);
    const robbed: Redis = {
      ...redis,
      script: async (name, keys, args) => {
        if (name === "renew") await server.cli("SET", LOCK_KEY, `${B}:9:0`);
        return await redis.script(name, keys, args);
      },
    };
    const lock = lockOf(A, robbed);
    await lock.acquire(null, 0);
    lost.clear();
    const pulse = await value();
    expect(await lock.acquire(null, 0)).toEqual({ kind: "refused", pulse });
    expect(await lock.renew()).toEqual({ kind: "lost", vanished: true });
  });

  test("to an acquisition is made good by a release", async () => {
    const lock = lockOf(A, deaf(new Set<RedisScript>(["acquire"])));
    await lock.acquire(null, 0);
    expect(await server.cli("EXISTS", LOCK_KEY)).toBe("1");
    expect(await lock.release(true)).toBe(true);
    expect([await server.cli("EXISTS", LOCK_KEY), await server.cli("EXISTS", RELEASED)]).toEqual([
      "0",
      "0",
    ]);
  });

  test("to a renewal: the same pair succeeds, and the value moves on for the contenders", async () => {
    const lost = new Set<RedisScript>(["renew"]);
    const lock = lockOf(A, deaf(lost));
    const fence = await granted(lock);
    expect(await lock.renew()).toEqual(LOST);
    expect(await lock.renew()).toEqual(LOST);
    expect(await value()).toBe(`${A}:${fence}:1`);
    lost.clear();
    expect(await lock.renew()).toEqual({ kind: "renewed" });
    expect(await value()).toBe(`${A}:${fence}:2`);
  });

  test("to a release leaves the lock free", async () => {
    const lock = lockOf(A, deaf(new Set<RedisScript>(["release"])));
    await granted(lock);
    expect(await lock.release(true)).toBe(false);
    expect((await lockOf(B).acquire(null, 0)).kind).toBe("granted");
  });
});

describe("a late answer to a renewal", { tags: ["redis", "resilience"] }, () => {
  test("brings back nothing that was released meanwhile", async () => {
    const redis = open();
    const { promise, resolve } = Promise.withResolvers<void>();
    const lost = new Set<RedisScript>();
    const slow: Redis = {
      ...redis,
      script: async (name, keys, args) => {
        const reply = await redis.script(name, keys, args);
        if (name === "renew") await promise;
        if (lost.has(name)) throw new RedisError("unreachable");
        return reply;
      },
    };
    const lock = lockOf(A, slow);
    await granted(lock);
    const renewed = lock.renew();
    await lock.release(true);
    lost.add("acquire");
    await lock.acquire(null, 0);
    resolve();
    await renewed;
    // What was acquired without an answer goes by its owner, not by the fence of the lease before.
    expect(await server.cli("EXISTS", LOCK_KEY)).toBe("1");
    await lock.release(false);
    expect(await server.cli("EXISTS", LOCK_KEY)).toBe("0");
  });
});

describe("the fence", { tags: ["redis", "resilience"] }, () => {
  test("rises over a Redis that lost everything, by what the node remembers", async () => {
    const lock = lockOf(A);
    const far = (await granted(lock)) + 1e10;
    await server.cli("FLUSHALL");
    expect(await lock.acquire(null, far)).toEqual({
      kind: "granted",
      fence: far + 1,
      clean: false,
    });
  });

  test.each(["9007199254740993", "99999999999999999999", "inf", "nan", "1e3", ""])(
    "%j that stands where fences are counted is foreign, and is named",
    async (text) => {
      await server.cli("SET", FENCE, text);
      const foreign = { kind: "wrong_type", what: "fence:text" };
      expect(await lockOf(A).acquire(null, 0)).toEqual(foreign);
      await server.cli("DEL", FENCE);
      await server.cli("HSET", STATE, "__fence", text);
      expect(await lockOf(A).acquire(null, 0)).toEqual({ kind: "wrong_type", what: "state:text" });
      expect(await server.cli("EXISTS", LOCK_KEY)).toBe("0");
    },
  );

  test("rises over a clock of Redis that fell behind what was given out", async () => {
    const far = 4_000_000_000_000_000;
    await server.cli("SET", FENCE, String(far));
    expect(await granted(lockOf(A))).toBe(far + 1);
    await server.cli("DEL", LOCK_KEY, FENCE);
    await server.cli("HSET", STATE, "__fence", String(far + 5));
    expect(await granted(lockOf(A))).toBe(far + 6);
  });
});

describe("a clean release", { tags: ["redis", "resilience"] }, () => {
  test("leaves a sign by which the next holder need not wait, once", async () => {
    const [first, second] = [lockOf(A), lockOf(B)];
    await granted(first);
    await first.release(true);
    expect(await second.acquire(null, 0)).toMatchObject({ kind: "granted", clean: true });
    await server.cli("DEL", LOCK_KEY);
    expect(await first.acquire(null, 0)).toMatchObject({ kind: "granted", clean: false });
  });

  test("counts for nothing when it was not clean, nor when there was never a holder", async () => {
    const [first, second] = [lockOf(A), lockOf(B)];
    expect(await first.acquire(null, 0)).toMatchObject({ clean: false });
    await first.release(false);
    expect(await second.acquire(null, 0)).toMatchObject({ kind: "granted", clean: false });
  });

  test("counts for nothing on a server that was started anew", async () => {
    await using own = await startRedis();
    const first = lockOf(A, open(own.url));
    await granted(first);
    await first.release(true);
    await own.restart({ keepData: true });
    const answer = await lockOf(B, open(own.url)).acquire(null, 0);
    expect(answer).toMatchObject({ kind: "granted", clean: false });
  });
});

describe("a lock that Redis cannot give", { tags: ["redis", "resilience"] }, () => {
  test.each([LOCK_KEY, FENCE, RELEASED, STATE])("names a wrong type under %s", async (key) => {
    await server.cli("RPUSH", key, "x");
    expect(await lockOf(A).acquire(null, 0)).toMatchObject({ kind: "wrong_type" });
    expect(await server.cli("DBSIZE")).toBe("1");
  });

  test("is refused without a pulse while a foreign value stands there, with or without an end", async () => {
    const lock = lockOf(A);
    await server.cli("SET", LOCK_KEY, "pid=7");
    expect(await lock.acquire(null, 0)).toEqual({ kind: "refused", pulse: null });
    await server.cli("PEXPIRE", LOCK_KEY, "60000");
    expect(await lock.acquire(null, 0)).toEqual({ kind: "refused", pulse: null });
    expect(Number(await server.cli("PTTL", LOCK_KEY))).toBeGreaterThan(0);
    await server.cli("DEL", LOCK_KEY);
    expect((await lock.acquire(null, 0)).kind).toBe("granted");
  });

  test("fails by the kind of failure: no login, a replica, no memory, no server", async () => {
    const failure = async (url: string): Promise<unknown> => lockOf(A, open(url)).acquire(null, 0);
    const nobody = server.url.replace("//", "//nobody:wrong@");
    expect(await failure(nobody)).toEqual({ kind: "failed", failure: "noauth" });
    await using replica = await startReplica(server);
    expect(await failure(replica.url)).toEqual({ kind: "failed", failure: "readonly" });
    await using full = await startRedis({ args: ["--maxmemory", "1"] });
    expect(await failure(full.url)).toEqual({ kind: "failed", failure: "oom" });
    await full.kill();
    expect(await failure(full.url)).toEqual(LOST);
  });

  test("is kept by a holder whose renewal finds no memory, and who then gives it back", async () => {
    await using own = await startRedis();
    const lock = lockOf(A, open(own.url));
    await granted(lock);
    await own.cli("CONFIG", "SET", "maxmemory", "1");
    expect(await lock.renew()).toEqual({ kind: "failed", failure: "oom" });
    await own.cli("CONFIG", "SET", "maxmemory", "0");
    expect(await lock.renew()).toEqual({ kind: "renewed" });
    expect(await lock.release(true)).toBe(true);
    expect(await own.cli("EXISTS", LOCK_KEY)).toBe("0");
  });
});
