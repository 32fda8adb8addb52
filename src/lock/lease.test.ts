// Checks each edge of the lease state machine by itself: deadlines, the start guard, renewals, warnings,
// take-overs and releases. Times alone are in lease-alone.test.ts; how contenders fare with one another is in lease-model.test.ts.
import { describe, expect, test } from "vitest";
import {
  type LeaseCommand,
  type LeaseConstants,
  type LeaseEvent,
  type LeaseState,
  LOCAL_LEASE,
  mayStart,
  SHARED_LEASE,
  stepLease,
} from "./lease.ts";

const SHARED = SHARED_LEASE;

/** Feeds events, each with its time, and returns where that leads and what it asked for. */
const run = (
  events: readonly (readonly [nowMs: number, event: LeaseEvent])[],
  constants: LeaseConstants = SHARED,
  from: LeaseState = { kind: "free" },
): { state: LeaseState; commands: LeaseCommand[] } => {
  let state = from;
  const commands: LeaseCommand[] = [];
  for (const [nowMs, event] of events) {
    const [next, asked] = stepLease(state, event, { ...constants, nowMs });
    state = next;
    commands.push(...asked);
  }
  return { state, commands };
};

const wanted: LeaseEvent = { kind: "wanted" };
const tick: LeaseEvent = { kind: "tick" };
const release: LeaseEvent = { kind: "release" };
const granted = (sentMs: number, clean = true): LeaseEvent => ({
  kind: "granted",
  fence: 7,
  clean,
  sentMs,
});
const refused = (holder: string | null, pulse: string | null = null): LeaseEvent => ({
  kind: "refused",
  reason: "held_by_other",
  holder,
  pulse,
});
const HELD = run([
  [0, wanted],
  [300, granted(0)],
]).state;

describe("a lease that is granted", () => {
  test("is held until its length less the margin, counted from when the request was sent", () => {
    expect(HELD).toEqual({
      kind: "held",
      fence: 7,
      sinceMs: 300,
      deadlineMs: 12_850,
      renewAtMs: 5000,
      alone: false,
    });
  });

  test("over the local lock has no deadline, no delay and no renewal", () => {
    const { state, commands } = run(
      [
        [0, wanted],
        [1, granted(0, false)],
        [1e12, tick],
      ],
      LOCAL_LEASE,
    );
    expect(state).toMatchObject({ kind: "held", deadlineMs: Infinity, renewAtMs: Infinity });
    expect(commands).toEqual([{ kind: "acquire", takeOver: null }]);
  });

  test("after an unclean hand-over waits from its reply on, renewing, before it is held", () => {
    const events: [number, LeaseEvent][] = [
      [0, wanted],
      [900, granted(0, false)],
    ];
    expect(run(events).state).toMatchObject({ kind: "lock_delay", untilMs: 16_900 });
    for (const at of [5000, 10_000, 15_000]) {
      events.push([at, tick], [at + 10, { kind: "renewed", sentMs: at }]);
    }
    events.push([16_899, tick]);
    expect(run(events).state.kind).toBe("lock_delay");
    events.push([16_900, tick]);
    expect(run(events).state).toMatchObject({ kind: "held", sinceMs: 16_900, deadlineMs: 27_850 });
    expect(run(events).commands.filter(({ kind }) => kind === "renew")).toHaveLength(3);
  });

  test("goes straight back when nobody wants it any more", () => {
    const { state, commands } = run([
      [0, wanted],
      [1, release],
      [2, granted(0)],
    ]);
    expect(state.kind).toBe("releasing");
    expect(commands.at(-1)).toEqual({ kind: "release", clean: false });
  });
});

