// The registry of destinations under a clock that the test moves: admission, probes, pauses and what is
// logged of them.
import { describe, expect, test } from "vitest";
import { createVirtualClock } from "../../test/support/virtual-clock.ts";
import type { LogFields } from "../app-logging/logger.ts";
import { createDestinations } from "./destinations.ts";

const start = () => {
  const clock = createVirtualClock();
  const lines: [string, LogFields][] = [];
  const destinations = createDestinations({
    clock,
    log: (event, fields = {}) => lines.push([event, fields]),
  });
  const failTimes = (id: string, count: number): void => {
    for (let n = 0; n < count; n += 1) destinations.failed(id, { probe: false });
  };
  return { clock, lines, destinations, failTimes };
};

describe("the breaker of a destination", () => {
  test("blocks it after five failures, admits one probe, and says when it closed", async () => {
    const { clock, destinations, failTimes } = start();
    failTimes("default", 4);
    expect(destinations.admission("default")).toBe("open");
    failTimes("default", 1);
    expect(destinations.admission("default")).toBe("blocked");
    expect(destinations.claimProbe("default")).toBe(false);
    expect(destinations.nextChangeMs(["default"])).toBe(30_000);
    await clock.advance(30_000);
    expect(destinations.probesDue()).toEqual(["default"]);
    expect(destinations.claimProbe("default")).toBe(true);
    expect(destinations.claimProbe("default")).toBe(false);
    expect(destinations.view()).toMatchObject([{ id: "default", breaker: "probing" }]);
    destinations.succeeded("default");
    expect(destinations.admission("default")).toBe("open");
    expect(destinations.closed()).toEqual(["default"]);
    expect(destinations.closed()).toEqual(["default"]);
    destinations.madeDue("default");
    expect(destinations.closed()).toEqual([]);
  });

  test("waits longer after a failed probe, and not at all after one that was given back", async () => {
    const { clock, destinations, failTimes } = start();
    failTimes("default", 5);
    await clock.advance(30_000);
    destinations.claimProbe("default");
    destinations.failed("default", { probe: true });
    expect(destinations.nextChangeMs(["default"])).toBe(60_000);
    await clock.advance(60_000);
    destinations.claimProbe("default");
    destinations.releaseProbe("default");
    expect(destinations.admission("default")).toBe("probe_due");
  });

  test("logs each change once, with the destination's id and nothing else", async () => {
    const { clock, lines, destinations, failTimes } = start();
    failTimes("rule-a", 9);
    await clock.advance(30_000);
    destinations.claimProbe("rule-a");
    destinations.failed("rule-a", { probe: true });
    destinations.succeeded("rule-a");
    destinations.succeeded("rule-a");
    expect(lines).toEqual([
      ["delivery.breaker_opened", { destination: "rule-a" }],
      ["delivery.breaker_closed", { destination: "rule-a" }],
    ]);
  });

  test("is one destination's own", () => {
    const { destinations, failTimes } = start();
    failTimes("rule-a", 5);
    expect(destinations.admission("default")).toBe("open");
    expect(destinations.blocked()).toEqual(["rule-a"]);
    expect(destinations.nextChangeMs(["rule-a", "default"])).toBe(30_000);
    expect(destinations.nextChangeMs(["default", "rule-never-used"])).toBe(Infinity);
    expect(destinations.nextChangeMs([])).toBe(Infinity);
  });

  test("does not care for steps of the wall clock", async () => {
    const { clock, destinations, failTimes } = start();
    failTimes("default", 5);
    clock.stepWall(-3_600_000);
    await clock.advance(30_000);
    expect(destinations.admission("default")).toBe("probe_due");
  });
});

describe("a pause", () => {
  test("blocks the destination until it is over, and a shorter one does not end it", async () => {
    const { clock, destinations } = start();
    destinations.pause("default", 10_000);
    destinations.pause("default", 1000);
    expect(destinations.admission("default")).toBe("blocked");
    expect(destinations.nextChangeMs(["default"])).toBe(10_000);
    expect(destinations.view()).toEqual([
      { id: "default", breaker: "closed", pausedUntilMs: clock.wallMs() + 10_000 },
    ]);
    await clock.advance(10_000);
    expect(destinations.admission("default")).toBe("open");
    expect(destinations.nextChangeMs(["default"])).toBe(Infinity);
  });

  test("holds a due probe back", async () => {
    const { clock, destinations, failTimes } = start();
    failTimes("default", 5);
    destinations.pause("default", 40_000);
    await clock.advance(30_000);
    expect(destinations.claimProbe("default")).toBe(false);
    expect(destinations.nextChangeMs(["default"])).toBe(10_000);
    await clock.advance(10_000);
    expect(destinations.claimProbe("default")).toBe(true);
  });
});

describe("the registry", () => {
  test("keeps one gate per destination until its concurrency changes", () => {
    const { destinations } = start();
    const gate = destinations.gate("default", 16);
    expect(destinations.gate("default", 16)).toBe(gate);
    expect(destinations.gate("rule-a", 16)).not.toBe(gate);
    expect(destinations.gate("default", 2)).not.toBe(gate);
  });

  test("forgets what the configuration no longer names", () => {
    const { destinations, failTimes } = start();
    failTimes("rule-a", 5);
    failTimes("default", 5);
    destinations.succeeded("rule-a");
    destinations.forget(new Set(["default"]));
    expect(destinations.view().map(({ id }) => id)).toEqual(["default"]);
    expect(destinations.closed()).toEqual([]);
  });
});
