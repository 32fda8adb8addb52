// Calendar arithmetic on plain numbers, because the global Date is closed to src (it hides a clock).
// Days are counted in the proleptic Gregorian calendar, as in ISO 8601.

const DAY_MS = 86_400_000;

/** A calendar day: month 1 to 12, day 1 to 31. */
export interface CalendarDay {
  year: number;
  month: number;
  day: number;
}

/** The day `days` after 1970-01-01 (negative: before). */
export const dayFromNumber = (days: number): CalendarDay => {
  const shifted = days + 719_468;
  const era = Math.floor(shifted / 146_097);
  const dayOfEra = shifted - era * 146_097;
  const yearOfEra = Math.floor(
    (dayOfEra -
      Math.floor(dayOfEra / 1460) +
      Math.floor(dayOfEra / 36_524) -
      Math.floor(dayOfEra / 146_096)) /
      365,
  );
  const dayOfYear =
    dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const shiftedMonth = Math.floor((5 * dayOfYear + 2) / 153);
  const month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9;
  return {
    year: yearOfEra + era * 400 + (month <= 2 ? 1 : 0),
    month,
    day: dayOfYear - Math.floor((153 * shiftedMonth + 2) / 5) + 1,
  };
};

/** Days from 1970-01-01 to the given day; the reverse of {@link dayFromNumber}. */
export const numberFromDay = ({ year, month, day }: CalendarDay): number => {
  const shiftedYear = month <= 2 ? year - 1 : year;
  const era = Math.floor(shiftedYear / 400);
  const yearOfEra = shiftedYear - era * 400;
  const dayOfYear = Math.floor((153 * (month > 2 ? month - 3 : month + 9) + 2) / 5) + day - 1;
  const dayOfEra =
    yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear;
  return era * 146_097 + dayOfEra - 719_468;
};

const pad = (value: number, width: number): string => String(value).padStart(width, "0");

/** `ms` since 1970 UTC as `2026-11-24T08:00:00.000Z` (years 0 to 9999). */
export const isoFromMs = (ms: number): string => {
  const whole = Math.floor(ms);
  const days = Math.floor(whole / DAY_MS);
  const rest = whole - days * DAY_MS;
  const { year, month, day } = dayFromNumber(days);
  const time = [
    pad(Math.floor(rest / 3_600_000), 2),
    pad(Math.floor(rest / 60_000) % 60, 2),
    pad(Math.floor(rest / 1000) % 60, 2),
  ].join(":");
  return `${pad(year, 4)}-${pad(month, 2)}-${pad(day, 2)}T${time}.${pad(rest % 1000, 3)}Z`;
};

/** The fields of an instant on the wall clock of a time zone; `weekday` 0 = Monday. */
export interface ZonedTime extends CalendarDay {
  hour: number;
  minute: number;
  second: number;
  weekday: number;
}

const formatters = new Map<string, Intl.DateTimeFormat>();

const formatterOf = (timeZone: string): Intl.DateTimeFormat => {
  const known = formatters.get(timeZone);
  if (known !== undefined) return known;
  const made = new Intl.DateTimeFormat("en-US", {
    timeZone,
    hourCycle: "h23",
    year: "numeric",
    month: "numeric",
    day: "numeric",
    hour: "numeric",
    minute: "numeric",
    second: "numeric",
  });
  formatters.set(timeZone, made);
  return made;
};

/** `ms` on the wall clock of `timeZone`; throws `RangeError` when the zone is unknown. */
export const zonedTime = (ms: number, timeZone: string): ZonedTime => {
  const parts = new Map(
    formatterOf(timeZone)
      .formatToParts(ms)
      .map((p) => [p.type, p.value]),
  );
  const field = (type: string): number => Number(parts.get(type as Intl.DateTimeFormatPartTypes));
  const day = { year: field("year"), month: field("month"), day: field("day") };
  const weekday = (((numberFromDay(day) + 3) % 7) + 7) % 7;
  return { ...day, hour: field("hour"), minute: field("minute"), second: field("second"), weekday };
};

/**
 * The first instant whose wall clock in `timeZone` is at or after `hour` o'clock of `day` (hour 24 is
 * the next midnight). Where the clock jumps over that hour it is the instant of the jump.
 */
export const instantOf = (day: CalendarDay, hour: number, timeZone: string): number => {
  const wanted = numberFromDay(day) * DAY_MS + hour * 3_600_000;
  const asIfUtc = (ms: number): number => {
    const at = zonedTime(ms, timeZone);
    return numberFromDay(at) * DAY_MS + at.hour * 3_600_000 + at.minute * 60_000 + at.second * 1000;
  };
  let low = wanted - DAY_MS;
  let high = wanted + DAY_MS;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if (asIfUtc(middle) >= wanted) high = middle;
    else low = middle + 1;
  }
  return low;
};
