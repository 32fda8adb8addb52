// Checks the guard before every effect: it passes, renews first, or throws, by the clock of that very
// moment and not by timers that may not have run. The lease under it is driven by a virtual clock.
import { describe, expect, test } from "vitest";
import { createVirtualClock } from "../../test/support/virtual-clock.ts";
import { LeaseLostError } from "../core/errors.ts";
import { createLease } from "./held-lease.ts";
import { SHARED_LEASE } from "./lease.ts";
import { createLeaseDriver } from "./lease-driver.ts";
import type { RenewalAnswer } from "./redis.ts";

const RENEWED: RenewalAnswer = { kind: "renewed" };
const FAILED: RenewalAnswer = { kind: "failed", failure: "unreachable" };

/** A lease held since 0. `jump` lets time pass without waking anybody, as for a process that was stopped. */
const setUp = () => {
  const virtual = createVirtualClock();
  let jumpedMs = 0;
  const clock = { ...virtual, monoMs: () => virtual.now() + jumpedMs };
  const jump = (ms: number): void => {
    jumpedMs += ms;
    virtual.stepWall(ms);
  };
  const world = { renew: async (): Promise<RenewalAnswer> => RENEWED, isCurrent: true };
  const renewals: number[] = [];
  const driver = createLeaseDriver({
    ...{ clock, constants: SHARED_LEASE, mailbox: "default" },
    log: () => undefined,
    renew: () => {
      renewals.push(clock.monoMs());
      return world.renew();
    },
    mayGoAlone: async () => false,
    wentAlone: () => undefined,
    abortWork: () => undefined,
    giveBack: async () => true,
    holderAgeMs: () => null,
  });
  driver.want(null);
  driver.apply({ kind: "granted", fence: 7, clean: true, sentMs: 0 });
  const { signal } = new AbortController();
  const lease = createLease({
    ...{ clock, driver, fence: 7, signal },
    isCurrent: () => world.isCurrent,
    look: () => undefined,
  });
  return { clock, driver, jump, lease, renewals, world };
};

/** How an assertion ends: `open` while it waits. */
const watch = (asserted: Promise<void>): { outcome: string } => {
  const watched = { outcome: "open" };
  asserted.then(
    () => (watched.outcome = "passed"),
    (error: unknown) => (watched.outcome = error instanceof LeaseLostError ? "lost" : "other"),
  );
  return watched;
};

describe("the guard before an effect", () => {
  test("passes at once, without a renewal, while 4 s are left", async () => {
    const { clock, jump, lease, renewals } = setUp();
    await lease.assert();
    jump(8850);
    await lease.assert();
    expect([renewals, clock.monoMs()]).toEqual([[], 8850]);
  });

  test("renews first with less than 4 s left, and passes when that is answered", async () => {
    const { clock, jump, lease, renewals, world } = setUp();
    const { promise, resolve } = Promise.withResolvers<RenewalAnswer>();
    world.renew = () => promise;
    jump(8851);
    const watched = watch(lease.assert());
    await clock.advance(500);
    expect([watched.outcome, renewals]).toEqual(["open", [8851]]);
    resolve(RENEWED);
    await clock.advance(0);
    expect(watched.outcome).toBe("passed");
  });

  test("throws when the renewal finds the lock in other hands", async () => {
    const { clock, jump, lease, world } = setUp();
    world.renew = async () => ({ kind: "lost", vanished: false });
    jump(9000);
    const watched = watch(lease.assert());
    await clock.advance(0);
    expect(watched.outcome).toBe("lost");
  });

  test("waits through failed renewals, one a second, until the deadline, and throws there", async () => {
    const { clock, jump, lease, renewals, world } = setUp();
    world.renew = async () => FAILED;
    jump(9000);
    const watched = [watch(lease.assert()), watch(lease.assert())];
    await clock.advance(3849);
    expect(watched.map(({ outcome }) => outcome)).toEqual(["open", "open"]);
    await clock.advance(1);
    expect(watched.map(({ outcome }) => outcome)).toEqual(["lost", "lost"]);
    // At most one for each that waits, then one a second.
    expect(renewals.filter((atMs) => atMs > 9000)).toEqual([10_000, 11_000, 12_000]);
    expect(renewals.length).toBeLessThanOrEqual(5);
  });

  test("throws after the process was stopped, before any timer has run", async () => {
    const { jump, lease, renewals } = setUp();
    jump(12_850);
    await expect(lease.assert()).rejects.toBeInstanceOf(LeaseLostError);
    expect(renewals).toEqual([]);
  });

  test("throws once the lease was given back", async () => {
    const { lease, world } = setUp();
    world.isCurrent = false;
    await expect(lease.assert()).rejects.toBeInstanceOf(LeaseLostError);
  });

  test("throws when the lease is given back while it waits", async () => {
    const { clock, driver, jump, lease, world } = setUp();
    world.renew = () => new Promise(() => undefined);
    jump(9000);
    const watched = watch(lease.assert());
    await clock.advance(100);
    driver.apply({ kind: "release" });
    await clock.advance(0);
    expect(watched.outcome).toBe("lost");
  });
});

describe("the guard when the wall clock is set", () => {
  test.each([-501, 501, 86_400_000])("renews before the next effect (%i ms)", async (ms) => {
    const { clock, lease, renewals } = setUp();
    clock.stepWall(ms);
    await lease.assert();
    await lease.assert();
    expect(renewals).toEqual([0]);
  });

  test("takes no notice of half a second", async () => {
    const { clock, lease, renewals } = setUp();
    clock.stepWall(500);
    await lease.assert();
    expect(renewals).toEqual([]);
  });

  test("throws when no renewal is answered within the start guard", async () => {
    const { clock, lease, world } = setUp();
    world.renew = async () => FAILED;
    clock.stepWall(1000);
    const watched = watch(lease.assert());
    await clock.advance(3998);
    expect(watched.outcome).toBe("open");
    await clock.advance(1);
    expect(watched.outcome).toBe("lost");
  });
});
