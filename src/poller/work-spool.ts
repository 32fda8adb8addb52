// The spool of one mailbox, worked off by the holder of its lease: what is due is sent again, a broken
// destination gets one probe at a time, and every result is written before the next look.
import type { Log } from "../app-logging/logger.ts";
import type { Metrics } from "../app-logging/metrics.ts";
import type { Clock } from "../core/clock.ts";
import { MAX_COMMIT_BYTES } from "../core/limits.ts";
import type { DeliveryErrorClass, ParkReason } from "../core/outcome.ts";
import type { Random } from "../core/random.ts";
import type { Rule, WebhookSettings } from "../core/settings.ts";
import type { Lease } from "../lock/held-lease.ts";
import type { SpoolEntry, SpoolUpdate, Store } from "../store/store.ts";
import { untilWritten } from "../store/until-written.ts";
import type { Deliver } from "../webhook/deliver.ts";
import type { Gate } from "../resilience/gate.ts";
import { findDestination } from "../webhook/destination.ts";
import type { Destinations } from "../webhook/destinations.ts";
import { isPermanent, longestWaitMs, retryDelayMs } from "../webhook/retry-policy.ts";

/** Entries sent in one go. */
const BATCH = 64;

/** Payload bytes sent in one go. */
const BATCH_BYTES = MAX_COMMIT_BYTES;

/**
 * However few attempts are configured, no entry is given up for its age before this: behind a broken
 * destination it uses up no attempt, and the waits of a few attempts are over before any outage is.
 */
const MIN_AGE_MS = longestWaitMs(20);

/** What working the spool of one mailbox takes; neither the folder nor its connection. */
export interface SpoolContext {
  clock: Clock;
  random: Random;
  log: Log;
  metrics: Metrics;
  store: Store;
  deliver: Deliver;
  destinations: Destinations;
  /** Bytes of bodies and payloads in memory, whole process. */
  bytesInFlight: Gate;
  mailboxId: string;
  /** As configured now; a destination is looked up by its id at each attempt. */
  webhook: WebhookSettings;
  rules: readonly Rule[];
  lease: Lease;
  /** Other mailboxes may have something due now, too. */
  wakeSpools(): void;
  /** Told after each try to write what became of sent entries: did the store refuse it? */
  writeFailing(isFailing: boolean): void;
  /** Aborted when work must end now. */
  abort: AbortSignal;
  /** Aborted when nothing new is to be begun: with `abort`, or earlier. */
  ending: AbortSignal;
}

const park = (
  context: SpoolContext,
  entry: SpoolEntry,
  end: { attempts: number; reason: ParkReason },
): SpoolUpdate => {
  const { eventId, destination } = entry;
  context.log("delivery.parked", {
    mailbox: context.mailboxId,
    event_id: eventId,
    destination,
    reason: end.reason,
    attempt: end.attempts,
  });
  return { eventId, destination, kind: "parked", ...end, parkedMs: context.clock.wallMs() };
};

/** Has the entry used up its attempts, or, behind a broken destination, the time they would take? */
const isExhausted = (context: SpoolContext, entry: SpoolEntry, counted: number): boolean => {
  const { maxAttempts } = context.webhook;
  const waitedMs = context.clock.wallMs() - entry.sinceMs;
  return counted >= maxAttempts || waitedMs > Math.max(MIN_AGE_MS, longestWaitMs(maxAttempts));
};

/** What a failed attempt makes of its entry. A probe of an open breaker uses up no attempt. */
const afterFailure = (
  context: SpoolContext,
  entry: SpoolEntry,
  failure: { errorClass: DeliveryErrorClass; probe: boolean },
): SpoolUpdate => {
  const { errorClass, probe } = failure;
  const attempts = entry.attempts + 1;
  const counted = entry.counted + (probe ? 0 : 1);
  if (isPermanent(errorClass) && !probe) {
    return park(context, entry, { attempts, reason: errorClass });
  }
  if (isExhausted(context, entry, counted)) {
    return park(context, entry, { attempts, reason: "attempts_exhausted" });
  }
  const { eventId, destination } = entry;
  const delayMs = retryDelayMs(context.random, Math.max(1, counted));
  context.log("delivery.failed", {
    mailbox: context.mailboxId,
    event_id: eventId,
    destination,
    class: errorClass,
    attempt: attempts,
    retry_ms: delayMs,
  });
  const nextAttemptMs = context.clock.wallMs() + delayMs;
  return { eventId, destination, kind: "waiting", attempts, counted, nextAttemptMs, errorClass };
};

