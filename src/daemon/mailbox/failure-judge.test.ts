// Three words for three failures, and a back-off for each: what an operator reads in `/readyz` and how
// hard a mail server is knocked at.
import { describe, expect, test } from "vitest";
import { createSeededRandom } from "../../../test/support/seeded-random.ts";
import { createVirtualClock } from "../../../test/support/virtual-clock.ts";
import { createMetrics } from "../../app-logging/metrics.ts";
import { LeaseLostError, MailError, type MailFailure } from "../../core/errors.ts";
import { SuspectError } from "../../orchestrator/reading/suspects.ts";
import { createFailureJudge } from "./failure-judge.ts";

const setUp = () => {
  const clock = createVirtualClock();
  const events: string[] = [];
  const judge = createFailureJudge(
    {
      clock,
      random: createSeededRandom(3),
      metrics: createMetrics(),
      log: (event) => void events.push(event),
    },
    "default",
  );
  const fail = (failure: MailFailure) => judge.judge(new MailError(failure, "CODE"));
  return { clock, judge, fail, events };
};

describe("judging the loop's errors", () => {
  test("an unreachable server is tried again with full jitter up to five minutes", () => {
    const { fail } = setUp();
    for (let step = 0; step < 30; step += 1) {
      const { word, waitMs } = fail("unreachable");
      expect(word).toBe("unreachable");
      expect(waitMs).toBeLessThanOrEqual(Math.min(300_000, 1000 * 2 ** step));
    }
  });

  test("wrong credentials wait a minute, doubling to an hour", () => {
    const { fail } = setUp();
    const waits = Array.from({ length: 8 }, () => fail("rejected").waitMs / 60_000);
    expect(waits).toEqual([1, 2, 4, 8, 16, 32, 60, 60]);
  });

  test("a throttling server is left alone for half a minute at least", () => {
    const { fail } = setUp();
    const { word, waitMs } = fail("throttled");
    expect(word).toBe("throttled");
    expect(waitMs).toBeGreaterThanOrEqual(30_000);
  });

  test("the back-off starts small again only after two minutes of stable life", async () => {
    const { clock, judge, fail } = setUp();
    for (let step = 0; step < 12; step += 1) fail("unreachable");
    judge.connected();
    await clock.advance(119_000);
    const longAfterShortLife = Array.from({ length: 8 }, () => fail("closed").waitMs);
    expect(Math.max(...longAfterShortLife)).toBeGreaterThan(1000);
    judge.connected();
    await clock.advance(120_000);
    expect(fail("closed").waitMs).toBeLessThanOrEqual(1000);
  });

  test("errors of our own back off by themselves, up to a minute, until a look ends well", () => {
    const { fail, judge } = setUp();
    const waits = Array.from({ length: 40 }, () => judge.judge(new TypeError("a bug")).waitMs);
    expect(Math.max(...waits)).toBeGreaterThan(30_000);
    expect(Math.max(...waits)).toBeLessThanOrEqual(60_000);
    expect(fail("closed").waitMs).toBeLessThanOrEqual(1000);
    judge.finished();
    expect(judge.judge(new TypeError("a bug")).waitMs).toBeLessThanOrEqual(1000);
  });

  test("suspects are read at once, without a back-off and without a line of its own", () => {
    const { judge, events } = setUp();
    const suspect = new SuspectError(new Error("cause"));
    expect(judge.judge(suspect)).toEqual({ word: "polling", waitMs: 0 });
    expect(events).toEqual([]);
  });

  test("a lost lease means standing by", () => {
    const { judge } = setUp();
    expect(judge.judge(new LeaseLostError("test")).word).toBe("standby");
  });
});
