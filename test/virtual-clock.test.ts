// Checks the tools that make tests repeatable: the virtual clock and the seeded random. Everything that
// is tested under virtual time stands on them.
import { describe, expect, test } from "vitest";
import { createSeededRandom } from "./support/seeded-random.ts";
import { createVirtualClock } from "./support/virtual-clock.ts";

describe("the virtual clock", () => {
  test("wakes sleepers in the order of their time, ties in the order they lay down", async () => {
    const clock = createVirtualClock();
    const woken: string[] = [];
    const sleeper = async (name: string, ms: number): Promise<void> => {
      await clock.sleep(ms);
      woken.push(`${name}@${clock.monoMs()}`);
    };
    for (const [name, ms] of [
      ["c", 30],
      ["a", 10],
      ["d", 30],
      ["b", 20],
      ["z", 99],
    ] as const) {
      void sleeper(name, ms);
    }
    await clock.advance(50);
    expect(woken).toEqual(["a@10", "b@20", "c@30", "d@30"]);
    expect(clock.now()).toBe(50);
  });

  test("keeps a hundred shuffled sleepers in order", async () => {
    const clock = createVirtualClock();
    const random = createSeededRandom(7);
    const woken: number[] = [];
    const times = Array.from({ length: 100 }, () => random.u32() % 1000);
    for (const ms of times) void clock.sleep(ms).then(() => woken.push(ms));
    await clock.advance(1000);
    expect(woken).toEqual(times.toSorted((a, b) => a - b));
  });

  test("lets a woken loop sleep again within one advance", async () => {
    const clock = createVirtualClock();
    let turns = 0;
    const loop = async (): Promise<void> => {
      for (;;) {
        await clock.sleep(1000);
        turns += 1;
      }
    };
    void loop();
    await clock.advance(60_000);
    expect(turns).toBe(60);
  });

  test("moves the wall with the monotonic time", async () => {
    const clock = createVirtualClock({ wallMs: 5000 });
    await clock.advance(250);
    expect([clock.monoMs(), clock.wallMs()]).toEqual([250, 5250]);
  });

  test("ends a sleep when its signal aborts, before and during it", async () => {
    const clock = createVirtualClock();
    const controller = new AbortController();
    const sleeping = clock.sleep(10_000, controller.signal);
    controller.abort();
    await sleeping;
    await clock.sleep(10_000, controller.signal);
    expect(clock.now()).toBe(0);
  });

  test("never goes back for a sleeper that asks for less than nothing", async () => {
    const clock = createVirtualClock();
    await clock.advance(100);
    const slept = clock.sleep(-50).then(() => clock.now());
    await clock.advance(0);
    expect(await slept).toBe(100);
  });

  test("runs until something holds, and stops there", async () => {
    const clock = createVirtualClock();
    let done = false;
    void clock.sleep(3_600_000).then(() => (done = true));
    await clock.runUntil(() => done, 86_400_000);
    expect(clock.now()).toBe(3_600_000);
  });

  test("says so when what is waited for does not happen in time", async () => {
    const clock = createVirtualClock();
    void clock.sleep(1000);
    await expect(clock.runUntil(() => false, 500)).rejects.toThrow("within 500 virtual ms");
    await expect(clock.runUntil(() => false, 5000)).rejects.toThrow("within 5000 virtual ms");
  });
});

describe("the seeded random", () => {
  const draws = (seed: number): number[] => {
    const random = createSeededRandom(seed);
    return Array.from({ length: 5 }, () => random.u32());
  };

  test("repeats its draws for a seed and differs between seeds", () => {
    expect(draws(1)).toEqual(draws(1));
    expect(draws(1)).not.toEqual(draws(2));
  });

  test("draws whole numbers below 2^32, about evenly", () => {
    const random = createSeededRandom(42);
    const many = Array.from({ length: 10_000 }, () => random.u32());
    expect(many.every((n) => Number.isInteger(n) && n >= 0 && n < 2 ** 32)).toBe(true);
    const upper = many.filter((n) => n >= 2 ** 31).length;
    expect(upper).toBeGreaterThan(4800);
    expect(upper).toBeLessThan(5200);
  });

  test("gives as many bytes as asked for", () => {
    expect(createSeededRandom(3).bytes(16)).toHaveLength(16);
  });
});
