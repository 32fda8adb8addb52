// Checks how a lease moves over time, under a virtual clock: when it renews, how long it lasts, what
// becomes of late answers, and when it goes on alone. Which lock it is about does not matter here.
import { describe, expect, test } from "vitest";
import { createVirtualClock } from "../../test/support/virtual-clock.ts";
import { LOCAL_LEASE, SHARED_LEASE, type LeaseConstants } from "./lease.ts";
import { createLeaseDriver } from "./lease-driver.ts";
import type { RenewalAnswer } from "./redis.ts";

const RENEWED: RenewalAnswer = { kind: "renewed" };
const FAILED: RenewalAnswer = { kind: "failed", failure: "unreachable" };

/** A driver whose renewals take no time and succeed, unless told otherwise; `told` is what it did when. */
const setUp = (constants: LeaseConstants = SHARED_LEASE) => {
  const clock = createVirtualClock();
  const told: string[] = [];
  const tell = (text: string): void => void told.push(`${clock.now()} ${text}`);
  const world = {
    renew: async (): Promise<RenewalAnswer> => RENEWED,
    mayGoAlone: async (): Promise<boolean> => false,
    giveBack: async (): Promise<boolean> => true,
  };
  const driver = createLeaseDriver({
    ...{ clock, constants, mailbox: "default" },
    log: (event, { reason, code, refusals } = {}) =>
      tell([event, reason, code, refusals].join(" ")),
    renew: () => {
      tell("renew");
      return world.renew();
    },
    mayGoAlone: () => world.mayGoAlone(),
    wentAlone: () => tell("alone"),
    abortWork: (reason) => tell(`abort ${reason}`),
    giveBack: (clean) => {
      tell(clean ? "give back, clean" : "give back");
      return world.giveBack();
    },
    holderAgeMs: () => null,
  });
  const grant = (clean = true, fence = 7): void => {
    driver.want(null);
    driver.apply({ kind: "granted", fence, clean, sentMs: clock.now() });
  };
  return { clock, driver, grant, told, world };
};

/** An answer that comes when the test says so. */
const later = () => Promise.withResolvers<RenewalAnswer>();

describe("a lease that is held", () => {
  test("is renewed every 5 s for as long as it is", async () => {
    const { clock, driver, grant, told } = setUp();
    grant();
    await clock.advance(20_000);
    expect(told).toEqual(["5000 renew", "10000 renew", "15000 renew", "20000 renew"]);
    driver.apply({ kind: "release" });
    await driver.released();
    await clock.advance(60_000);
    expect(told.slice(4)).toEqual(["20000 give back, clean"]);
    expect([driver.state().kind, clock.sleepers()]).toEqual(["free", 0]);
  });

  test("lasts from when the answered renewal was sent, not from its answer", async () => {
    const { clock, driver, grant, world } = setUp();
    grant();
    const { promise, resolve } = later();
    world.renew = () => promise;
    await clock.advance(5900);
    resolve(RENEWED);
    await clock.advance(0);
    expect(driver.state()).toMatchObject({ deadlineMs: 17_850, renewAtMs: 10_000 });
  });

  test("is asked for again each second after a failure, and ends at the old deadline", async () => {
    const { clock, driver, grant, told, world } = setUp();
    grant();
    world.renew = async () => FAILED;
    await clock.advance(30_000);
    expect(told).toEqual([
      ...[5, 6, 7, 8, 9, 10, 11, 12].map((second) => `${second}000 renew`),
      "12850 abort expired",
    ]);
    expect(driver.view()).toMatchObject({ state: "lost", fence: 7 });
  });

  test("needs one renewal that is answered to go on", async () => {
    const { clock, driver, grant, told, world } = setUp();
    grant();
    world.renew = async () => (clock.now() < 11_000 ? FAILED : RENEWED);
    await clock.advance(16_000);
    expect(told.slice(-2)).toEqual(["11000 renew", "16000 renew"]);
    expect(driver.state()).toMatchObject({ kind: "held", deadlineMs: 28_850 });
  });

  test.each([
    [true, "vanished"],
    [false, "taken_over"],
  ])("is lost at once when the lock says so (gone: %s)", async (vanished, reason) => {
    const { clock, driver, grant, told, world } = setUp();
    grant();
    world.renew = async () => ({ kind: "lost", vanished });
    await clock.advance(60_000);
    expect(told).toEqual(["5000 renew", `5000 abort ${reason}`]);
    expect(driver.state()).toEqual({ kind: "lost", reason });
  });

  test("over the host's lock alone never asks for anything", async () => {
    const { clock, grant, told } = setUp(LOCAL_LEASE);
    grant();
    await clock.advance(86_400_000);
    expect([told, clock.sleepers()]).toEqual([[], 0]);
  });

  test("is shown as delayed for 16 s after an unclean hand-over, while it renews", async () => {
    const { clock, driver, grant, told } = setUp();
    grant(false);
    await clock.advance(15_999);
    expect(driver.view()).toMatchObject({ state: "lock_delay", fence: 7 });
    await clock.advance(1);
    expect(driver.view()).toMatchObject({ state: "held", fence: 7, sinceMs: clock.wallMs() });
    expect(told).toEqual(["5000 renew", "10000 renew", "15000 renew"]);
  });
});

