// The lease state machine among contenders, under random pauses, losses, crashes, evictions and clocks
// that disagree: two leases are never good at once, and a free lock is always taken in the end. Weakened
// machines fail the same properties, so the properties can fail.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { runLeaseWorld, type WorldPlan } from "../../test/support/lease-world.ts";
import type { LeaseConstants } from "./lease.ts";

/** The constants of a shared lock (DESIGN section 5). */
const SHARED: LeaseConstants = {
  leaseMs: 15_000,
  marginMs: 2150,
  renewEveryMs: 5000,
  lockDelayMs: 16_000,
  startGuardMs: 4000,
  retryMs: 1000,
  warnEveryMs: 300_000,
};

const FAULTY_MS = 120_000;
const CALM_MS = 60_000;

const faultOf = (kinds: readonly WorldPlan["faults"][number]["kind"][]) =>
  fc.record({
    kind: fc.constantFrom(...kinds),
    node: fc.nat({ max: 2 }),
    atMs: fc.nat({ max: FAULTY_MS }),
    forMs: fc.integer({ min: 100, max: 40_000 }),
  });

const planWith = (contenders: number, kinds: Parameters<typeof faultOf>[0]) =>
  fc.record({
    seed: fc.nat(),
    // Clocks that differ by up to 1 % from the true time.
    rates: fc.array(fc.double({ min: 0.99, max: 1.01, noNaN: true }), {
      minLength: contenders,
      maxLength: contenders,
    }),
    faults: fc.array(faultOf(kinds), { maxLength: 12 }),
    faultyMs: fc.constant(FAULTY_MS),
    calmMs: fc.constant(CALM_MS),
  });

const ALL = ["pause", "cut", "mute", "leave", "crash", "evict"] as const;

/** Does some plan make two leases good at once under these constants? */
const overlapIsFound = (constants: LeaseConstants): boolean =>
  fc.check(
    fc.property(planWith(2, ALL), (plan) => runLeaseWorld(plan, constants).overlapsMs.length === 0),
    { numRuns: 500, seed: 1 },
  ).failed;

describe("the lease among contenders", { tags: ["resilience"] }, () => {
  test.each([2, 3])("is never good for two of %i contenders at once", (contenders) => {
    fc.assert(
      fc.property(planWith(contenders, ALL), (plan) => {
        expect(runLeaseWorld(plan, SHARED).overlapsMs).toEqual([]);
      }),
      { numRuns: 150 },
    );
  });

  test.each([2, 3])("is taken in the end by one of %i contenders", (contenders) => {
    fc.assert(
      fc.property(planWith(contenders, ALL), (plan) => {
        expect(runLeaseWorld(plan, SHARED).holders).toBe(1);
      }),
      { numRuns: 150 },
    );
  });

  test("does not change hands while nothing goes wrong", () => {
    const plan = { seed: 1, rates: [0.99, 1, 1.01], faults: [], faultyMs: 0, calmMs: 600_000 };
    expect(runLeaseWorld(plan, SHARED)).toEqual({ overlapsMs: [], holders: 1, grants: 1 });
  });

  test("changes hands within 3 s of a clean release, and within 36 s of a crash", () => {
    const after = (kind: "leave" | "crash", ms: number) => {
      const fault = { kind, node: 0, atMs: 60_000, forMs: 300_000 };
      const plan = { seed: 4, rates: [1, 1], faults: [fault], faultyMs: 60_000 + ms, calmMs: 0 };
      const alone = { ...plan, faults: [], faultyMs: 60_000 };
      // Whoever of the two got the lock is the one that goes.
      return [0, 1].map((node) => {
        const gone = { ...plan, faults: [{ ...fault, node }] };
        return runLeaseWorld(gone, SHARED).grants - runLeaseWorld(alone, SHARED).grants;
      });
    };
    expect(after("leave", 3000).toSorted()).toEqual([0, 1]);
    expect(after("crash", 36_000).toSorted()).toEqual([0, 1]);
    expect(after("crash", 25_000)).toEqual([0, 0]);
  });

  test("without lock-delay is good for two at once, and the model finds it", () => {
    expect(overlapIsFound({ ...SHARED, lockDelayMs: 0 })).toBe(true);
  });

  test("with a deadline beyond the lease and a short delay is good for two, and the model finds it", () => {
    expect(overlapIsFound({ ...SHARED, marginMs: -10_000, lockDelayMs: 1000 })).toBe(true);
  });
});
