// Deadlines under a clock that the test moves: who is freed when, what the work is told, and that no
// sleeper stays behind.
import { describe, expect, test } from "vitest";
import { createVirtualClock } from "../../test/support/virtual-clock.ts";
import { DeadlineError } from "../core/errors.ts";
import { withDeadline, withProgress } from "./deadline.ts";

/** Work that never ends by itself, and what it was told. */
const hangingWork = () => {
  const seen: { signal?: AbortSignal } = {};
  const run = (signal: AbortSignal): Promise<string> => {
    seen.signal = signal;
    return new Promise(() => undefined);
  };
  return { seen, run };
};

/** Settles a promise into a word or its error, so that a test can look at it later. */
const outcomeOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    (value) => value,
    (error: unknown) => error,
  );

describe("withDeadline", () => {
  test("hands the result through and leaves no sleeper", async () => {
    const clock = createVirtualClock();
    expect(await withDeadline(clock, { ms: 1000, what: "work" }, async () => "done")).toBe("done");
    expect(clock.sleepers()).toBe(0);
  });

  test("hands a rejection through and leaves no sleeper", async () => {
    const clock = createVirtualClock();
    const failing = withDeadline(clock, { ms: 1000, what: "work" }, async () => {
      throw new RangeError("no");
    });
    expect(await outcomeOf(failing)).toBeInstanceOf(RangeError);
    expect(clock.sleepers()).toBe(0);
  });

  test("frees the caller of work that ignores its signal", async () => {
    const clock = createVirtualClock();
    const { seen, run } = hangingWork();
    const outcome = outcomeOf(withDeadline(clock, { ms: 1000, what: "work" }, run));
    await clock.advance(999);
    expect(seen.signal?.aborted).toBe(false);
    await clock.advance(1);
    expect(seen.signal?.reason).toBeInstanceOf(DeadlineError);
    expect(await outcome).toBe(seen.signal?.reason);
    expect(clock.sleepers()).toBe(0);
  });

  test("drops what late work still rejects with", async () => {
    const clock = createVirtualClock();
    const outcome = outcomeOf(
      withDeadline(clock, { ms: 10, what: "work" }, (signal) =>
        clock.sleep(20, signal).then(() => {
          throw new Error("too late");
        }),
      ),
    );
    await clock.advance(50);
    expect(await outcome).toBeInstanceOf(DeadlineError);
  });

  test("passes an outer abort on with its reason, at once", async () => {
    const clock = createVirtualClock();
    const outer = new AbortController();
    const { seen, run } = hangingWork();
    const { signal } = outer;
    const outcome = outcomeOf(withDeadline(clock, { ms: 1000, what: "work", signal }, run));
    const reason = new Error("lease lost");
    outer.abort(reason);
    expect(await outcome).toBe(reason);
    expect(seen.signal?.reason).toBe(reason);
    expect(clock.sleepers()).toBe(0);
  });

  test("does not start work whose outer signal has aborted", async () => {
    const clock = createVirtualClock();
    const { seen, run } = hangingWork();
    const signal = AbortSignal.abort(new Error("over"));
    const outcome = await outcomeOf(withDeadline(clock, { ms: 1000, what: "work", signal }, run));
    expect(outcome).toMatchObject({ message: "over" });
    expect(seen.signal).toBeUndefined();
    expect(clock.sleepers()).toBe(0);
  });
});

describe("withProgress", () => {
  const bounds = { totalMs: 60_000, minBytesPerSecond: 1024, what: "a download" };

  test("lets work go on while enough arrives, until the total is over", async () => {
    const clock = createVirtualClock();
    const { seen, run } = hangingWork();
    const readBytes = (): number => clock.monoMs() * 2;
    const outcome = outcomeOf(withProgress(clock, { ...bounds, readBytes }, run));
    await clock.advance(59_999);
    expect(seen.signal?.aborted).toBe(false);
    await clock.advance(1);
    expect(await outcome).toBeInstanceOf(DeadlineError);
  });

  test("ends work of which too little arrives in a window", async () => {
    const clock = createVirtualClock();
    const { seen, run } = hangingWork();
    const readBytes = (): number => Math.min(clock.monoMs() * 2, 40_000);
    const outcome = outcomeOf(withProgress(clock, { ...bounds, totalMs: 600_000, readBytes }, run));
    await clock.advance(59_999);
    expect(seen.signal?.aborted).toBe(false);
    await clock.advance(1);
    expect(await outcome).toBeInstanceOf(DeadlineError);
    expect(clock.sleepers()).toBe(0);
  });

  test("hands the result through and leaves no sleeper behind", async () => {
    const clock = createVirtualClock();
    const work = withProgress(clock, { ...bounds, readBytes: () => 0 }, async () => "read");
    expect(await work).toBe("read");
    expect(clock.sleepers()).toBe(0);
  });
});
