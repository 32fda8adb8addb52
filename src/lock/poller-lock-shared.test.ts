// Checks the lock of one mailbox that several hosts share: the host's lock first and the shared one
// second, what each refusal is called, and that whatever was taken goes back. Times without Redis are in
// poller-lock-alone.test.ts.
import { describe, expect, test } from "vitest";
import { createSharedLockWorld, ME, OTHER } from "../../test/support/shared-lock-world.ts";
import { LeaseLostError } from "../core/errors.ts";

const FREE = { kind: "refused", reason: "held_by_other", code: null };

describe("a shared lock that is free", () => {
  test("is taken after the host's own, with the high water, which then learns the fence", async () => {
    const { acquire, calls, events, lock, results } = createSharedLockWorld();
    expect((await acquire()).fence).toBe(101);
    expect(calls).toEqual(["0 flock", "0 acquire null 40", "0 raise 101"]);
    expect([events, results]).toEqual([["0 lock.acquired 101 false"], ["acquired"]]);
    expect(lock.view()).toMatchObject({ state: "held", fence: 101 });
  });

  test("is ours but delayed for 16 s when the last holder did not sign off", async () => {
    const { acquire, clock, events, lock, world } = createSharedLockWorld();
    world.acquire = async () => ({ kind: "granted", fence: 101, clean: false });
    expect(await lock.acquire()).toEqual({ kind: "delayed" });
    expect(events).toEqual(["0 lock.acquired 101 false", "0 lock.delayed 101 16000"]);
    await clock.advance(15_999);
    expect(await lock.acquire()).toEqual({ kind: "delayed" });
    await clock.advance(1);
    const lease = await acquire();
    await lease.assert();
    expect(lease.fence).toBe(101);
  });

  test("counts the time in which the answer and the high water came as gone", async () => {
    const { acquire, clock, lock, world } = createSharedLockWorld();
    world.acquire = async () => {
      await clock.sleep(4000);
      return { kind: "granted", fence: 101, clean: true };
    };
    world.raiseHighWater = () => clock.sleep(4000);
    world.renew = async () => ({ kind: "failed", failure: "oom" });
    const acquired = acquire();
    await clock.advance(8000);
    await acquired;
    await clock.advance(4849);
    expect(lock.view().state).toBe("held");
    await clock.advance(1);
    expect(lock.view().state).toBe("lost");
  });

  test("is not asked for while another process of the host has the host's lock", async () => {
    const { calls, lock, world } = createSharedLockWorld();
    world.isHostBusy = true;
    expect(await lock.acquire()).toMatchObject({ reason: "held_on_host" });
    expect(calls).toEqual([]);
  });

  test("is not asked for while it is another node's turn", async () => {
    const { calls, lock, results, world } = createSharedLockWorld();
    world.mayTake = false;
    expect(await lock.acquire()).toEqual(FREE);
    expect([calls, results]).toEqual([[], []]);
  });
});

describe("a shared lock that somebody else has", () => {
  const PULSE = `${OTHER}:90:3`;

  test("costs no request and no host lock while its holder is seen to live", async () => {
    const { calls, clock, lock, world } = createSharedLockWorld();
    world.seen = { value: PULSE, sinceMs: 0 };
    for (const atMs of [0, 14_999]) {
      await clock.advance(atMs - clock.now());
      expect(await lock.acquire()).toEqual(FREE);
    }
    expect(calls).toEqual(["0 raise 90", "14999 raise 90"]);
  });

  test("is taken over by the very value that stood still for a lease", async () => {
    const { acquire, calls, clock, world } = createSharedLockWorld();
    world.seen = { value: PULSE, sinceMs: 0 };
    await clock.advance(15_000);
    await acquire();
    expect(calls.slice(0, 2)).toEqual(["15000 flock", `15000 acquire ${PULSE} 40`]);
  });

  test("is asked for at once when the value is our own, from an answer that was lost", async () => {
    const { acquire, calls, world } = createSharedLockWorld();
    world.seen = { value: `${ME}:101:0`, sinceMs: 0 };
    await acquire();
    expect(calls.slice(0, 2)).toEqual(["0 flock", "0 acquire null 40"]);
  });

  test("is refused by its holder's fence, which is learnt, and the host's lock goes back", async () => {
    const { calls, events, lock, results, world } = createSharedLockWorld();
    world.acquire = async () => ({ kind: "refused", pulse: PULSE });
    expect(await lock.acquire()).toEqual(FREE);
    expect(calls).toEqual(["0 flock", "0 acquire null 40", "0 unflock", "0 raise 90"]);
    expect(events).toEqual([`0 lock.refused held_by_other ${OTHER} 1`]);
    expect(results).toEqual(["held_by_other"]);
  });

  test("is warned of at first, at each change of holder or reason, then every 5 minutes", async () => {
    const { clock, events, lock, world } = createSharedLockWorld();
    const tryFor = async (seconds: number): Promise<void> => {
      for (let n = 0; n < seconds; n += 1) {
        await lock.acquire();
        await clock.advance(1000);
      }
    };
    world.acquire = async () => ({ kind: "refused", pulse: PULSE });
    await tryFor(400);
    world.acquire = async () => ({
      kind: "refused",
      pulse: `${ME.replace("a", "c")}:91:0`,
    });
    await tryFor(5);
    world.acquire = async () => ({ kind: "refused", pulse: null });
    await tryFor(5);
    world.health = { failure: "unreachable", sinceMs: clock.now() };
    await tryFor(5);
    expect(events).toEqual([
      `0 lock.refused held_by_other ${OTHER} 1`,
      `300000 lock.refused held_by_other ${OTHER} 300`,
      `400000 lock.refused held_by_other ${ME.replace("a", "c")} 100`,
      "405000 lock.refused foreign_lock 5",
      "410000 lock.refused unreachable 5",
    ]);
  });
});

