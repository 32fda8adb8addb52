// Checks the lock of one mailbox over a fake host lock and under virtual time: fences, asserts, losses,
// releases, and what is logged and counted of them.
import { describe, expect, test } from "vitest";
import { createVirtualClock } from "../../test/support/virtual-clock.ts";
import { LeaseLostError } from "../core/errors.ts";
import type { Lease } from "./held-lease.ts";
import { createPollerLock, lockPathFor } from "./poller-lock.ts";

/** A poller lock over a host lock that is free, with switches. */
const setUp = () => {
  const clock = createVirtualClock();
  const host = { taken: 0, released: 0, inPlace: true, looks: 0, busy: false, rival: false };
  const events: string[] = [];
  const results: string[] = [];
  const fences = { next: 100, issue: async (): Promise<number> => (fences.next += 1) };
  const lock = createPollerLock({
    clock,
    log: (event, { fence, reason } = {}) =>
      void events.push([event, fence, reason].filter((part) => part !== undefined).join(" ")),
    mailbox: "default",
    path: "/somewhere/poller.lock",
    takeLocalLock: () => {
      if (host.busy) return { kind: "busy" };
      host.taken += 1;
      return {
        kind: "held",
        lock: {
          stillInPlace: () => {
            host.looks += 1;
            return host.inPlace;
          },
          release: () => void (host.released += 1),
        },
      };
    },
    issueFence: () => fences.issue(),
    shared: null,
    heldElsewhere: async () => host.rival,
    onAcquisition: (result) => void results.push(result),
  });
  const acquire = async (): Promise<Lease> => {
    const answer = await lock.acquire();
    if (answer.kind !== "held") throw new Error(answer.kind);
    return answer.lease;
  };
  return { clock, host, events, results, fences, lock, acquire };
};

describe("the path of the lock file", () => {
  test("is the bare one for the mailbox default and has the id appended for the others", () => {
    expect(lockPathFor("/tmp/poller.lock", "default")).toBe("/tmp/poller.lock");
    expect(lockPathFor("/tmp/poller.lock", "sales")).toBe("/tmp/poller.lock.sales");
  });
});

describe("a newer fence, from a process with another lock file", () => {
  test("ends the lease, and is not answered by taking the mailbox back", async () => {
    const { acquire, clock, events, host, lock } = setUp();
    const lease = await acquire();
    host.rival = true;
    await lock.overtaken(lease);
    expect(lease.signal.aborted).toBe(true);
    expect(events.at(-1)).toBe("lock.lost 101 taken_over");
    expect(await lock.acquire()).toMatchObject({ kind: "refused", code: "FENCED" });
    await clock.advance(60_000);
    expect(await lock.acquire()).toMatchObject({ kind: "refused", reason: "held_by_other" });
    host.rival = false;
    expect((await acquire()).fence).toBe(102);
  });

  test("is stood off from until its holder had the time to tell of itself", async () => {
    const { acquire, clock, lock } = setUp();
    await lock.overtaken(await acquire());
    await clock.advance(9999);
    expect(await lock.acquire()).toMatchObject({ kind: "refused" });
    await clock.advance(1);
    expect((await acquire()).fence).toBe(102);
  });
});

describe("the lock of a mailbox", () => {
  test("is held under a fresh fence, and asserts pass", async () => {
    const { acquire, events, lock, results } = setUp();
    const lease = await acquire();
    expect(lease.fence).toBe(101);
    await lease.assert();
    expect(lock.view()).toMatchObject({ state: "held", fence: 101 });
    expect([events, results]).toEqual([["lock.acquired 101"], ["acquired"]]);
  });

  test("gives the same lease while it is held", async () => {
    const { acquire, host } = setUp();
    expect(await acquire()).toBe(await acquire());
    expect(host.taken).toBe(1);
  });

  test("is taken once when two ask at the same time", async () => {
    const { acquire, host } = setUp();
    const [one, other] = await Promise.all([acquire(), acquire()]);
    expect(one).toBe(other);
    expect(host.taken).toBe(1);
  });

  test("needs no renewal, however long it is held", async () => {
    const { acquire, clock } = setUp();
    const lease = await acquire();
    await clock.advance(30 * 86_400_000);
    await lease.assert();
    expect(lease.signal.aborted).toBe(false);
  });

  test("is given back, and the error escapes, when the store issues no fence", async () => {
    const { events, fences, host, lock, results } = setUp();
    const full = new Error("disk full");
    const { issue } = fences;
    fences.issue = () => Promise.reject(full);
    await expect(lock.acquire()).rejects.toBe(full);
    expect([host.taken, host.released, lock.view().state]).toEqual([1, 1, "free"]);
    fences.issue = issue;
    expect((await lock.acquire()).kind).toBe("held");
    expect(results).toEqual(["failed", "acquired"]);
    expect(events).toEqual(["lock.acquired 101"]);
  });

  test("looks at the lock file at most once a second, however often effects assert", async () => {
    const { acquire, clock, host } = setUp();
    const lease = await acquire();
    for (let n = 0; n < 100; n += 1) {
      await lease.assert();
      await clock.advance(100);
    }
    expect(host.looks).toBe(9);
  });

  test("looks at the lock file at every cycle", async () => {
    const { acquire, host } = setUp();
    await acquire();
    await acquire();
    await acquire();
    expect(host.looks).toBe(2);
  });
});