describe("the start guard", () => {
  test.each([
    [8850, "yes"],
    [8851, "renew_first"],
    [12_849, "renew_first"],
    [12_850, "no"],
    [1e9, "no"],
  ])("at %i ms of a lease of 12,850 says %s", (nowMs, answer) => {
    expect(mayStart(HELD, { ...SHARED, nowMs })).toBe(answer);
  });

  test.each<LeaseState>([
    { kind: "free" },
    { kind: "acquiring", waiting: null, giveUp: false },
    { kind: "lock_delay", fence: 1, untilMs: 0, deadlineMs: 1e9, renewAtMs: 1e9, alone: false },
    { kind: "releasing" },
    { kind: "lost", reason: "expired" },
  ])("says no while the lease is $kind", (state) => {
    expect(mayStart(state, { ...SHARED, nowMs: 1 })).toBe("no");
  });
});

describe("a renewal", () => {
  test("is asked for when it is due, once while it is under way", () => {
    const events: [number, LeaseEvent][] = [
      [4999, tick],
      [5000, tick],
      [5250, tick],
      [9000, wanted],
    ];
    expect(run(events, SHARED, HELD).commands).toEqual([{ kind: "renew" }]);
  });

  test("is asked for ahead of time by whoever finds too little left", () => {
    const late: LeaseState = {
      ...HELD,
      kind: "held",
      alone: false,
      sinceMs: 0,
      fence: 7,
      deadlineMs: 9000,
      renewAtMs: 8000,
    };
    expect(run([[4000, wanted]], SHARED, late).commands).toEqual([]);
    expect(run([[5001, wanted]], SHARED, late).commands).toEqual([{ kind: "renew" }]);
  });

  test("moves the deadline by the time it was sent, never back", () => {
    const renewed = (sentMs: number): LeaseEvent => ({ kind: "renewed", sentMs });
    expect(run([[6000, renewed(5000)]], SHARED, HELD).state).toMatchObject({
      deadlineMs: 17_850,
      renewAtMs: 10_000,
    });
    expect(run([[6000, renewed(-5000)]], SHARED, HELD).state).toMatchObject({ deadlineMs: 12_850 });
  });

  test("without an answer is tried again each second, and the old deadline stands", () => {
    const { state, commands } = run(
      [
        [5000, tick],
        [6000, { kind: "renewal_failed" }],
        [6999, tick],
        [7000, tick],
      ],
      SHARED,
      HELD,
    );
    expect(commands).toEqual([{ kind: "renew" }, { kind: "renew" }]);
    expect(state).toMatchObject({ kind: "held", deadlineMs: 12_850 });
  });

  test.each(["taken_over", "vanished"] as const)(
    "that is refused as %s ends it at once",
    (reason) => {
      const { state, commands } = run([[6000, { kind: "renewal_refused", reason }]], SHARED, HELD);
      expect(state).toEqual({ kind: "lost", reason });
      expect(commands).toEqual([{ kind: "abort_work", reason }]);
    },
  );
});

describe("a lease past its deadline", () => {
  test("is lost, aborts the work, and is given back unclean when that has ended", () => {
    const { state, commands } = run(
      [
        [12_850, tick],
        [12_900, wanted],
        [13_000, release],
        [13_100, { kind: "released" }],
      ],
      SHARED,
      HELD,
    );
    expect(state).toEqual({ kind: "free" });
    expect(commands).toEqual([
      { kind: "abort_work", reason: "expired" },
      { kind: "release", clean: false },
    ]);
  });

  test("is lost during lock-delay too", () => {
    const { state } = run([
      [0, wanted],
      [1, granted(0, false)],
      [12_850, tick],
    ]);
    expect(state).toEqual({ kind: "lost", reason: "expired" });
  });
});

describe("a release", () => {
  test("signs off when the lease was held", () => {
    expect(run([[1000, release]], SHARED, HELD).commands).toEqual([
      { kind: "release", clean: true },
    ]);
  });

  test("does not sign off during lock-delay", () => {
    const { commands } = run([
      [0, wanted],
      [1, granted(0, false)],
      [2, release],
    ]);
    expect(commands.at(-1)).toEqual({ kind: "release", clean: false });
  });

  test("without an answer leaves the lock to be taken over", () => {
    const { state } = run(
      [
        [1000, release],
        [2000, { kind: "failed" }],
      ],
      SHARED,
      HELD,
    );
    expect(state).toEqual({ kind: "free" });
  });

  test("ends the wait for a lock that somebody else has", () => {
    const { state } = run([
      [0, wanted],
      [1, refused("a")],
      [2, release],
    ]);
    expect(state).toEqual({ kind: "free" });
  });
});

