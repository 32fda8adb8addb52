// What the process knows of each destination while it runs: its breaker, a pause it asked for, and how
// many requests are on their way. In memory only; shared by all mailboxes, made once by the daemon.
import type { Log } from "../app-logging/logger.ts";
import type { Clock } from "../core/clock.ts";
import {
  CLOSED,
  isProbeDue,
  stepBreaker,
  type BreakerEvent,
  type BreakerState,
} from "../resilience/breaker.ts";
import { createGate, type Gate } from "../resilience/gate.ts";

/**
 * `open`: send. `blocked`: send nothing now. `probe_due`: the breaker is open and one attempt may find
 * out whether the destination works again; take it with `claimProbe`.
 */
export type Admission = "open" | "blocked" | "probe_due";

/** One destination for `status` and metrics; `pausedUntilMs` is wall time. */
export interface DestinationView {
  id: string;
  breaker: BreakerState["kind"];
  pausedUntilMs: number | null;
}

/** The registry, by destination id. An id it never heard of is in order. */
export interface Destinations {
  admission(id: string): Admission;
  /** Starts the one probe of an open breaker that is due; false when it may not start. */
  claimProbe(id: string): boolean;
  /** Gives a claimed probe back that was not sent or was cut off; the next is due at once. */
  releaseProbe(id: string): void;
  succeeded(id: string): void;
  failed(id: string, attempt: { probe: boolean }): void;
  /** Nothing is sent for `pauseMs`; a longer pause already in force stays. */
  pause(id: string, pauseMs: number): void;
  /** Bounds the requests on their way; a changed `concurrency` holds for those that start now. */
  gate(id: string, concurrency: number): Gate;
  /** Ids whose probe is due. */
  probesDue(): readonly string[];
  /** Ids to which ordinary attempts are not admitted. */
  blocked(): readonly string[];
  /** Ids whose breaker closed: what waits for them is to be made due, see `madeDue`. */
  closed(): readonly string[];
  /** What waits for this id was made due since its breaker closed. */
  madeDue(id: string): void;
  /** Milliseconds until the next probe or end of a pause of one of `ids`; `Infinity`: none is to come. */
  nextChangeMs(ids: readonly string[]): number;
  view(): readonly DestinationView[];
  /** Forgets every destination whose id is not among these. */
  forget(idsToKeep: ReadonlySet<string>): void;
}

interface Entry {
  breaker: BreakerState;
  /** On the monotonic clock, so that a step of the wall clock neither shortens nor lengthens it. */
  pausedUntilMs: number;
  gate: { concurrency: number; gate: Gate } | null;
}

const admissionOf = (entry: Entry, nowMs: number): Admission => {
  if (nowMs < entry.pausedUntilMs) return "blocked";
  if (entry.breaker.kind === "closed") return "open";
  return isProbeDue(entry.breaker, nowMs) ? "probe_due" : "blocked";
};

/** Milliseconds until the admission of `entry` can change by itself. */
const changeMs = ({ breaker, pausedUntilMs }: Entry, nowMs: number): number => {
  const isPaused = pausedUntilMs > nowMs;
  if (breaker.kind === "closed" && !isPaused) return Infinity;
  const probeMs = breaker.kind === "closed" ? nowMs : breaker.untilMs;
  return Math.max(0, Math.max(probeMs, pausedUntilMs) - nowMs);
};

/** The entries and what changes them; the registry below is their face. */
const createEntries = ({ clock, log }: { clock: Clock; log: Log }) => {
  const entries = new Map<string, Entry>();
  const closed = new Set<string>();
  const of = (id: string): Entry => {
    const known = entries.get(id);
    if (known !== undefined) return known;
    const made: Entry = { breaker: CLOSED, pausedUntilMs: -Infinity, gate: null };
    entries.set(id, made);
    return made;
  };
  return {
    entries,
    closed,
    of,
    step(id: string, event: BreakerEvent): void {
      const entry = of(id);
      const wasClosed = entry.breaker.kind === "closed";
      entry.breaker = stepBreaker(entry.breaker, event, clock.monoMs());
      const isClosed = entry.breaker.kind === "closed";
      if (wasClosed && !isClosed) log("delivery.breaker_opened", { destination: id });
      if (wasClosed || !isClosed) return;
      closed.add(id);
      log("delivery.breaker_closed", { destination: id });
    },
    admission(id: string): Admission {
      const entry = entries.get(id);
      return entry === undefined ? "open" : admissionOf(entry, clock.monoMs());
    },
  };
};

/** An empty registry. */
export const createDestinations = ({ clock, log }: { clock: Clock; log: Log }): Destinations => {
  const { entries, closed, of, step, admission } = createEntries({ clock, log });
  const idsThatAre = (is: (admission: Admission) => boolean): readonly string[] =>
    [...entries.keys()].filter((id) => is(admission(id)));
  return {
    admission,
    claimProbe(id) {
      if (admission(id) !== "probe_due") return false;
      step(id, "probe_started");
      return true;
    },
    releaseProbe: (id) => step(id, "probe_abandoned"),
    succeeded: (id) => step(id, "succeeded"),
    failed: (id, { probe }) => step(id, probe ? "probe_failed" : "failed"),
    pause(id, pauseMs) {
      const entry = of(id);
      entry.pausedUntilMs = Math.max(entry.pausedUntilMs, clock.monoMs() + pauseMs);
    },
    gate(id, concurrency) {
      const entry = of(id);
      if (entry.gate?.concurrency !== concurrency) {
        entry.gate = { concurrency, gate: createGate(concurrency) };
      }
      return entry.gate.gate;
    },
    probesDue: () => idsThatAre((now) => now === "probe_due"),
    blocked: () => idsThatAre((now) => now !== "open"),
    closed: () => [...closed],
    madeDue: (id) => void closed.delete(id),
    nextChangeMs: (ids) =>
      Math.min(
        ...ids
          .flatMap((id) => entries.get(id) ?? [])
          .map((entry) => changeMs(entry, clock.monoMs())),
      ),
    view: () =>
      [...entries].map(([id, { breaker, pausedUntilMs }]) => {
        const leftMs = pausedUntilMs - clock.monoMs();
        return {
          id,
          breaker: breaker.kind,
          pausedUntilMs: leftMs > 0 ? clock.wallMs() + leftMs : null,
        };
      }),
    forget(idsToKeep) {
      for (const id of [...entries.keys(), ...closed]) {
        if (idsToKeep.has(id)) continue;
        entries.delete(id);
        closed.delete(id);
      }
    },
  };
};
