// What an answer means and when to try again (DESIGN section 8). Pure functions; the sender classifies
// with them, the spool plans with them.
import { numberFromDay } from "../core/calendar.ts";
import type { DeliveryErrorClass } from "../core/outcome.ts";
import type { Random } from "../core/random.ts";
import { fullJitterMs } from "../resilience/backoff.ts";

const BASE_MS = 5000;
const CAP_MS = 6 * 3_600_000;
const MAX_RETRY_AFTER_MS = 24 * 3_600_000;

/** Milliseconds to wait after the `counted`-th failed attempt (from 1): 5 s doubling to 6 h, jittered. */
export const retryDelayMs = (random: Random, counted: number): number =>
  fullJitterMs(random, { baseMs: BASE_MS, capMs: CAP_MS, step: Math.max(0, counted - 1) });

/** The longest that all waits of `maxAttempts` attempts can take together; 20 attempts: 47 h. */
export const longestWaitMs = (maxAttempts: number): number => {
  let sumMs = 0;
  for (let step = 0; step < maxAttempts - 1; step += 1) {
    sumMs += Math.min(CAP_MS, BASE_MS * 2 ** step);
  }
  return sumMs;
};

/**
 * What a status line decides. 408 and 425 ask to try again as a 5xx does and share its class; 1xx and
 * numbers that HTTP does not know are taken for a broken server.
 */
export const classifyStatus = (status: number): "delivered" | DeliveryErrorClass => {
  if (status >= 200 && status < 300) return "delivered";
  if (status >= 300 && status < 400) return "redirect";
  if (status === 429) return "http_429";
  if (status === 408 || status === 425) return "http_5xx";
  return status >= 400 && status < 500 ? "http_4xx" : "http_5xx";
};

/** Is trying again pointless until a person changed something? */
export const isPermanent = (errorClass: DeliveryErrorClass): boolean =>
  errorClass === "redirect" ||
  errorClass === "egress_refused" ||
  errorClass === "http_4xx" ||
  errorClass === "destination_gone";

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** The three forms of RFC 9110 section 5.6.7: IMF-fixdate, RFC 850, asctime. */
const HTTP_DATES = [
  /^[A-Za-z]{3}, (?<day>\d\d) (?<month>[A-Z][a-z]{2}) (?<year>\d{4}) (?<time>\d\d:\d\d:\d\d) GMT$/,
  /^[A-Za-z]{6,9}, (?<day>\d\d)-(?<month>[A-Z][a-z]{2})-(?<year>\d\d) (?<time>\d\d:\d\d:\d\d) GMT$/,
  /^[A-Za-z]{3} (?<month>[A-Z][a-z]{2}) (?<day>[ \d]\d) (?<time>\d\d:\d\d:\d\d) (?<year>\d{4})$/,
];

const httpDateMs = (text: string): number | null => {
  for (const pattern of HTTP_DATES) {
    const groups = pattern.exec(text)?.groups;
    if (groups === undefined) continue;
    const { day, month, year, time } = groups as Record<"day" | "month" | "year" | "time", string>;
    const monthIndex = MONTHS.indexOf(month);
    if (monthIndex < 0) return null;
    const [hour, minute, second] = time.split(":").map(Number) as [number, number, number];
    const century = year.length === 4 ? 0 : Number(year) < 70 ? 2000 : 1900;
    const fullYear = century + Number(year);
    const days = numberFromDay({ year: fullYear, month: monthIndex + 1, day: Number(day) });
    return ((days * 24 + hour) * 60 + minute) * 60_000 + second * 1000;
  }
  return null;
};

/**
 * Milliseconds that a `Retry-After` asks to wait (RFC 9110 section 10.2.3: seconds or an HTTP date),
 * kept within 0 and 24 h. Null when there is none or it cannot be read.
 */
export const parseRetryAfterMs = (value: string | null, wallMs: number): number | null => {
  if (value === null) return null;
  const text = value.trim();
  const dateMs = httpDateMs(text);
  const isNumber = /^[+-]?\d+(\.\d+)?$/.test(text);
  if (dateMs === null && !isNumber) return null;
  const waitMs = dateMs === null ? Math.ceil(Number(text) * 1000) : dateMs - wallMs;
  return Math.min(MAX_RETRY_AFTER_MS, Math.max(0, waitMs));
};
