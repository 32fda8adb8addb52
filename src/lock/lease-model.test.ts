// The lease state machine among contenders, under random pauses, losses, crashes, evictions, empty
// restarts and clocks that disagree: two leases are never good at once, fences only rise, and a free lock
// is always taken in the end. Weakened machines fail the same properties, so the properties can fail.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  runLeaseWorld,
  type WorldPlan,
  type WorldReport,
  type WorldRules,
} from "../../test/support/lease-world.ts";
import { SHARED_LEASE as SHARED } from "./lease.ts";

const FAULTY_MS = 120_000;
const CALM_MS = 60_000;

type Kind = WorldPlan["faults"][number]["kind"];

const ALL: readonly Kind[] = [
  ...(["pause", "cut", "mute", "leave", "crash"] as const),
  ...(["step", "evict", "empty"] as const),
];
/** Under these the lock in Redis is never lost. */
const LASTING: readonly Kind[] = ["pause", "cut", "mute", "crash", "step"];

const faultOf = (kinds: readonly Kind[]) =>
  fc.record({
    kind: fc.constantFrom(...kinds),
    node: fc.nat({ max: 2 }),
    atMs: fc.nat({ max: FAULTY_MS }),
    forMs: fc.integer({ min: 100, max: 40_000 }),
  });

const planWith = (contenders: number, kinds: readonly Kind[]) =>
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

const isSafe = ({ overlapsMs }: WorldReport): boolean => overlapsMs.length === 0;

const isRising = ({ fences }: WorldReport): boolean =>
  fences.every((fence, n) => n === 0 || fence > (fences[n - 1] ?? 0));

/** Does some plan break the promise under these rules? */
const isBroken = (
  promise: (report: WorldReport) => boolean,
  rules: WorldRules,
  kinds = ALL,
): boolean =>
  fc.check(
    fc.property(planWith(2, kinds), (plan) => promise(runLeaseWorld(plan, rules))),
    { numRuns: 500, seed: 1, endOnFailure: true },
  ).failed;

describe("the lease among contenders", { tags: ["resilience"] }, () => {
  test.each([2, 3])("is never good for two of %i contenders at once, and fences rise", (count) => {
    fc.assert(
      fc.property(planWith(count, ALL), (plan) => {
        const report = runLeaseWorld(plan, SHARED);
        expect([report.overlapsMs, isRising(report)]).toEqual([[], true]);
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
    const { fences, ...report } = runLeaseWorld(plan, SHARED);
    expect([fences.length, report]).toEqual([1, { overlapsMs: [], holders: 1, grants: 1 }]);
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

  test("needs no lock-delay while Redis loses nothing", () => {
    expect(isBroken(isSafe, { ...SHARED, lockDelayMs: 0 }, LASTING)).toBe(false);
  });
});

describe("a weakened lease", { tags: ["resilience"] }, () => {
  test("without lock-delay is good for two at once, and the model finds it", () => {
    expect(isBroken(isSafe, { ...SHARED, lockDelayMs: 0 })).toBe(true);
  });

  test("with twice the deadline is good for two, and the model finds it", () => {
    const deadlineMs = SHARED.leaseMs - SHARED.marginMs;
    expect(isBroken(isSafe, { ...SHARED, marginMs: SHARED.leaseMs - 2 * deadlineMs })).toBe(true);
  });

  test("that is taken over after half its time is good for two, and the model finds it", () => {
    // The deadline stays where it was; lock-delay, which would hide it, is off as above.
    const half = { leaseMs: SHARED.leaseMs / 2, marginMs: SHARED.marginMs - SHARED.leaseMs / 2 };
    expect(isBroken(isSafe, { ...SHARED, ...half, lockDelayMs: 0 }, LASTING)).toBe(true);
  });

  test("whose contenders forget the fences they saw gives out an old one, and the model finds it", () => {
    expect(isBroken(isRising, { ...SHARED, forgetsHighWater: true })).toBe(true);
  });
});
