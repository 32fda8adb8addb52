// The loop of a mailbox by itself: what it waits for, what it never does, and that no error ends it.
import { describe, expect, test } from "vitest";
import { createVirtualClock } from "../../test/support/virtual-clock.ts";
import type { PollingSettings } from "../core/settings.ts";
import { type PollerLoopDeps, backgroundEmailPollerLoop } from "./background-email-poller-loop.ts";

const polling: PollingSettings = {
  enablePolling: true,
  timezone: "UTC",
  activeDays: [0, 1, 2, 3, 4, 5, 6],
  activeStartHour: 0,
  activeEndHour: 24,
  vacationStart: null,
  vacationEnd: null,
  sendersOfInterest: [],
  intervalMs: 30_000,
  inactiveIntervalMs: 600_000,
  skipReplies: false,
  subjectGroupDedup: false,
};

/** A loop whose every dependency writes down that it was called. */
const startLoop = (changes: Partial<PollerLoopDeps> = {}) => {
  const clock = createVirtualClock();
  const stop = new AbortController();
  const calls: string[] = [];
  const words: string[] = [];
  const note = <T>(name: string, result: T): T => {
    calls.push(name);
    return result;
  };
  const loop = backgroundEmailPollerLoop({
    clock,
    stop: stop.signal,
    settings: async () => polling,
    activityAt: () => ({ kind: "active" }),
    lock: async () => note("lock", { kind: "held" }),
    connect: async () => note("connect", undefined),
    firstContact: async () => note("firstContact", undefined),
    cycle: async () => note("cycle", { kind: "idle" }),
    waitForMail: (ms) => clock.sleep(ms, stop.signal),
    waitIdle: (ms) => clock.sleep(ms, stop.signal),
    disconnect: async () => note("disconnect", undefined),
    failed: () => ({ word: "unreachable", waitMs: 5000 }),
    report: (word) => void words.push(word),
    ...changes,
  });
  const count = (name: string): number => calls.filter((call) => call === name).length;
  const end = async (): Promise<void> => {
    stop.abort();
    await loop;
  };
  return { clock, count, words, end };
};

describe("the poller's loop", () => {
  test("looks at the folder once an interval and takes the lock before every look", async () => {
    const { clock, count, end } = startLoop();
    await clock.advance(300_000);
    expect(count("cycle")).toBe(11);
    expect(count("lock")).toBe(11);
    await end();
  });

  test("looks again at once while there is more", async () => {
    let left = 5;
    const { clock, end } = startLoop({
      cycle: async () => {
        left -= 1;
        return { kind: left > 0 ? "more" : "idle" };
      },
    });
    await clock.advance(1000);
    expect(left).toBe(0);
    await end();
  });

  test("never ends on an error and waits as long as it is told", async () => {
    let looks = 0;
    const { clock, words, end } = startLoop({
      cycle: () => {
        looks += 1;
        return Promise.reject(new Error("anything"));
      },
    });
    await clock.advance(100_000);
    expect(looks).toBe(21);
    expect(new Set(words)).toEqual(new Set(["unreachable"]));
    await end();
  });

  test("polls nothing without the lock and tries for it every second", async () => {
    let tries = 0;
    const { clock, count, words, end } = startLoop({
      lock: async () => {
        tries += 1;
        return { kind: "refused", word: "standby", waitMs: 1000 };
      },
    });
    await clock.advance(10_000);
    expect(tries).toBe(11);
    expect(count("cycle")).toBe(0);
    expect(words.at(-1)).toBe("standby");
    await end();
  });

  test("opens its connection while it waits out the former holder, and looks as soon as it may", async () => {
    let tries = 0;
    const { clock, count, words, end } = startLoop({
      lock: async () => {
        tries += 1;
        return tries < 5 ? { kind: "delayed", waitMs: 1000 } : { kind: "held" };
      },
    });
    await clock.advance(3999);
    expect([count("connect"), count("cycle"), count("disconnect")]).toEqual([4, 0, 0]);
    expect(words.at(-1)).toBe("lock_delay");
    await clock.advance(1);
    expect([count("cycle"), words.at(-1)]).toEqual([1, "polling"]);
    await end();
  });

  test("outside its window it makes first contact, disconnects and wakes at the opening", async () => {
    const clock = createVirtualClock();
    const openMs = clock.wallMs() + 45_000;
    let settled = false;
    const looked: number[] = [];
    const { end } = startLoop({
      clock,
      activityAt: (_, wallMs) =>
        wallMs >= openMs
          ? { kind: "active" }
          : { kind: "inactive", reason: "window", wakeMs: openMs },
      firstContact: async () => {
        settled = true;
      },
      cycle: async () => {
        looked.push(clock.wallMs());
        return { kind: "idle" };
      },
      waitForMail: () => clock.sleep(Infinity),
      waitIdle: (ms) => clock.sleep(ms),
    });
    await clock.advance(60_000);
    expect(settled).toBe(true);
    expect(looked).toEqual([openMs]);
    void end();
  });

  test("fetches nothing while the spool is full", async () => {
    const { clock, words, end } = startLoop({ cycle: async () => ({ kind: "full" }) });
    await clock.advance(20_000);
    expect(new Set(words)).toEqual(new Set(["spool_full"]));
    await end();
  });

  test("gives up its connection when it is stopped", async () => {
    const { clock, count, end } = startLoop();
    await clock.advance(1000);
    await end();
    expect(count("disconnect")).toBe(1);
  });
});
