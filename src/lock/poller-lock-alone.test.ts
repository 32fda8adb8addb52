// Checks the lock of one mailbox while Redis does not answer: who may go on or begin under the host's
// lock alone, and the way back, on which the host's lock is never let go of.
import { describe, expect, test } from "vitest";
import { createSharedLockWorld, ME, OTHER } from "../../test/support/shared-lock-world.ts";

const failed = async () => ({ kind: "failed", failure: "unreachable" }) as const;
const REFUSED = { kind: "refused", reason: "unreachable", code: null };

/** Held since 0; Redis has been away since, and the lease goes on alone at 9 s. */
const goAlone = async () => {
  const parts = createSharedLockWorld();
  const lease = await parts.acquire();
  parts.world.renew = failed;
  parts.world.health = { failure: "unreachable", sinceMs: 0 };
  await parts.clock.advance(20_000);
  return { ...parts, lease };
};

/** Not held; Redis has been away since 0, and the lease begins alone at 15 s. */
const beginAlone = async () => {
  const parts = createSharedLockWorld();
  parts.world.health = { failure: "unreachable", sinceMs: 0 };
  await parts.clock.advance(15_000);
  return { ...parts, lease: await parts.acquire() };
};

describe("a lease whose Redis goes away", () => {
  test("goes on alone with the same fence, and no work is aborted", async () => {
    const { acquire, calls, events, lease, lock } = await goAlone();
    await lease.assert();
    expect(await acquire()).toBe(lease);
    expect([lease.fence, lease.signal.aborted]).toEqual([101, false]);
    expect(lock.view()).toMatchObject({ state: "alone", fence: 101 });
    expect(calls.slice(-2)).toEqual(["9000 renew", "9000 alone"]);
    expect(events.at(-1)).toBe("9000 lock.alone 101");
  });

  test("ends at its deadline when this host may not go on alone", async () => {
    const { acquire, clock, events, lock, world } = createSharedLockWorld();
    const lease = await acquire();
    world.renew = failed;
    world.mayGoAlone = async () => false;
    await clock.advance(12_850);
    expect([lease.signal.aborted, events.at(-1)]).toEqual([true, "12850 lock.lost 101 expired"]);
    world.health = { failure: "unreachable", sinceMs: 0 };
    await clock.advance(60_000);
    expect(await lock.acquire()).toEqual(REFUSED);
  });

  test("is given back to both locks when the work is done", async () => {
    const { calls, lock } = await goAlone();
    await lock.release();
    expect(calls.slice(-3)).toEqual(["20000 release unclean", "20000 unflock", "20000 together"]);
  });
});

describe("a node that stands by while Redis is away", () => {
  test("begins alone after a whole lease, under a fence of its own store", async () => {
    const { calls, clock, events, lock, world } = createSharedLockWorld();
    world.health = { failure: "unreachable", sinceMs: 0 };
    await clock.advance(14_999);
    expect(await lock.acquire()).toEqual(REFUSED);
    await clock.advance(1);
    expect(await lock.acquire()).toMatchObject({ kind: "held", lease: { fence: 500 } });
    expect(calls).toEqual(["15000 flock", "15000 alone"]);
    expect(events.at(-1)).toBe("15000 lock.acquired 500 true");
    expect(lock.view()).toMatchObject({ state: "alone", fence: 500 });
  });

  test("waits when it may not, and when the host's lock is taken", async () => {
    const { calls, clock, lock, world } = createSharedLockWorld();
    world.health = { failure: "unreachable", sinceMs: 0 };
    await clock.advance(60_000);
    world.mayGoAlone = async () => false;
    expect(await lock.acquire()).toEqual(REFUSED);
    world.mayGoAlone = async () => true;
    world.isHostBusy = true;
    expect(await lock.acquire()).toMatchObject({ reason: "held_on_host" });
    expect(calls).toEqual([]);
  });

  test.each(["noauth", "readonly", "oom", "wrong_type", "other"] as const)(
    "never begins alone for an answer of Redis (%s)",
    async (failure) => {
      const { calls, clock, lock, world } = createSharedLockWorld();
      world.health = { failure, sinceMs: 0 };
      await clock.advance(3_600_000);
      expect(await lock.acquire()).toMatchObject({ kind: "refused" });
      expect(calls).toEqual([]);
    },
  );

  test("gives the host's lock back, and the error escapes, when no fence can be issued", async () => {
    const { calls, clock, lock, results, world } = createSharedLockWorld();
    world.health = { failure: "unreachable", sinceMs: 0 };
    const full = new Error("disk full");
    world.issueFence = () => Promise.reject(full);
    await clock.advance(15_000);
    await expect(lock.acquire()).rejects.toBe(full);
    expect(calls.slice(-2)).toEqual(["15000 unflock", "15000 together"]);
    expect([results, lock.view().state]).toEqual([["failed"], "free"]);
  });
});

