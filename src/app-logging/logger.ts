// The only logger. An event from the closed list and fields that are ids, sizes, counts, durations or
// codes; the line leaves through the `writeLog` port.
import type { Clock } from "../core/clock.ts";
import { isoFromMs } from "../core/calendar.ts";
import { EVENTS, type EventName } from "./events.ts";

/** Values a line may carry; never a text that a person wrote. */
export type LogFields = Readonly<Record<string, string | number | boolean | null | undefined>>;

/** Logs one event. */
export type Log = (event: EventName, fields?: LogFields) => void;

/** Takes one finished line (JSON, without a newline); never blocks, never throws. */
export type WriteLog = (line: string) => void;

const RANK = { debug: 10, info: 20, warn: 30, error: 40 };

/** A logger that writes events of `level` and above. */
export const createLog = (deps: {
  clock: Clock;
  writeLog: WriteLog;
  level: keyof typeof RANK;
}): Log => {
  const floor = RANK[deps.level];
  return (event, fields = {}) => {
    const [level] = EVENTS[event];
    if (RANK[level] < floor) return;
    const time = isoFromMs(deps.clock.wallMs());
    deps.writeLog(JSON.stringify({ time, level, event, ...fields }));
  };
};