describe("what Redis answers instead of a lock", () => {
  test.each([
    ["unreachable", "unreachable"],
    ["noauth", "redis_noauth"],
    ["readonly", "redis_readonly"],
    ["oom", "redis_oom"],
    ["wrong_type", "foreign_lock"],
    ["other", "unreachable"],
  ] as const)("has its word (%s: %s), and the host's lock goes back", async (failure, reason) => {
    const { calls, lock, results, world } = createSharedLockWorld();
    world.acquire = async () => ({ kind: "failed", failure });
    expect(await lock.acquire()).toEqual({ kind: "refused", reason, code: null });
    expect(calls).toEqual(["0 flock", "0 acquire null 40", "0 unflock"]);
    expect([results, lock.view().state]).toEqual([[reason], "standby"]);
  });

  test.each([
    { kind: "wrong_type", what: "fence:list" },
    { kind: "refused", pulse: null },
  ] as const)("is a foreign lock when it is not of our making (%o)", async (answer) => {
    const { calls, lock, world } = createSharedLockWorld();
    world.acquire = async () => answer;
    expect(await lock.acquire()).toMatchObject({ reason: "foreign_lock" });
    expect(calls.at(-1)).toBe("0 unflock");
  });

  test.each([
    ["unsafe", "redis_unsafe"],
    [{ failure: "noauth", sinceMs: 0 }, "redis_noauth"],
    [{ failure: "readonly", sinceMs: 0 }, "redis_readonly"],
    [{ failure: "unreachable", sinceMs: 0 }, "unreachable"],
  ] as const)(
    "costs no request when the watch has heard it already (%o)",
    async (health, reason) => {
      const { calls, lock, world } = createSharedLockWorld();
      world.health = health;
      expect(await lock.acquire()).toEqual({ kind: "refused", reason, code: null });
      expect(calls).toEqual([]);
    },
  );
});

describe("a high water that cannot be raised", () => {
  const full = new Error("disk full");

  test("gives both locks back, the shared one first, and the error escapes", async () => {
    const { acquire, calls, lock, results, world } = createSharedLockWorld();
    const { raiseHighWater } = world;
    world.raiseHighWater = () => Promise.reject(full);
    await expect(lock.acquire()).rejects.toBe(full);
    expect(calls.slice(3)).toEqual(["0 release unclean", "0 unflock", "0 together"]);
    expect([results, lock.view().state]).toEqual([["failed"], "free"]);
    world.raiseHighWater = raiseHighWater;
    expect((await acquire()).fence).toBe(101);
  });

  test("leaves nothing behind when it is another's fence that is not learnt", async () => {
    const { acquire, clock, lock, results, world } = createSharedLockWorld();
    const { raiseHighWater } = world;
    world.raiseHighWater = () => Promise.reject(full);
    world.seen = { value: `${OTHER}:90:3`, sinceMs: 0 };
    await expect(lock.acquire()).rejects.toBe(full);
    expect(results).toEqual(["failed"]);
    world.raiseHighWater = raiseHighWater;
    await clock.advance(15_000);
    expect((await acquire()).fence).toBe(101);
  });
});

describe("the release of a shared lock", () => {
  test("goes to Redis before the host's lock goes back, and signs off", async () => {
    const { acquire, calls, lock } = createSharedLockWorld();
    const lease = await acquire();
    await Promise.all([lock.release(), lock.release()]);
    expect(calls.slice(3)).toEqual(["0 release clean", "0 unflock", "0 together"]);
    expect([lease.signal.aborted, lock.view().state]).toEqual([true, "free"]);
  });

  test("does not sign off during lock-delay", async () => {
    const { calls, lock, world } = createSharedLockWorld();
    world.acquire = async () => ({ kind: "granted", fence: 101, clean: false });
    await lock.acquire();
    await lock.release();
    expect(calls).toContain("0 release unclean");
  });

  test("that is not answered gives the host's lock back all the same", async () => {
    const { acquire, calls, lock, world } = createSharedLockWorld();
    await acquire();
    world.release = async () => false;
    await lock.release();
    expect(calls).toContain("0 unflock");
    expect((await acquire()).fence).toBe(101);
  });
});

describe("a shared lease that is lost", () => {
  test("aborts the work at once and keeps the host's lock until that has ended", async () => {
    const { acquire, calls, clock, events, lock, world } = createSharedLockWorld();
    const lease = await acquire();
    world.renew = async () => ({ kind: "lost", vanished: true });
    await clock.advance(5000);
    expect([lease.signal.aborted, events.at(-1)]).toEqual([true, "5000 lock.lost 101 vanished"]);
    await expect(lease.assert()).rejects.toBeInstanceOf(LeaseLostError);
    expect(calls).not.toContain("5000 unflock");
    world.acquire = async () => ({ kind: "granted", fence: 102, clean: false });
    expect(await lock.acquire()).toEqual({ kind: "delayed" });
    expect(calls.slice(4)).toEqual([
      ...["5000 release unclean", "5000 unflock", "5000 together"],
      ...["5000 flock", "5000 acquire null 40", "5000 raise 102"],
    ]);
  });
});