describe("a lock that somebody else has", () => {
  const wait = (count: number, event: (n: number) => LeaseEvent, everyMs = 1000) =>
    run(
      Array.from({ length: count }, (_, n) => n).flatMap((n): [number, LeaseEvent][] => [
        [n * everyMs, n === 0 ? wanted : tick],
        [n * everyMs, event(n)],
      ]),
    );

  test("is asked for again after a second, not sooner", () => {
    const { state } = wait(1, () => refused("a"));
    expect(run([[999, tick]], SHARED, state).commands).toEqual([]);
    expect(run([[1000, tick]], SHARED, state).commands).toEqual([
      { kind: "acquire", takeOver: null },
    ]);
    expect(run([[10, wanted]], SHARED, state).commands).toHaveLength(1);
  });

  test("is warned of once, at each change of holder, and every 5 minutes with a count", () => {
    const { commands } = wait(650, (n) => refused(n < 620 ? "a" : "b"));
    expect(commands.filter(({ kind }) => kind === "warn")).toEqual([
      { kind: "warn", reason: "held_by_other", holder: "a", refusals: 1 },
      { kind: "warn", reason: "held_by_other", holder: "a", refusals: 300 },
      { kind: "warn", reason: "held_by_other", holder: "a", refusals: 300 },
      { kind: "warn", reason: "held_by_other", holder: "b", refusals: 20 },
    ]);
  });

  test("is taken over once its pulse stood still for a whole lease", () => {
    const takeOvers = wait(17, () => refused("a", "a:1:4")).commands.flatMap((command) =>
      command.kind === "acquire" ? [command.takeOver] : [],
    );
    expect(takeOvers).toEqual([...Array(15).fill(null), "a:1:4", "a:1:4"]);
  });

  test("is not taken over while its pulse goes on, nor when it has none", () => {
    for (const pulse of [(n: number) => `a:1:${n >> 3}`, () => null]) {
      const { commands } = wait(100, (n) => refused("a", pulse(n)));
      const acquires = commands.filter((command) => command.kind === "acquire");
      expect(acquires.every(({ takeOver }) => takeOver === null)).toBe(true);
    }
  });

  test("is taken over at once when a watch saw its pulse stand still for a whole lease", () => {
    const takeOver = (nowMs: number, from: LeaseState = { kind: "free" }) => {
      const seen = { pulse: "a:1:4", sinceMs: 1000 };
      return run([[nowMs, { kind: "wanted", seen }]], SHARED, from).commands;
    };
    expect(takeOver(15_999)).toEqual([{ kind: "acquire", takeOver: null }]);
    expect(takeOver(16_000)).toEqual([{ kind: "acquire", takeOver: "a:1:4" }]);
    // What the watch saw counts more than the refusals, which came at 0 and at 1 s.
    const { state } = wait(2, () => refused("a", "a:1:3"));
    expect(takeOver(16_000, state)).toEqual([{ kind: "acquire", takeOver: "a:1:4" }]);
  });

  test("keeps its pulse in mind through tries that nobody answered", () => {
    const { state, commands } = wait(17, (n) =>
      n > 0 && n < 16 ? { kind: "failed" } : refused("a", "a:1:4"),
    );
    expect(commands.at(-2)).toEqual({ kind: "acquire", takeOver: "a:1:4" });
    expect(commands.at(-1)).toMatchObject({ kind: "warn", reason: "held_by_other" });
    expect(state).toMatchObject({ kind: "standby", sinceMs: 0, pulseSinceMs: 0 });
  });
});
