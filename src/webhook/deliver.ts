// One attempt to deliver one payload to one destination: slot, guard, signature, deadline, verdict. The
// cycle calls it for first attempts, the spool for retries and probes; both write down what came of it.
import type { Clock } from "../core/clock.ts";
import { DeadlineError } from "../core/errors.ts";
import type { DeliveryErrorClass } from "../core/outcome.ts";
import { refuseUrl } from "../net/egress-guard.ts";
import type { HttpResult, SendHttp } from "../net/send-http.ts";
import { withDeadline } from "../resilience/deadline.ts";
import type { Destination } from "./destination.ts";
import type { Destinations } from "./destinations.ts";
import { classifyStatus, isPermanent, parseRetryAfterMs } from "./retry-policy.ts";
import { signedHeaders } from "./signature.ts";

/** A `Retry-After: 0` must not turn into a loop without a wait. */
const MIN_PAUSE_MS = 1000;

/** One attempt. */
export interface DeliveryAttempt {
  destination: Destination;
  eventId: string;
  payload: string;
  /** Requests sent for this pair before, plus one. */
  attempt: number;
  /** Of the lease under which it is sent. */
  fence: number;
  /** Was it admitted by `claimProbe`? */
  probe?: boolean;
  /** Asked right before sending, after any wait in line: rejects when it must not start. */
  assertLease: () => Promise<void>;
  /** Aborts when the lease is lost or the work must end. */
  signal: AbortSignal;
  /**
   * Aborts when nothing new is to be begun, and at the latest with `signal` (the default): an attempt
   * that still stands in line then is not sent; one under way goes on.
   */
  ending?: AbortSignal;
}

/**
 * What came of it. `paused`: sent, and the destination asked to wait until then (wall time); it uses up
 * no attempt. `blocked`: not sent, because the destination stopped taking anything while this attempt
 * waited for its slot. `aborted`: our signals ended it; the request may have arrived.
 */
export type DeliveryResult =
  | { kind: "delivered" }
  | { kind: "failed"; errorClass: DeliveryErrorClass; permanent: boolean }
  | { kind: "paused"; untilMs: number }
  | { kind: "blocked" }
  | { kind: "aborted" };

/** Makes one attempt and tells the registry of destinations how it ended. */
export type Deliver = (attempt: DeliveryAttempt) => Promise<DeliveryResult>;

interface Deps {
  clock: Clock;
  sendHttp: SendHttp;
  destinations: Destinations;
  /**
   * What is put into a payload only when it is sent, because it would not last in the spool. Never rejects;
   * null: payloads are sent as they are.
   */
  finishPayload: ((payload: string) => Promise<string>) | null;
}

const failed = (errorClass: DeliveryErrorClass): DeliveryResult => ({
  kind: "failed",
  errorClass,
  permanent: isPermanent(errorClass),
});

const headersOf = (
  attempt: DeliveryAttempt,
  { body, timestampS }: { body: string; timestampS: number },
): Record<string, string> => ({
  "content-type": "application/json",
  "user-agent": "signalpost",
  ...signedHeaders({
    id: attempt.eventId,
    timestampS,
    body,
    secrets: attempt.destination.secrets,
  }),
  "signalpost-fence": String(attempt.fence),
  "signalpost-attempt": String(attempt.attempt),
  "signalpost-destination": attempt.destination.id,
});

const resultOf = (deps: Deps, id: string, answer: HttpResult): DeliveryResult => {
  if (answer.kind === "aborted") return answer;
  if (answer.kind === "failed") return failed(answer.errorClass);
  const { status, retryAfter } = answer;
  const verdict = classifyStatus(status);
  if (verdict === "delivered") return { kind: "delivered" };
  const wallMs = deps.clock.wallMs();
  const waitMs = status === 429 || status === 503 ? parseRetryAfterMs(retryAfter, wallMs) : null;
  if (waitMs === null) return failed(verdict);
  const pauseMs = Math.max(MIN_PAUSE_MS, waitMs);
  deps.destinations.pause(id, pauseMs);
  return { kind: "paused", untilMs: wallMs + pauseMs };
};

const send = async (deps: Deps, attempt: DeliveryAttempt): Promise<DeliveryResult> => {
  const { destination, signal } = attempt;
  const { url, allowPrivateAddresses, concurrency, timeoutMs } = destination;
  const { payload } = attempt;
  const body = deps.finishPayload === null ? payload : await deps.finishPayload(payload);
  const headers = headersOf(attempt, { body, timestampS: Math.floor(deps.clock.wallMs() / 1000) });
  try {
    const answer = await withDeadline(
      deps.clock,
      { ms: timeoutMs, what: "a webhook request", signal },
      (inner) =>
        deps.sendHttp({
          url,
          headers,
          body,
          allowPrivateAddresses,
          connections: concurrency,
          signal: inner,
        }),
    );
    return resultOf(deps, destination.id, answer);
  } catch (error) {
    if (signal.aborted) return { kind: "aborted" };
    if (error instanceof DeadlineError) return failed("timeout");
    throw error;
  }
};

/** Waits for a slot; null when it is not to be begun any more. */
const takeSlot = async (deps: Deps, attempt: DeliveryAttempt): Promise<(() => void) | null> => {
  const { id, concurrency } = attempt.destination;
  try {
    return await deps.destinations
      .gate(id, concurrency)
      .acquire(1, attempt.ending ?? attempt.signal);
  } catch {
    return null;
  }
};

const report = (
  destinations: Destinations,
  { destination, probe = false }: DeliveryAttempt,
  end: DeliveryResult,
): void => {
  if (end.kind === "delivered") destinations.succeeded(destination.id);
  else if (end.kind === "failed") destinations.failed(destination.id, { probe });
  else if (probe) destinations.releaseProbe(destination.id);
};

/** The delivery of a daemon. Rejects as `assertLease` does; every foreign failure is a result. */
export const createDeliver =
  (deps: Deps): Deliver =>
  async (attempt) => {
    const { destination, probe = false } = attempt;
    const settle = (end: DeliveryResult): DeliveryResult => {
      report(deps.destinations, attempt, end);
      return end;
    };
    if (refuseUrl(destination.url, destination.allowPrivateAddresses) !== null) {
      return settle(failed("egress_refused"));
    }
    const release = await takeSlot(deps, attempt);
    if (release === null) return settle({ kind: "aborted" });
    try {
      // The breaker may have opened, or a pause begun, while this attempt stood in line.
      const isAdmitted = probe || deps.destinations.admission(destination.id) === "open";
      if (!isAdmitted) return settle({ kind: "blocked" });
      await attempt.assertLease();
      return settle(await send(deps, attempt));
    } catch (error) {
      settle({ kind: "aborted" });
      throw error;
    } finally {
      // After the report, so that the next in line sees what came of this one.
      release();
    }
  };