describe("the return of Redis", () => {
  test.each([
    ["went on", goAlone],
    ["began", beginAlone],
  ])("is told to a lease that %s alone, whose work may still end", async (_, prepare) => {
    const { acquire, lease, lock, world } = await prepare();
    expect(await acquire()).toBe(lease);
    world.health = "usable";
    expect(await lock.acquire()).toEqual({ kind: "rejoin" });
    await lease.assert();
    expect(lease.signal.aborted).toBe(false);
  });

  test.each([
    ["went on", goAlone],
    ["began", beginAlone],
  ])("leads through lock-delay, under the same host lock (%s alone)", async (_, prepare) => {
    const { acquire, calls, clock, lease, lock, world } = await prepare();
    calls.length = 0;
    world.health = "usable";
    world.renew = async () => ({ kind: "renewed" });
    world.acquire = async () => ({ kind: "granted", fence: 600, clean: false });
    await lock.rejoin();
    expect([lease.signal.aborted, lock.view().state]).toEqual([true, "free"]);
    expect(await lock.acquire()).toEqual({ kind: "delayed" });
    await clock.advance(16_000);
    const next = await acquire();
    await next.assert();
    expect(next.fence).toBe(600);
    expect(calls.some((line) => line.includes("flock"))).toBe(false);
    expect(calls.map((line) => line.split(" ")[1]).slice(0, 3)).toEqual([
      ...["together", "acquire", "raise"],
    ]);
  });

  test("asks at once for what still stands there under our own name", async () => {
    const { calls, clock, lock, world } = await goAlone();
    world.health = "usable";
    world.seen = { value: `${ME}:101:1`, sinceMs: clock.now() };
    await lock.rejoin();
    await lock.acquire();
    expect(calls).toContain("20000 acquire null 40");
  });

  test("keeps the host's lock while it is not this node's turn, until another has the mailbox", async () => {
    const { calls, clock, lock, world } = await goAlone();
    world.health = "usable";
    world.mayTake = false;
    await lock.rejoin();
    expect(await lock.acquire()).toMatchObject({ reason: "held_by_other" });
    expect(calls).not.toContain("20000 unflock");
    world.seen = { value: `${OTHER}:700:0`, sinceMs: clock.now() };
    expect(await lock.acquire()).toMatchObject({ reason: "held_by_other" });
    expect(calls.at(-1)).toBe("20000 unflock");
  });

  test.each(["noauth", "readonly", "oom"] as const)(
    "ends also when Redis is back and refuses (%s)",
    async (failure) => {
      const { lock, world } = await goAlone();
      world.health = { failure, sinceMs: 20_000 };
      expect((await lock.acquire()).kind).toBe("rejoin");
      await lock.rejoin();
      expect(await lock.acquire()).toMatchObject({ reason: `redis_${failure}` });
    },
  );

  test("keeps the host's lock through another outage until shared state knows it all", async () => {
    const { calls, lock, world } = await goAlone();
    world.health = "usable";
    await lock.rejoin();
    world.health = { failure: "unreachable", sinceMs: 20_000 };
    expect(await lock.acquire()).toMatchObject({ reason: "unreachable" });
    expect(calls).not.toContain("20000 unflock");
  });

  test("gives the host's lock back when another has the mailbox", async () => {
    const { calls, clock, lock, world } = await goAlone();
    world.health = "usable";
    world.seen = { value: `${OTHER}:700:0`, sinceMs: clock.now() };
    await lock.rejoin();
    expect(await lock.acquire()).toMatchObject({ reason: "held_by_other" });
    expect(calls.slice(-2)).toEqual(["20000 unflock", "20000 raise 700"]);
  });

  test("does not keep the host's lock from others when Redis is unfit", async () => {
    const { calls, lock, world } = await goAlone();
    world.health = "unsafe";
    await lock.rejoin();
    expect(await lock.acquire()).toMatchObject({ reason: "redis_unsafe" });
    expect(calls.at(-1)).toBe("20000 unflock");
  });
});
