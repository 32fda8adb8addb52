// The active window and the vacation, with the reference's vectors 1 to 7 and the days on which clocks
// are changed.
import { describe, expect, test } from "vitest";
import { instantOf, isoFromMs, numberFromDay } from "../core/calendar.ts";
import type { PollingSettings } from "../core/settings.ts";
import { activityAt } from "./schedule.ts";

const polling: PollingSettings = {
  enablePolling: true,
  timezone: "Europe/Paris",
  activeDays: [0],
  activeStartHour: 9,
  activeEndHour: 23,
  vacationStart: null,
  vacationEnd: null,
  sendersOfInterest: [],
  intervalMs: 30_000,
  inactiveIntervalMs: 600_000,
  skipReplies: false,
  subjectGroupDedup: false,
};

/** An instant on the wall clock of Paris. Monday is 2026-11-23. */
const at = (text: string): number => {
  const [date = "", time = ""] = text.split(" ");
  const [year = 0, month = 0, day = 0] = date.split("-").map(Number);
  const [hour = 0, minute = 0] = time.split(":").map(Number);
  return instantOf({ year, month, day }, hour, "Europe/Paris") + minute * 60_000;
};

const isActive = (settings: Partial<PollingSettings>, when: string): boolean =>
  activityAt({ ...polling, ...settings }, at(when)).kind === "active";

const wakeOf = (settings: Partial<PollingSettings>, when: string): string | null => {
  const activity = activityAt({ ...polling, ...settings }, at(when));
  if (activity.kind === "active" || activity.wakeMs === null) return null;
  return isoFromMs(activity.wakeMs);
};

describe("the active window", () => {
  test("vector 1: Monday 09:00 is inside 9 to 23", () => {
    expect(isActive({}, "2026-11-23 09:00")).toBe(true);
  });

  test("vector 2: the end hour is exclusive", () => {
    expect(isActive({}, "2026-11-23 22:59")).toBe(true);
    expect(isActive({}, "2026-11-23 23:00")).toBe(false);
  });

  test("vector 3: 9 to 0 runs until midnight and not beyond", () => {
    expect(isActive({ activeEndHour: 0 }, "2026-11-23 23:00")).toBe(true);
    expect(isActive({ activeEndHour: 0 }, "2026-11-23 00:00")).toBe(false);
    expect(isActive({ activeEndHour: 0 }, "2026-11-24 00:00")).toBe(false);
  });

  test("vector 4: a night belongs to the day it starts on", () => {
    const night = { activeDays: [0, 1, 2, 3, 4], activeStartHour: 22, activeEndHour: 6 };
    expect(isActive(night, "2026-11-28 02:00")).toBe(true);
    expect(isActive(night, "2026-11-28 23:00")).toBe(false);
    expect(isActive(night, "2026-11-23 02:00")).toBe(false);
  });

  test("vector 5: equal hours are never active, 9 to 24 is active until midnight", () => {
    expect(isActive({ activeStartHour: 10, activeEndHour: 10 }, "2026-11-23 10:00")).toBe(false);
    expect(isActive({ activeEndHour: 24 }, "2026-11-23 23:59")).toBe(true);
    expect(isActive({ activeEndHour: 24 }, "2026-11-24 00:00")).toBe(false);
    expect(isActive({ activeStartHour: 0, activeEndHour: 24 }, "2026-11-23 00:00")).toBe(true);
  });
});

describe("the vacation", () => {
  const everyDay = { activeDays: [0, 1, 2, 3, 4, 5, 6], activeStartHour: 0, activeEndHour: 24 };
  const off = { ...everyDay, vacationStart: "2025-12-20", vacationEnd: "2025-12-31" };

  test("vector 6: includes its first and its last day", () => {
    expect(isActive(off, "2025-12-19 23:59")).toBe(true);
    expect(isActive(off, "2025-12-20 00:00")).toBe(false);
    expect(isActive(off, "2025-12-31 23:59")).toBe(false);
    expect(isActive(off, "2026-01-01 00:00")).toBe(true);
  });

  test("vector 7: one date alone is no vacation (both are demanded where it is configured)", () => {
    expect(isActive({ ...everyDay, vacationStart: "2025-12-20" }, "2025-12-25 12:00")).toBe(true);
  });

  test("ends at midnight where the window is open, else at the next opening", () => {
    expect(wakeOf(off, "2025-12-25 12:00")).toBe("2025-12-31T23:00:00.000Z");
    expect(wakeOf({ ...off, activeStartHour: 8 }, "2025-12-25 12:00")).toBe(
      "2026-01-01T07:00:00.000Z",
    );
  });
});

describe("waking", () => {
  test("names the exact next opening, over a weekend", () => {
    const week = { activeDays: [0, 1, 2, 3, 4] };
    expect(wakeOf(week, "2026-11-23 07:30")).toBe("2026-11-23T08:00:00.000Z");
    expect(wakeOf(week, "2026-11-27 23:00")).toBe("2026-11-30T08:00:00.000Z");
  });

  test("follows the clock change in spring and in autumn", () => {
    const sunday = { activeDays: [6], activeStartHour: 9 };
    expect(wakeOf(sunday, "2026-03-28 20:00")).toBe("2026-03-29T07:00:00.000Z");
    expect(wakeOf(sunday, "2026-10-24 20:00")).toBe("2026-10-25T08:00:00.000Z");
  });

  test("an opening hour that the clock jumps over opens at the jump", () => {
    const early = { activeDays: [6], activeStartHour: 2, activeEndHour: 5 };
    expect(wakeOf(early, "2026-03-28 20:00")).toBe("2026-03-29T01:00:00.000Z");
  });

  test("has no instant when no day is active, or polling is disabled", () => {
    expect(wakeOf({ activeDays: [] }, "2026-11-23 07:30")).toBeNull();
    expect(wakeOf({ enablePolling: false }, "2026-11-23 10:00")).toBeNull();
  });

  test("days are counted from 1970 in both directions", () => {
    expect(numberFromDay({ year: 1970, month: 1, day: 1 })).toBe(0);
    expect(isoFromMs(-1)).toBe("1969-12-31T23:59:59.999Z");
  });
});
