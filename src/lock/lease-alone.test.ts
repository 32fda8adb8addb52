// Checks the edges of the lease state machine at which the shared lock or the clock cannot be trusted:
// going on alone under the host's lock, coming back, and clocks that disagree. The rest of the machine is
// in lease.test.ts.
import { describe, expect, test } from "vitest";
import {
  type LeaseCommand,
  type LeaseConstants,
  type LeaseEvent,
  type LeaseState,
  LOCAL_LEASE,
  mayStart,
  SHARED_LEASE as SHARED,
  stepLease,
} from "./lease.ts";

/** Feeds events, each with its time, and returns where that leads and what it asked for. */
const run = (
  events: readonly (readonly [nowMs: number, event: LeaseEvent])[],
  constants: LeaseConstants = SHARED,
  from: LeaseState = { kind: "free" },
): { state: LeaseState; commands: LeaseCommand[] } => {
  const commands: LeaseCommand[] = [];
  const state = events.reduce<LeaseState>((before, [nowMs, event]) => {
    const [next, asked] = stepLease(before, event, { ...constants, nowMs });
    commands.push(...asked);
    return next;
  }, from);
  return { state, commands };
};

const wanted: LeaseEvent = { kind: "wanted" };
const tick: LeaseEvent = { kind: "tick" };
const granted = (sentMs: number, clean = true): LeaseEvent => ({
  ...{ kind: "granted", fence: 7 },
  ...{ clean, sentMs },
});
const refused: LeaseEvent = { kind: "refused", reason: "held_by_other", holder: "a", pulse: null };
const release: LeaseEvent = { kind: "release" };
const HELD = run([
  [0, wanted],
  [300, granted(0)],
]).state;
const alone: LeaseEvent = { kind: "went_alone", fence: 9 };
const ALONE = run([[9000, alone]], SHARED, HELD).state;

describe("a lease that goes on alone", () => {
  test("keeps its fence and has no deadline, no renewal and no abort", () => {
    const { state, commands } = run(
      [
        [9000, alone],
        [1e9, tick],
        [1e9, wanted],
      ],
      SHARED,
      HELD,
    );
    expect(state).toEqual({
      ...{ kind: "held", fence: 7, sinceMs: 9000, alone: true },
      ...{ deadlineMs: Infinity, renewAtMs: Infinity },
    });
    expect(commands).toEqual([]);
    expect(mayStart(state, { ...SHARED, nowMs: 1e9 })).toBe("yes");
  });

  test("begins so, under the fence it is given, when the shared lock cannot be asked", () => {
    const events: [number, LeaseEvent][] = [
      [0, wanted],
      [1, alone],
    ];
    expect(run(events).state).toMatchObject({ kind: "held", fence: 9, alone: true });
    const givenUp: [number, LeaseEvent][] = [
      [0, wanted],
      [1, release],
      [2, alone],
    ];
    expect(run(givenUp).state).toEqual({ kind: "free" });
  });

  test("is not to be had past the deadline, during lock-delay, or by one who has nothing", () => {
    const delayed = run([
      [0, wanted],
      [1, granted(0, false)],
    ]).state;
    const standby = run([
      [0, wanted],
      [1, refused],
    ]).state;
    expect(run([[12_850, alone]], SHARED, HELD).state).toEqual(HELD);
    const others: LeaseState[] = [
      ...[delayed, standby],
      ...[{ kind: "free" } as const, { kind: "lost", reason: "expired" } as const],
    ];
    for (const state of others) expect(run([[2, alone]], SHARED, state).state).toEqual(state);
  });

  test("takes no notice of late answers to renewals, nor of clocks that disagree", () => {
    const { state, commands } = run(
      [
        [9100, { kind: "renewed", sentMs: 8000 }],
        [9200, { kind: "renewal_failed" }],
        [9300, { kind: "doubted" }],
        [9400, wanted],
      ],
      SHARED,
      ALONE,
    );
    expect([state, commands]).toEqual([ALONE, []]);
  });

  test("is free again to be asked for once the shared lock is back", () => {
    expect(run([[20_000, { kind: "rejoin" }]], SHARED, ALONE).state).toEqual({ kind: "free" });
    expect(run([[9000, { kind: "rejoin" }]], SHARED, HELD).state).toEqual(HELD);
  });
});

describe("a lease whose clock is doubted", () => {
  const doubted: LeaseEvent = { kind: "doubted" };

  test("is renewed before the next effect, also while a renewal is under way", () => {
    for (const before of [tick, { kind: "renewal_failed" } as const]) {
      const { state, commands } = run(
        [
          [5000, before],
          [5500, doubted],
          [5500, wanted],
        ],
        SHARED,
        HELD,
      );
      expect(mayStart(state, { ...SHARED, nowMs: 5500 })).toBe("renew_first");
      expect(commands.at(-1)).toEqual({ kind: "renew" });
      const renewed = run([[5600, { kind: "renewed", sentMs: 5500 }]], SHARED, state).state;
      expect(mayStart(renewed, { ...SHARED, nowMs: 5600 })).toBe("yes");
    }
  });

  test("is lost at its shortened deadline when the renewals fail", () => {
    const failing: [number, LeaseEvent][] = [
      [1000, doubted],
      [1000, wanted],
      [2000, { kind: "renewal_failed" }],
    ];
    expect(run([...failing, [4998, tick]], SHARED, HELD).state.kind).toBe("held");
    expect(run([...failing, [4999, tick]], SHARED, HELD).state).toEqual({
      kind: "lost",
      reason: "expired",
    });
  });

  test("gains no time by the doubt, and a lock without a deadline loses none", () => {
    expect(run([[12_000, doubted]], SHARED, HELD).state).toMatchObject({ deadlineMs: 12_850 });
    const local = run(
      [
        [0, wanted],
        [1, granted(0)],
        [2, doubted],
      ],
      LOCAL_LEASE,
    ).state;
    expect(local).toMatchObject({ deadlineMs: Infinity, renewAtMs: Infinity });
  });
});