describe("a lease whose lock file was replaced", () => {
  const lose = async () => {
    const world = setUp();
    const lease = await world.acquire();
    world.host.inPlace = false;
    await world.clock.advance(1000);
    await expect(lease.assert()).rejects.toBeInstanceOf(LeaseLostError);
    return { ...world, lease };
  };

  test("is lost at the next look: aborted, logged once, shown", async () => {
    const { events, lease, lock } = await lose();
    await expect(lease.assert()).rejects.toBeInstanceOf(LeaseLostError);
    expect(lease.signal.aborted).toBe(true);
    expect(lock.view()).toMatchObject({ state: "lost", fence: 101 });
    expect(events).toEqual(["lock.acquired 101", "lock.lost 101 lock_file_replaced"]);
  });

  test("keeps the old file until the work under it has ended", async () => {
    const { host, lock } = await lose();
    expect(host.released).toBe(0);
    await lock.release();
    expect([host.released, lock.view().state]).toEqual([1, "free"]);
  });

  test("stays dead when the lock is taken anew, under a higher fence", async () => {
    const { acquire, host, lease } = await lose();
    host.inPlace = true;
    const next = await acquire();
    expect([host.taken, host.released, next.fence]).toEqual([2, 1, 102]);
    await next.assert();
    await expect(lease.assert()).rejects.toBeInstanceOf(LeaseLostError);
    expect([lease.signal.aborted, next.signal.aborted]).toEqual([true, false]);
  });

  test("is found out by the next cycle too, which first lets the work under it end", async () => {
    const { acquire, host, lock } = setUp();
    const lease = await acquire();
    host.inPlace = false;
    expect(await lock.acquire()).toEqual({ kind: "lost" });
    expect([lease.signal.aborted, host.released]).toEqual([true, 0]);
    expect((await acquire()).fence).toBe(102);
  });

  test("has no say over the lease taken after it, whatever its late work sees", async () => {
    const { acquire, host, lease, lock } = await lose();
    host.inPlace = true;
    const next = await acquire();
    await lock.overtaken(lease);
    await next.assert();
    expect(next.signal.aborted).toBe(false);
  });
});

describe("a release", () => {
  test("gives the lock back once, however often it is asked", async () => {
    const { acquire, events, host, lock } = setUp();
    const lease = await acquire();
    await Promise.all([lock.release(), lock.release()]);
    await lock.release();
    expect([host.released, lock.view().state, lease.signal.aborted]).toEqual([1, "free", true]);
    expect(events).toEqual(["lock.acquired 101", "lock.released 101"]);
    await expect(lease.assert()).rejects.toBeInstanceOf(LeaseLostError);
  });

  test("does nothing to a lock that was never held", async () => {
    const { events, host, lock } = setUp();
    await lock.release();
    host.busy = true;
    await lock.acquire();
    await lock.release();
    expect([host.released, lock.view().state]).toEqual([0, "free"]);
    expect(events).toEqual(["lock.refused held_by_other"]);
  });

  test("that comes while the fence is being issued waits for it", async () => {
    const { fences, host, lock } = setUp();
    const { promise, resolve } = Promise.withResolvers<number>();
    fences.issue = () => promise;
    const acquired = lock.acquire();
    const released = lock.release();
    resolve(7);
    expect((await acquired).kind).toBe("held");
    await released;
    expect([host.released, lock.view().state]).toEqual([1, "free"]);
  });
});
