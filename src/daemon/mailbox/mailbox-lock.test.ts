// Checks what the lock of a mailbox makes of the cluster's last look at it: a value of our own from before
// we gave the mailbox back tells nobody whose turn it is now. Over a Redis that a test answers for.
import { describe, expect, test } from "vitest";
import { createSeededRandom } from "../../../test/support/seeded-random.ts";
import { createVirtualClock } from "../../../test/support/virtual-clock.ts";
import { createMetrics } from "../../app-logging/metrics.ts";
import { SHARED_LEASE } from "../../lock/lease.ts";
import { RedisError, type RedisReply } from "../../redis/redis.ts";
import { createSqliteStore } from "../../store/sqlite.ts";
import { openSqliteMemory } from "../../store/sqlite.adapter.ts";
import type { Clustered } from "../cluster/clustered.ts";
import { createMailboxLock } from "./mailbox-lock.ts";

const ME = "aaaaaaaa-0000-4000-8000-000000000000";
const FREE = { kind: "refused", reason: "held_by_other", code: null };

/** A lock that is free for us, by the placement and by Redis; the last look shows what a test says. */
const setUp = () => {
  const clock = createVirtualClock();
  const seen = { value: null as string | null, sinceMs: 0 };
  const world = { seen, fence: 100, release: (): RedisReply => 1 };
  const answers: Readonly<Record<string, () => RedisReply>> = {
    acquire: () => [1, String((world.fence += 1)), 1],
    renew: () => [1, ""],
    release: () => world.release(),
  };
  const clustered = {
    redis: {
      script: async (name: string) => answers[name]?.() ?? null,
    },
    lock: { key: "lock", ttlMs: 300_000, fallback: "wait" },
    lease: SHARED_LEASE,
    islands: new Set<string>(),
    journal: { highWater: async () => 0, raiseHighWater: async () => undefined },
    watch: {
      seen: () => seen,
      redis: () => ({ kind: "reachable", sinceMs: 0 }),
      mayTake: () => true,
    },
  } as unknown as Clustered;
  const lock = createMailboxLock(
    {
      clock,
      clustered,
      node: ME,
      log: () => undefined,
      metrics: createMetrics(),
      store: createSqliteStore({
        database: openSqliteMemory(),
        random: createSeededRandom(5),
        spoolKeys: [],
      }),
      lockFile: "/somewhere/poller.lock",
      takeLocalLock: () => ({
        kind: "held",
        lock: { stillInPlace: () => true, release: () => undefined },
      }),
    },
    "default",
  );
  return { clock, lock, world };
};

describe("a mailbox that was given back", () => {
  test("is not taken again before a look shows whose turn it is", async () => {
    const { lock, world } = setUp();
    await lock.acquire();
    world.seen.value = `${ME}:101:3`;
    await lock.release();
    expect(await lock.acquire()).toEqual(FREE);
    world.seen.value = null;
    expect(await lock.acquire()).toMatchObject({ kind: "held", lease: { fence: 102 } });
  });

  test("is taken again under a value of ours that is newer: its answer was lost", async () => {
    const { lock, world } = setUp();
    await lock.acquire();
    await lock.release();
    world.seen.value = `${ME}:102:0`;
    expect(await lock.acquire()).toMatchObject({ kind: "held" });
  });

  test("is taken again at once when nobody knows that it was: Redis gave no answer", async () => {
    const { lock, world } = setUp();
    await lock.acquire();
    world.seen.value = `${ME}:101:3`;
    world.release = () => {
      throw new RedisError("unreachable");
    };
    await lock.release();
    expect(await lock.acquire()).toMatchObject({ kind: "held" });
  });

  test("is taken again when its old value stands there for a lease: Redis came back older", async () => {
    const { clock, lock, world } = setUp();
    await lock.acquire();
    await lock.release();
    world.seen.value = `${ME}:101:3`;
    await clock.advance(SHARED_LEASE.leaseMs - 1);
    expect(await lock.acquire()).toEqual(FREE);
    await clock.advance(1);
    expect(await lock.acquire()).toMatchObject({ kind: "held" });
  });
});
