// When a mailbox may be polled: the active window and the vacation, in the configured time zone. Pure;
// the loop asks it before every cycle and sleeps until the instant it names.
import {
  type CalendarDay,
  type ZonedTime,
  dayFromNumber,
  instantOf,
  numberFromDay,
  zonedTime,
} from "../core/calendar.ts";
import type { PollingSettings } from "../core/settings.ts";

/** May the mailbox be polled now? `wakeMs`: the wall time at which that may change; null: never. */
export type Activity =
  | { kind: "active" }
  | { kind: "inactive"; reason: "disabled" | "vacation" | "window"; wakeMs: number | null };

const dayText = ({ year, month, day }: CalendarDay): string =>
  `${String(year).padStart(4, "0")}-${String(month).padStart(2, "0")}-${String(day).padStart(2, "0")}`;

const onVacation = (polling: PollingSettings, at: ZonedTime): boolean => {
  const { vacationStart, vacationEnd } = polling;
  if (vacationStart === null || vacationEnd === null) return false;
  const today = dayText(at);
  return vacationStart <= today && today <= vacationEnd;
};

/** The night belongs to the day it starts on: after midnight the weekday asked is yesterday's. */
const inWindow = (polling: PollingSettings, { hour, weekday }: ZonedTime): boolean => {
  const { activeStartHour: start, activeDays: days } = polling;
  const end = polling.activeEndHour;
  if (start === end) return false;
  if (start < end) return start <= hour && hour < end && days.includes(weekday);
  if (hour >= start) return days.includes(weekday);
  return hour < end && days.includes((weekday + 6) % 7);
};

const reasonAt = (polling: PollingSettings, wallMs: number): "vacation" | "window" | null => {
  const at = zonedTime(wallMs, polling.timezone);
  if (onVacation(polling, at)) return "vacation";
  return inWindow(polling, at) ? null : "window";
};

/** The first instant after `wallMs` at which the window is open, looked for at the edges of days. */
const nextOpening = (polling: PollingSettings, wallMs: number): number | null => {
  const today = numberFromDay(zonedTime(wallMs, polling.timezone));
  const { vacationEnd } = polling;
  const [year = 0, month = 1, day = 1] = (vacationEnd ?? "").split("-").map(Number);
  const lastOff = vacationEnd === null ? today : numberFromDay({ year, month, day });
  for (let number = today; number <= Math.max(today, lastOff) + 8; number += 1) {
    // A day between today and the end of a long vacation cannot open anything.
    if (number > today + 8 && number < lastOff) continue;
    const edges = [0, polling.activeStartHour].map((hour) =>
      instantOf(dayFromNumber(number), hour, polling.timezone),
    );
    const opening = edges
      .toSorted((a, b) => a - b)
      .find((edge) => edge > wallMs && reasonAt(polling, edge) === null);
    if (opening !== undefined) return opening;
  }
  return null;
};

/** Whether polling is allowed at `wallMs`, and when to look again (DESIGN section 6). */
export const activityAt = (polling: PollingSettings, wallMs: number): Activity => {
  if (!polling.enablePolling) return { kind: "inactive", reason: "disabled", wakeMs: null };
  const reason = reasonAt(polling, wallMs);
  if (reason === null) return { kind: "active" };
  return { kind: "inactive", reason, wakeMs: nextOpening(polling, wallMs) };
};