describe("an answer to a renewal", () => {
  /** Held since 0, with a renewal under way since 5 s whose answer is still out. */
  const renewing = async () => {
    const parts = setUp();
    parts.grant();
    const { promise, resolve } = later();
    parts.world.renew = () => promise;
    await parts.clock.advance(5000);
    parts.world.renew = async () => RENEWED;
    return { ...parts, answer: resolve };
  };

  test.each<RenewalAnswer>([RENEWED, FAILED, { kind: "lost", vanished: false }])(
    "of an earlier lease says nothing of the present one ($kind)",
    async (late) => {
      const { answer, clock, driver, grant, told } = await renewing();
      driver.apply({ kind: "release" });
      await driver.released();
      await clock.advance(100);
      grant(true, 8);
      answer(late);
      await clock.advance(0);
      expect(driver.state()).toMatchObject({ kind: "held", fence: 8, deadlineMs: 17_950 });
      expect(told.some((line) => line.includes("abort"))).toBe(false);
    },
  );

  test("that was sent before the clocks disagreed is not enough", async () => {
    const { answer, clock, driver, told, world } = await renewing();
    world.renew = () => new Promise(() => undefined);
    await clock.advance(500);
    driver.apply({ kind: "doubted" });
    answer(RENEWED);
    await clock.advance(0);
    expect(told.slice(-2)).toEqual(["5000 renew", "5500 renew"]);
    expect(driver.state()).toMatchObject({ deadlineMs: 9499 });
  });

  test("that never comes lets the lease end at its deadline", async () => {
    const { clock, driver, told } = await renewing();
    await clock.advance(10_000);
    expect(told.at(-1)).toBe("12850 abort expired");
    expect(driver.state().kind).toBe("lost");
  });
});

describe("a lease whose lock cannot be reached", () => {
  const failing = (failure: (RenewalAnswer & { kind: "failed" })["failure"]) => {
    const parts = setUp();
    parts.grant();
    parts.world.renew = async () => ({ kind: "failed", failure });
    parts.world.mayGoAlone = async () => true;
    return parts;
  };

  test("goes on alone before its deadline, under its fence and without an abort", async () => {
    const { clock, driver, told } = failing("unreachable");
    await clock.advance(60_000);
    expect(told.slice(-2)).toEqual(["9000 renew", "9000 alone"]);
    expect(driver.state()).toMatchObject({ kind: "held", fence: 7, deadlineMs: Infinity });
    expect(driver.view()).toMatchObject({ state: "alone", fence: 7 });
  });

  test("goes on alone in time also when each failure takes the whole command timeout", async () => {
    const { clock, driver, told, world } = failing("unreachable");
    world.renew = async () => {
      await clock.sleep(1000);
      return FAILED;
    };
    await clock.advance(60_000);
    expect(told.at(-1)).toBe("10000 alone");
    expect(driver.view().state).toBe("alone");
  });

  test("ends at its deadline without permission, also when that cannot be found out", async () => {
    for (const mayGoAlone of [async () => false, () => Promise.reject(new Error("disk"))]) {
      const { clock, told, world } = failing("unreachable");
      world.mayGoAlone = mayGoAlone;
      await clock.advance(60_000);
      expect(told.at(-1)).toBe("12850 abort expired");
      expect(told.some((line) => line.includes("alone"))).toBe(false);
    }
  });

  test("ends at its deadline when the permission comes too late", async () => {
    const { clock, driver, told, world } = failing("unreachable");
    world.mayGoAlone = async () => {
      await clock.sleep(10_000);
      return true;
    };
    await clock.advance(60_000);
    expect(told.at(-1)).toBe("12850 abort expired");
    expect(driver.state().kind).toBe("lost");
  });

  test.each(["noauth", "readonly", "oom", "wrong_type", "other"] as const)(
    "never goes on alone for an answer of Redis (%s)",
    async (failure) => {
      const { clock, told } = failing(failure);
      await clock.advance(60_000);
      expect(told.at(-1)).toBe("12850 abort expired");
    },
  );

  test("does not go alone out of lock-delay", async () => {
    const { clock, driver, grant, told, world } = setUp();
    grant(false);
    world.renew = async () => FAILED;
    world.mayGoAlone = async () => true;
    await clock.advance(60_000);
    expect(told.at(-1)).toBe("12850 abort expired");
    expect(driver.view().state).toBe("lost");
  });

  test("pays no heed to a renewal that is answered after it went alone", async () => {
    const { clock, driver, world } = failing("unreachable");
    const { promise, resolve } = later();
    const allowed = Promise.withResolvers<boolean>();
    world.mayGoAlone = () => allowed.promise;
    await clock.advance(9000);
    world.renew = () => promise;
    await clock.advance(1000);
    allowed.resolve(true);
    await clock.advance(0);
    resolve({ kind: "lost", vanished: false });
    await clock.advance(60_000);
    expect(driver.view().state).toBe("alone");
  });
});

describe("a release that is not answered", () => {
  test("leaves the lease free all the same", async () => {
    const { driver, grant, world } = setUp();
    world.giveBack = async () => false;
    grant();
    driver.apply({ kind: "release" });
    await driver.released();
    expect(driver.state()).toEqual({ kind: "free" });
  });
});
