// The whole lock of a mailbox, a real lock file and a real Redis together, in the cases that the
// reference tested and beside its Python service: what it falls back to, and what it no longer does.
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { acquireAsPython } from "../../test/support/lock-contender.ts";
import { type RedisServer, startRedis } from "../../test/support/redis.ts";
import { LOCK_KEY, openTenthLock } from "../../test/support/tenth-lease.ts";
import { takeFlock } from "./flock.adapter.ts";
import type { PollerLock } from "./poller-lock.ts";

const ME = "aaaaaaaa-0000-4000-8000-000000000000";
const PATIENCE = { timeout: 15_000 };

let server: RedisServer;
let directory = "";
let path = "";
let cleanUps: (() => Promise<void>)[] = [];

beforeAll(async () => {
  server = await startRedis();
});
beforeEach(async () => {
  await server.cli("FLUSHALL");
  directory = mkdtempSync(join(tmpdir(), "signalpost-lock-"));
  path = join(directory, "poller.lock");
});
afterEach(async () => {
  for (const cleanUp of cleanUps.toReversed()) await cleanUp();
  cleanUps = [];
  rmSync(directory, { recursive: true });
});
afterAll(() => server[Symbol.asyncDispose]());

/** The lock on this host's file and, with a URL, on that Redis. */
const lockOn = (url: string | null): PollerLock => {
  const { lock, stop } = openTenthLock(path, url === null ? null : { url, owner: ME });
  cleanUps.push(stop);
  return lock;
};

const wordOf = async (lock: PollerLock): Promise<string> => {
  const answer = await lock.acquire();
  return answer.kind === "refused" ? answer.reason : answer.kind;
};

const isFileFree = (): boolean => {
  const answer = takeFlock(path);
  if (answer.kind === "held") answer.lock.release();
  return answer.kind === "held";
};

describe("the lock of a mailbox", { tags: ["redis", "resilience"] }, () => {
  test("is the lock file alone when there is no Redis in the configuration", async () => {
    expect(await wordOf(lockOn(null))).toBe("held");
    expect([isFileFree(), await server.cli("DBSIZE")]).toEqual([false, "0"]);
  });

  test("is the lock file and the key, when there is", async () => {
    const lock = lockOn(server.url);
    expect(await wordOf(lock)).toBe("delayed");
    expect([isFileFree(), await server.cli("EXISTS", LOCK_KEY)]).toEqual([false, "1"]);
    await expect.poll(() => wordOf(lock), PATIENCE).toBe("held");
    await lock.release();
    expect([isFileFree(), await server.cli("EXISTS", LOCK_KEY)]).toEqual([true, "0"]);
  });

  test("is refused while another has the key, and leaves the lock file to others", async () => {
    await server.cli("SET", LOCK_KEY, `${ME.replaceAll("a", "b")}:1:0`);
    expect(await wordOf(lockOn(server.url))).toBe("held_by_other");
    expect(isFileFree()).toBe(true);
  });

  test("is not the lock file alone when Redis fails: nothing is polled then", async () => {
    await using gone = await startRedis();
    await gone.kill();
    const lock = lockOn(gone.url);
    for (let n = 0; n < 5; n += 1) {
      expect(await wordOf(lock)).toBe("unreachable");
      expect(isFileFree()).toBe(true);
    }
  });

  test("is not asked of Redis when the lock file cannot be used", async () => {
    path = join(directory, "none", "poller.lock");
    expect(await wordOf(lockOn(server.url))).toBe("lock_file_error");
    expect([existsSync(path), await server.cli("DBSIZE")]).toEqual([false, "0"]);
  });
});

describe("the lock in Redis beside the Python service", { tags: ["redis", "resilience"] }, () => {
  test("keeps its SET NX EX 300 out, from the first moment", async () => {
    const lock = lockOn(server.url);
    expect(await acquireAsPython(server.port)).toBe(true);
    await server.cli("DEL", LOCK_KEY);
    await expect.poll(() => wordOf(lock), PATIENCE).toMatch(/^(delayed|held)$/);
    expect(await acquireAsPython(server.port)).toBe(false);
    await expect.poll(() => wordOf(lock), PATIENCE).toBe("held");
    expect(await acquireAsPython(server.port)).toBe(false);
    await lock.release();
    expect(await acquireAsPython(server.port)).toBe(true);
  });

  test("is refused while its key stands, and never takes it over", async () => {
    const lock = lockOn(server.url);
    expect(await acquireAsPython(server.port)).toBe(true);
    // Longer than a lease at one tenth.
    for (let n = 0; n < 20; n += 1) {
      expect(await wordOf(lock)).toBe("foreign_lock");
      await sleep(100);
    }
    expect(await server.cli("GET", LOCK_KEY)).toBe("pid=123");
    expect(isFileFree()).toBe(true);
    await server.cli("PEXPIRE", LOCK_KEY, "1");
    await expect.poll(() => wordOf(lock), PATIENCE).toMatch(/^(delayed|held)$/);
  });
});
