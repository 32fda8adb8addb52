// The section `polling`, the hot document polling_config: when mail is fetched and whose. Names and
// meanings are those of the service this one replaces (DESIGN section 9).
import { z } from "zod";
import { zonedTime } from "../../core/calendar.ts";
import type { PollingSettings } from "../../core/settings.ts";
import {
  flag,
  isCalendarDay,
  plainText,
  section,
  textLike,
  wholeNumber,
  withCheck,
} from "./fields.ts";

const ZONE = "write a time zone of the IANA list, such as Europe/Paris";
const DAYS = "write a list of days from 0 (Monday) to 6 (Sunday)";
const DAY = "write a day that exists, such as 2026-12-24";

const isTimeZone = (name: string): boolean => {
  try {
    zonedTime(0, name);
    return true;
  } catch {
    return false;
  }
};

const vacationDay = (description: string) =>
  z
    .string({ error: DAY })
    .refine(isCalendarDay, { error: DAY })
    .nullable()
    .default(null)
    .meta({ description });

const sender = textLike(/^\s*[^\s@]+@[^\s@]+\s*$/, "write an address such as name@example.com");

const intervals = {
  interval_seconds: wholeNumber({ min: 1, max: 86_400 })
    .default(30)
    .meta({
      description:
        "The longest time between two looks at a folder; new mail is seen sooner where the server announces it.",
      unit: "seconds",
      environment: ["EMAIL_POLLING_INTERVAL_SECONDS"],
    }),
  inactive_interval_seconds: wholeNumber({ min: 1, max: 86_400 })
    .default(600)
    .meta({
      description: "The longest sleep while nothing is fetched.",
      unit: "seconds",
      environment: ["POLLING_INACTIVE_CHECK_INTERVAL_SECONDS"],
    }),
};

const window = {
  timezone: plainText(ZONE)
    .refine(isTimeZone, { error: ZONE })
    .default("Europe/Paris")
    .meta({
      description: "The time zone of hours, days, vacation and `start_from`.",
      environment: ["POLLING_TIMEZONE"],
    }),
  active_days: z
    .array(wholeNumber({ min: 0, max: 6, error: DAYS }), { error: DAYS })
    .min(1, { error: `${DAYS}; to stop polling write enable_polling: false` })
    .default([0, 1, 2, 3, 4, 5, 6])
    .meta({
      description:
        "Days on which mail is fetched, 0 = Monday; a night belongs to the day it starts on.",
      environment: ["POLLING_ACTIVE_DAYS"],
    }),
  active_start_hour: wholeNumber({ min: 0, max: 23 })
    .default(0)
    .meta({
      description: "First hour of the active window.",
      unit: "hour",
      environment: ["POLLING_ACTIVE_START_HOUR"],
    }),
  active_end_hour: wholeNumber({ min: 0, max: 24 })
    .default(24)
    .meta({
      description:
        "The hour at which the window ends; 24 is midnight. Less than the start: it ends on the next day. Equal hours: never active.",
      unit: "hour",
      environment: ["POLLING_ACTIVE_END_HOUR"],
    }),
  vacation_start: vacationDay("First day without polling; needs `vacation_end`."),
  vacation_end: vacationDay("Last day without polling, included."),
};

/** The section. */
export const pollingSchema = withCheck(
  section({
    enable_polling: flag(true, {
      description: "Fetch mail at all. Retries of accepted mail go on.",
    }),
    ...window,
    sender_of_interest_for_polling: z
      .array(sender, { error: "write a list of addresses" })
      .default([])
      .meta({
        description: "Only mail from these addresses is delivered; empty: from everyone.",
        environment: ["SENDER_OF_INTEREST_FOR_POLLING"],
      }),
    ...intervals,
    skip_replies: flag(false, {
      description: "Settle replies and forwards (`Re:`, `Fwd:`, `Tr:`, …) without a webhook.",
    }),
    enable_subject_group_dedup: flag(false, {
      description: "One webhook per subject group and month.",
      environment: ["ENABLE_SUBJECT_GROUP_DEDUP"],
    }),
  }),
  ["vacation_start", "vacation_end"],
  ({ vacation_start: start, vacation_end: end }, refuse) => {
    if (start !== null && end === null)
      refuse("vacation_end", "write the last day too, or remove vacation_start");
    else if (start === null && end !== null)
      refuse("vacation_start", "write the first day too, or remove vacation_end");
    else if (start !== null && end !== null && start > end)
      refuse("vacation_end", "write a day that is not before vacation_start");
  },
);

/** The validated section as the program reads it. */
export const pollingSettings = (doc: z.output<typeof pollingSchema>): PollingSettings => ({
  enablePolling: doc.enable_polling,
  timezone: doc.timezone,
  activeDays: [...new Set(doc.active_days)].toSorted((a, b) => a - b),
  activeStartHour: doc.active_start_hour,
  activeEndHour: doc.active_end_hour,
  vacationStart: doc.vacation_start,
  vacationEnd: doc.vacation_end,
  sendersOfInterest: [
    ...new Set(doc.sender_of_interest_for_polling.map((text) => text.trim().toLowerCase())),
  ],
  intervalMs: doc.interval_seconds * 1000,
  inactiveIntervalMs: doc.inactive_interval_seconds * 1000,
  skipReplies: doc.skip_replies,
  subjectGroupDedup: doc.enable_subject_group_dedup,
});
