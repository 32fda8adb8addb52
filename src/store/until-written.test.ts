// Writing until the store takes it, under a clock that the test moves: how often it is tried, who is
// told, and what ends it.
import { describe, expect, test } from "vitest";
import { createSeededRandom } from "../../test/support/seeded-random.ts";
import { createVirtualClock } from "../../test/support/virtual-clock.ts";
import { FencedError, LeaseLostError } from "../core/errors.ts";
import { type WriteParts, untilWritten } from "./until-written.ts";

const start = (changes: Partial<WriteParts> = {}) => {
  const clock = createVirtualClock();
  const told: boolean[] = [];
  const logged: unknown[] = [];
  const stop = new AbortController();
  const parts: WriteParts = {
    clock,
    random: createSeededRandom(1),
    log: (event, fields = {}) => logged.push({ event, ...fields }),
    mailboxId: "m",
    lease: { assert: async () => undefined },
    writeFailing: (isFailing) => told.push(isFailing),
    abort: stop.signal,
    ...changes,
  };
  return { clock, told, logged, stop, parts };
};

const full = (): Error => Object.assign(new Error("foreign text"), { code: "ENOSPC" });

describe("a write that must not be lost", () => {
  test("is tried until the store takes it, and its result comes back", async () => {
    const { clock, told, logged, parts } = start();
    const tries: number[] = [];
    const written = untilWritten(parts, async (failures) => {
      tries.push(failures);
      if (failures < 3) throw full();
      return "done";
    });
    await clock.advance(60_000);
    expect(await written).toBe("done");
    expect(tries).toEqual([0, 1, 2, 3]);
    expect(told).toEqual([true, true, true, false]);
    expect(logged).toEqual(
      [1, 2, 3].map((failures) => ({
        event: "commit.failed",
        mailbox: "m",
        code: "ENOSPC",
        failures,
      })),
    );
  });

  test("waits no longer than ten seconds between two tries", async () => {
    const { clock, parts, stop } = start();
    const atMs: number[] = [];
    const written = untilWritten(parts, async () => {
      atMs.push(clock.now());
      throw full();
    });
    const ended = expect(written).rejects.toMatchObject({ name: "AbortError" });
    await clock.advance(600_000);
    stop.abort();
    await ended;
    const waits = atMs.slice(1).map((ms, index) => ms - (atMs[index] ?? 0));
    expect(Math.max(...waits)).toBeLessThanOrEqual(10_000);
    expect(waits.length).toBeGreaterThan(50);
  });

  test("is given up at once for a newer fence and for a lost lease", async () => {
    const { parts, told } = start();
    const fenced = untilWritten(parts, () => Promise.reject(new FencedError("m")));
    await expect(fenced).rejects.toBeInstanceOf(FencedError);
    const lost = { assert: () => Promise.reject(new LeaseLostError("gone")) };
    let writes = 0;
    const unheld = untilWritten({ ...parts, lease: lost }, async () => (writes += 1));
    await expect(unheld).rejects.toBeInstanceOf(LeaseLostError);
    expect(writes).toBe(0);
    expect(told).toEqual([]);
  });
});
