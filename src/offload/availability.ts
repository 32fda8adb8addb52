// Whether something that takes files off our hands works: a breaker that is quick to open, because mail
// waits for each try, and the few log lines that tell of it. One for the storage and one for the worker.
import type { Log } from "../app-logging/logger.ts";
import type { Metrics } from "../app-logging/metrics.ts";
import type { Clock } from "../core/clock.ts";
import {
  type BreakerEvent,
  type BreakerState,
  CLOSED,
  isProbeDue,
  stepBreaker,
} from "../resilience/breaker.ts";

/** What is offloaded: attachments to the storage, links to the worker. */
export type OffloadKind = "attachment" | "link";

/** So many failures in a row are enough. */
const FAILURES_TO_OPEN = 2;

/** A longer outage is probed rarely: then a probe may take its time. */
const LONG_PROBE_DELAY_MS = 4 * 60_000;

/** Failures that no further try makes good: somebody has to look. */
const NEEDS_SOMEBODY: ReadonlySet<string> = new Set(["denied", "missing_bucket"]);

/** A try that was admitted; `probe`: the one that finds out whether it works again. */
export interface Try {
  probe: boolean;
}

/** How one of the two is. */
export interface Availability {
  /** May something be tried now? Takes nothing. */
  isUsable(): boolean;
  /** Admits a try, and takes the probe if it is one; null: go on without. */
  admit(): Try | null;
  /** It failed a moment ago: whoever tries now should be less patient, because mail waits for it. */
  isDoubted(): boolean;
  /** Aborts when the breaker opens: who stands in line then need not wait. */
  opening(): AbortSignal;
  succeeded(): void;
  /** Its own fault, in a word of a closed list. Tells whether that is news nobody was told yet. */
  failed(one: Try, failure: string): boolean;
  /** The end of a try, if nothing was said of it before: it tells nothing. */
  abandoned(one: Try): void;
}

/** In order until it fails. */
export const createAvailability = (deps: {
  clock: Clock;
  log: Log;
  metrics: Pick<Metrics, "offloadUsable">;
  what: OffloadKind;
}): Availability => {
  const { clock, log, metrics, what } = deps;
  let state: BreakerState = CLOSED;
  let isDenied = false;
  let opening = new AbortController();
  metrics.offloadUsable(what, true);

  const step = (event: BreakerEvent): void => {
    const wasClosed = state.kind === "closed";
    state = stepBreaker(state, event, clock.monoMs());
    const isClosed = state.kind === "closed";
    if (wasClosed === isClosed) return;
    metrics.offloadUsable(what, isClosed);
    if (isClosed) {
      isDenied = false;
      log("offload.back", { what });
    } else {
      opening.abort(new DOMException("there is nothing to wait for", "AbortError"));
      opening = new AbortController();
    }
  };

  /** Tells of a breaker that has just opened, and once of what somebody must look at. */
  const tell = (failure: string, hasOpened: boolean): void => {
    if (NEEDS_SOMEBODY.has(failure) && !isDenied) {
      isDenied = true;
      log("offload.denied", { what, class: failure });
    } else if (hasOpened) log("offload.unavailable", { what, class: failure });
  };

  return {
    isUsable: () => state.kind === "closed" || isProbeDue(state, clock.monoMs()),
    admit: () => {
      if (state.kind === "closed") return { probe: false };
      if (!isProbeDue(state, clock.monoMs())) return null;
      step("probe_started");
      return { probe: true };
    },
    isDoubted: () =>
      state.kind === "closed" ? state.failures > 0 : state.probeDelayMs < LONG_PROBE_DELAY_MS,
    opening: () => opening.signal,
    succeeded: () => step("succeeded"),
    failed: (one, failure) => {
      const wasClosed = state.kind === "closed";
      step(one.probe ? "probe_failed" : "failed");
      const isEnough =
        NEEDS_SOMEBODY.has(failure) ||
        (state.kind === "closed" && state.failures >= FAILURES_TO_OPEN);
      if (isEnough) step("broken");
      const isClosed = state.kind === "closed";
      tell(failure, wasClosed && !isClosed);
      return isClosed;
    },
    abandoned: (one) => {
      if (one.probe) step("probe_abandoned");
    },
  };
};
