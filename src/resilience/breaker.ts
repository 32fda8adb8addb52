// A circuit breaker as a pure state machine: after five failures in a row, or when its caller says so,
// nothing but one probe at a time goes out, until one succeeds. The caller brings the clock and does the
// sending (DESIGN section 8).

/** Failures in a row that open it. */
export const FAILURES_TO_OPEN = 5;
const FIRST_PROBE_MS = 30_000;
const LAST_PROBE_MS = 5 * 60_000;
/** A probe that nobody reports on is given up after this; no honest attempt takes so long. */
const PROBE_LOST_MS = 10 * 60_000;

/**
 * Times are on the clock of the caller's `nowMs`. `open`: the next probe is due at `untilMs`.
 * `probing`: a probe is under way and counts as lost at `untilMs`.
 */
export type BreakerState =
  | { kind: "closed"; failures: number }
  | { kind: "open"; untilMs: number; probeDelayMs: number }
  | { kind: "probing"; untilMs: number; probeDelayMs: number };

/**
 * What happened. `probe_started` is honoured only when a probe is due. `probe_abandoned`: the probe
 * was cut off by our side and says nothing. `failed` is of an ordinary attempt, also one that began
 * before the breaker opened. `broken`: the caller needs no further failure to know.
 */
export type BreakerEvent =
  | "succeeded"
  | "failed"
  | "broken"
  | "probe_started"
  | "probe_failed"
  | "probe_abandoned";

/** How it begins. */
export const CLOSED: BreakerState = { kind: "closed", failures: 0 };

/** May a probe start now? */
export const isProbeDue = (state: BreakerState, nowMs: number): boolean =>
  state.kind !== "closed" && nowMs >= state.untilMs;

const open = (nowMs: number, probeDelayMs: number): BreakerState => ({
  kind: "open",
  untilMs: nowMs + probeDelayMs,
  probeDelayMs,
});

const whenClosed = (
  state: BreakerState & { kind: "closed" },
  event: BreakerEvent,
  nowMs: number,
): BreakerState => {
  if (event === "broken") return open(nowMs, FIRST_PROBE_MS);
  if (event !== "failed") return state;
  const failures = state.failures + 1;
  return failures < FAILURES_TO_OPEN ? { kind: "closed", failures } : open(nowMs, FIRST_PROBE_MS);
};

/** The state after `event` at `nowMs`. An event that does not fit the state changes nothing. */
export const stepBreaker = (
  state: BreakerState,
  event: BreakerEvent,
  nowMs: number,
): BreakerState => {
  // Any success proves that the destination works, also one of an attempt that began long ago.
  if (event === "succeeded") return CLOSED;
  if (state.kind === "closed") return whenClosed(state, event, nowMs);
  const { probeDelayMs } = state;
  if (event === "probe_started") {
    if (!isProbeDue(state, nowMs)) return state;
    return { kind: "probing", untilMs: nowMs + PROBE_LOST_MS, probeDelayMs };
  }
  if (state.kind === "open") return state;
  if (event === "probe_failed") return open(nowMs, Math.min(LAST_PROBE_MS, probeDelayMs * 2));
  return event === "probe_abandoned" ? { kind: "open", untilMs: nowMs, probeDelayMs } : state;
};
