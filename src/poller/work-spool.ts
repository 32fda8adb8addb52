// The spool of one mailbox, worked off by the holder of its lease: what is due is sent again, a broken
// destination gets one probe at a time, and every result is written before the next look.
import type { Log } from "../app-logging/logger.ts";
import type { Metrics } from "../app-logging/metrics.ts";
import type { Clock } from "../core/clock.ts";
import { FencedError, errorCode } from "../core/errors.ts";
import type { DeliveryErrorClass, ParkReason } from "../core/outcome.ts";
import type { Random } from "../core/random.ts";
import type { Rule, WebhookSettings } from "../core/settings.ts";
import type { Lease } from "../lock/poller-lock.ts";
import type { SpoolEntry, SpoolUpdate, Store } from "../store/store.ts";
import type { Deliver } from "../webhook/deliver.ts";
import { createBackoff } from "../resilience/backoff.ts";
import { findDestination } from "../webhook/destination.ts";
import type { Destinations } from "../webhook/destinations.ts";
import { isPermanent, longestWaitMs, retryDelayMs } from "../webhook/retry-policy.ts";

/** Entries sent in one go. */
const BATCH = 64;

/** Waits between tries of a refused write. */
const WRITE_RETRY = { baseMs: 500, capMs: 10_000 };

/** What working the spool of one mailbox takes; neither the folder nor its connection. */
export interface SpoolContext {
  clock: Clock;
  random: Random;
  log: Log;
  metrics: Metrics;
  store: Store;
  deliver: Deliver;
  destinations: Destinations;
  mailboxId: string;
  /** As configured now; a destination is looked up by its id at each attempt. */
  webhook: WebhookSettings;
  rules: readonly Rule[];
  lease: Lease;
  /** Other mailboxes may have something due now, too. */
  wakeSpools(): void;
  /** The store refused to write what became of sent entries, or takes it again. */
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
  return counted >= maxAttempts || waitedMs > longestWaitMs(maxAttempts);
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
  if (!probe) await lease.assert();
  const attempts = entry.attempts + 1;
  const result = await deliver({
    destination,
    eventId,
    payload: entry.payload,
    attempt: attempts,
    fence: lease.fence,
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

/** The oldest entry of each broken destination whose next probe is due. */
const takeProbes = async (context: SpoolContext): Promise<SpoolEntry[]> => {
  await context.lease.assert();
  const { destinations, store, mailboxId } = context;
  const probes: SpoolEntry[] = [];
  for (const id of destinations.probesDue()) {
    const entry = await store.oldestWaiting(mailboxId, id);
    if (entry !== null && destinations.claimProbe(id)) probes.push(entry);
  }
  return probes;
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

/**
 * Writes what became of entries, again and again until the store takes it: sent before it is written
 * down, each would be sent again at the next look, for as long as the disk is full.
 */
const write = async (context: SpoolContext, updates: readonly SpoolUpdate[]): Promise<void> => {
  if (updates.length === 0) return;
  const { clock, random, log, store, mailboxId, lease, abort } = context;
  const backoff = createBackoff(random, WRITE_RETRY);
  for (let failures = 1; ; failures += 1) {
    await lease.assert();
    try {
      await store.updateSpool(mailboxId, lease.fence, updates);
      context.writeFailing(false);
      return;
    } catch (error) {
      if (error instanceof FencedError) throw error;
      context.writeFailing(true);
      log("commit.failed", { mailbox: mailboxId, code: errorCode(error), failures });
      await clock.sleep(backoff.nextMs(), abort);
      if (abort.aborted) throw new DOMException("the write was given up", "AbortError");
    }
  }
};

/** Milliseconds until an entry of this mailbox is due, or its destination may be probed again. */
const restMs = async (context: SpoolContext): Promise<number> => {
  const { clock, store, destinations, mailboxId } = context;
  const blocked = destinations.blocked();
  const dueMs = await store.nextDueMs(mailboxId, blocked);
  const untilDueMs = dueMs === null ? Infinity : Math.max(0, dueMs - clock.wallMs());
  const untilProbeMs = blocked.length === 0 ? Infinity : destinations.nextChangeMs();
  // Never 0: a probe that another mailbox is making is due until it ends.
  return Math.max(1, Math.min(untilDueMs, untilProbeMs));
};

/** A destination that works again gets all that waits for it at once, whatever it waited for. */
const releaseClosed = async (context: SpoolContext): Promise<void> => {
  const closed = context.destinations.takeClosed();
  for (const id of closed) await context.store.makeDue(id, context.clock.wallMs());
  if (closed.length > 0) context.wakeSpools();
};

/**
 * Works off what is due now: probes first, then due entries, oldest first. Resolves with the
 * milliseconds until there may be more to do; 0 when there may be more at once.
 */
export const workSpool = async (context: SpoolContext): Promise<number> => {
  const { clock, store, destinations, mailboxId, metrics } = context;
  const startedMs = clock.monoMs();
  const probed = await attemptAll(context, await takeProbes(context), true);
  await releaseClosed(context);
  const due = await store.dueEntries({
    mailbox: mailboxId,
    nowMs: clock.wallMs(),
    limit: BATCH,
    except: destinations.blocked(),
  });
  const sent = await attemptAll(context, due, false);
  if (probed.length + sent.length === 0) return restMs(context);
  metrics.stepSeconds("spool", (clock.monoMs() - startedMs) / 1000);
  return 0;
};