/** One attempt at one entry; null when nothing was sent and nothing changes. */
const attempt = async (
  context: SpoolContext,
  entry: SpoolEntry,
  probe: boolean,
): Promise<SpoolUpdate | null> => {
  const { lease, deliver, metrics, abort } = context;
  const destination = findDestination(context, entry.destination);
  const { eventId } = entry;
  if (destination === null) {
    if (probe) context.destinations.releaseProbe(entry.destination);
    return park(context, entry, { attempts: entry.attempts, reason: "destination_gone" });
  }
  const attempts = entry.attempts + 1;
  const result = await deliver({
    destination,
    eventId,
    payload: entry.payload,
    attempt: attempts,
    fence: lease.fence,
    assertLease: () => lease.assert(),
    probe,
    signal: abort,
    ending: context.ending,
  });
  switch (result.kind) {
    case "aborted":
    case "blocked":
      return null;
    case "delivered":
      metrics.deliveryAttempt(destination.id, "delivered");
      return { eventId, destination: entry.destination, kind: "delivered", attempts };
    case "paused":
      metrics.deliveryAttempt(destination.id, "paused");
      return {
        eventId,
        destination: entry.destination,
        kind: "waiting",
        attempts,
        counted: entry.counted,
        nextAttemptMs: result.untilMs,
        errorClass: "http_429",
      };
    case "failed":
      metrics.deliveryAttempt(destination.id, result.errorClass);
      return afterFailure(context, entry, { errorClass: result.errorClass, probe });
  }
};

/**
 * The oldest entry of each broken destination whose next probe is due. Each is claimed and must be sent;
 * one at a time per destination, in the whole process, they are not counted among the bytes in flight.
 */
const takeProbes = async (context: SpoolContext): Promise<SpoolEntry[]> => {
  await context.lease.assert();
  const { destinations, store, mailboxId } = context;
  const probes: SpoolEntry[] = [];
  try {
    for (const id of destinations.probesDue()) {
      const entry = await store.oldestWaiting(mailboxId, id);
      if (entry !== null && destinations.claimProbe(id)) probes.push(entry);
    }
  } catch (error) {
    for (const { destination } of probes) destinations.releaseProbe(destination);
    throw error;
  }
  return probes;
};

/** Writes what became of entries, until the store takes it. */
const write = async (context: SpoolContext, updates: readonly SpoolUpdate[]): Promise<void> => {
  const { store, mailboxId, lease } = context;
  if (updates.length === 0) return;
  await untilWritten(context, () => store.updateSpool(mailboxId, lease.fence, updates));
};

/** Attempts all, and hands back what became of them; a lost lease is thrown after the rest ended. */
const attemptAll = async (
  context: SpoolContext,
  entries: readonly SpoolEntry[],
  probe: boolean,
): Promise<SpoolUpdate[]> => {
  const ends = await Promise.allSettled(entries.map((entry) => attempt(context, entry, probe)));
  const updates = ends.flatMap((end) =>
    end.status === "fulfilled" && end.value !== null ? [end.value] : [],
  );
  await write(context, updates);
  const failed = ends.find((end) => end.status === "rejected");
  if (failed !== undefined) throw failed.reason;
  return updates;
};

/** Milliseconds until an entry of this mailbox is due, or its destination may be probed again. */
const restMs = async (context: SpoolContext): Promise<number> => {
  const { clock, store, destinations, mailboxId } = context;
  // A broken destination that nothing of this mailbox waits for is not this mailbox's to probe.
  const waitedFor = await store.waitingDestinations(mailboxId);
  const blocked = waitedFor.filter((id) => destinations.admission(id) !== "open");
  const dueMs = await store.nextDueMs(mailboxId, blocked);
  const untilDueMs = dueMs === null ? Infinity : Math.max(0, dueMs - clock.wallMs());
  // Never 0, in which the loop would not let anybody else work.
  return Math.max(1, Math.min(untilDueMs, destinations.nextChangeMs(blocked)));
};

/** A destination that works again gets all that waits for it at once, whatever it waited for. */
const releaseClosed = async (context: SpoolContext): Promise<void> => {
  const { destinations, store, clock } = context;
  for (const id of destinations.closed()) {
    await store.makeDue(id, clock.wallMs());
    destinations.madeDue(id);
    context.wakeSpools();
  }
};

/** Sends what is due, oldest first, once its payloads have their place among the bytes in flight. */
const sendDue = async (context: SpoolContext): Promise<readonly SpoolUpdate[]> => {
  const { clock, store, destinations, mailboxId, bytesInFlight, ending } = context;
  const due = {
    mailbox: mailboxId,
    nowMs: clock.wallMs(),
    limit: BATCH,
    maxBytes: BATCH_BYTES,
    except: destinations.blocked(),
  };
  const bytes = await store.dueBytes(due);
  if (bytes === 0) return [];
  // It rejects only when nothing is to be begun any more.
  const release = await bytesInFlight.acquire(bytes, ending).catch(() => null);
  if (release === null) return [];
  try {
    const entries = await store.dueEntries({ ...due, maxBytes: bytes });
    return await attemptAll(context, entries, false);
  } finally {
    release();
  }
};

/**
 * Works off what is due now: probes first, then due entries, oldest first. Resolves with the
 * milliseconds until there may be more to do; 0 when there may be more at once.
 */
export const workSpool = async (context: SpoolContext): Promise<number> => {
  const { clock, metrics } = context;
  const startedMs = clock.monoMs();
  const probed = await attemptAll(context, await takeProbes(context), true);
  await releaseClosed(context);
  const sent = await sendDue(context);
  if (probed.length + sent.length === 0) return restMs(context);
  metrics.stepSeconds("spool", (clock.monoMs() - startedMs) / 1000);
  return 0;
};
