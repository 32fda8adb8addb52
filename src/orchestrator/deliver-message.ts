// One message, from the rules to its receipt: which destinations it has, the first attempt at each,
// and what of it goes to the spool. Writes nothing: the cycle commits what comes out of here.
import { createHash } from "node:crypto";
import { maskSensitiveData } from "../app-logging/mask-sensitive-data.ts";
import { eventId } from "../core/event-id.ts";
import type { Message } from "../core/message.ts";
import { type Outcome, type PairState, outcomeOfPairs } from "../core/outcome.ts";
import { factsOf } from "../rules/facts.ts";
import { judge } from "../rules/match.ts";
import type { Claim, Receipt, SpoolEntry, TailEntry } from "../store/store.ts";
import { type Destination, destinationsOf } from "../webhook/destination.ts";
import { buildPayload, capMessage } from "../webhook/payload.ts";
import { retryDelayMs } from "../webhook/retry-policy.ts";
import type { FolderContext } from "./folder-context.ts";
import { offloadMessage } from "./offload-message.ts";

/** A message that is settled as soon as this is committed. */
export interface Settling {
  uid: number;
  receipt: Receipt;
  spool: readonly SpoolEntry[];
  claim: Claim | null;
  /** Null for what was never there to remember. */
  tail: TailEntry | null;
  /** Masked sender and subject for the log, where the configuration allows them. */
  shown: { sender?: string; subject?: string };
}

/** What is known of a message besides its content. */
export interface DeliveryNotes {
  /** Milliseconds by step so far. */
  steps: Readonly<Record<string, number>>;
  claim: Claim | null;
  /** Sent again because an operator asked: the attempts made before, by destination. Null: it is new. */
  sentBefore: ReadonlyMap<string, number> | null;
}

/** What survives a UIDVALIDITY change: enough to know the message again, nothing that tells of it. */
export const tailHash = (message: {
  messageId: string | null;
  sizeBytes: number;
  internalDateMs: number;
}): string =>
  createHash("sha256")
    .update([message.messageId ?? "", message.sizeBytes, message.internalDateMs].join("\0"))
    .digest("base64url")
    .slice(0, 22);

const tailOf = (context: FolderContext, message: Message): TailEntry => {
  const { uid, internalDateMs, sizeBytes, envelope } = message;
  const hash = tailHash({ messageId: envelope.messageId, sizeBytes, internalDateMs });
  return { uid, internalDateMs, hash, settledMs: context.clock.wallMs() };
};

const shownOf = ({ logMaskedText }: FolderContext, { envelope }: Message): Settling["shown"] =>
  logMaskedText
    ? {
        sender: maskSensitiveData(envelope.from[0]?.address ?? "", "email"),
        subject: maskSensitiveData(envelope.subject ?? "", "subject"),
      }
    : {};

/** The receipt of a message with this outcome and nothing sent. */
const receiptOf = (
  context: FolderContext,
  message: Pick<Message, "eventId" | "uid" | "uidvalidity">,
  end: { outcome: Outcome; reason: string | null },
): Receipt => ({
  eventId: message.eventId,
  mailbox: context.mailbox.id,
  folder: context.mailbox.folder,
  uidvalidity: message.uidvalidity,
  uid: message.uid,
  outcome: end.outcome,
  reason: end.reason,
  reduced: false,
  pairs: {},
  steps: {},
  todo: false,
  settledMs: context.clock.wallMs(),
});

/** A message that somebody expunged before it could be read. */
export const gone = (context: FolderContext, uid: number): Settling => {
  const { mailbox, memory } = context;
  const uidvalidity = memory.cursor?.uidvalidity ?? "0";
  const key = { mailbox: mailbox.id, folder: mailbox.folder, uidvalidity, uid };
  const message = { uid, uidvalidity, eventId: eventId(key) };
  const receipt = receiptOf(context, message, { outcome: "gone", reason: null });
  return { uid, receipt, spool: [], claim: null, tail: null, shown: {} };
};

/** A message that is settled without a webhook. */
export const filtered = (context: FolderContext, message: Message, reason: string): Settling => ({
  uid: message.uid,
  receipt: receiptOf(context, message, { outcome: "filtered", reason }),
  spool: [],
  claim: null,
  tail: tailOf(context, message),
  shown: shownOf(context, message),
});

/** The end of one first attempt: the pair's state, and its spool row when it is not delivered. */
interface PairEnd {
  state: PairState;
  entry: SpoolEntry | null;
}

/** Thrown when an attempt was cut off by our own abort: the message is not settled. */
const cutOff = (): Error => new DOMException("the delivery was cut off", "AbortError");

const firstAttempt = async (
  context: FolderContext,
  message: { eventId: string; uid: number; payload: string; sentBefore: number },
  destination: Destination,
): Promise<PairEnd> => {
  const { clock, random, metrics, lease, deliver, destinations, hot } = context;
  const now = clock.wallMs();
  const row: SpoolEntry = {
    eventId: message.eventId,
    destination: destination.id,
    mailbox: context.mailbox.id,
    uid: message.uid,
    payload: message.payload,
    state: "waiting",
    attempts: message.sentBefore,
    counted: 0,
    nextAttemptMs: now,
    errorClass: null,
    reason: null,
    sinceMs: now,
    parkedMs: null,
  };
  const waits = (entry: SpoolEntry): PairEnd => ({
    state: { kind: "waiting", attempts: entry.attempts, errorClass: entry.errorClass },
    entry,
  });
  if (destinations.admission(destination.id) !== "open") return waits(row);
  const attempt = message.sentBefore + 1;
  const result = await deliver({
    destination,
    eventId: message.eventId,
    payload: message.payload,
    attempt,
    fence: lease.fence,
    assertLease: () => lease.assert(),
    signal: context.abort,
    ending: context.ending,
  });
  if (result.kind === "aborted") throw cutOff();
  if (result.kind === "blocked") return waits(row);
  if (result.kind === "delivered") {
    metrics.deliveryAttempt(destination.id, "delivered");
    return { state: { kind: "delivered", attempts: attempt }, entry: null };
  }
  if (result.kind === "paused") {
    metrics.deliveryAttempt(destination.id, "paused");
    return waits({ ...row, attempts: attempt, nextAttemptMs: result.untilMs });
  }
  const { errorClass, permanent } = result;
  metrics.deliveryAttempt(destination.id, errorClass);
  const fields = {
    mailbox: context.mailbox.id,
    event_id: message.eventId,
    destination: destination.id,
  };
  if (permanent || hot.webhook.maxAttempts <= 1) {
    const reason = permanent ? errorClass : "attempts_exhausted";
    context.log("delivery.parked", { ...fields, reason, attempt });
    const parked = { state: "parked", reason, parkedMs: clock.wallMs() } as const;
    return {
      state: { kind: "parked", attempts: attempt, reason },
      entry: { ...row, ...parked, attempts: attempt, counted: 1, errorClass },
    };
  }
  const delayMs = retryDelayMs(random, 1);
  context.log("delivery.failed", { ...fields, class: errorClass, attempt, retry_ms: delayMs });
  const nextAttemptMs = clock.wallMs() + delayMs;
  return waits({ ...row, attempts: attempt, counted: 1, nextAttemptMs, errorClass });
};

/**
 * Judges the message by the rules, offloads what it refers to, and makes the first attempt at each of its
 * destinations, all at once. Rejects with `LeaseLostError` or an `AbortError` when it must not go on: then
 * the message is not settled, and a later cycle starts over with the same id.
 */
export const deliverMessage = async (
  context: FolderContext,
  whole: Message,
  notes: DeliveryNotes,
): Promise<Settling> => {
  const { clock, hot, mailbox } = context;
  // Judged before it is capped, like its envelope was: the two must not come to different rules.
  const rule = await judge(hot.rules, factsOf(whole), () => clock.sleep(0));
  // An operator who asks for a message again wants it sent, whatever the rules would filter.
  if (rule?.drop === true && notes.sentBefore === null) {
    return filtered(context, capMessage(whole, context.limits), "rule_drop");
  }
  const message = capMessage(await offloadMessage(context, whole), context.limits);
  const startedMs = clock.monoMs();
  const payload = buildPayload(message, rule);
  const { uid } = message;
  const keyed = { eventId: message.eventId, uid, payload };
  const ends = await Promise.all(
    destinationsOf(hot.webhook, rule).map(async (destination) => {
      const sentBefore = notes.sentBefore?.get(destination.id) ?? 0;
      const end = await firstAttempt(context, { ...keyed, sentBefore }, destination);
      return [destination.id, end] as const;
    }),
  );
  const pairs = Object.fromEntries(ends.map(([id, { state }]) => [id, state]));
  const deliver = Math.round((clock.monoMs() - startedMs) * 10) / 10;
  const receipt: Receipt = {
    ...receiptOf(context, message, {
      outcome: outcomeOfPairs(Object.values(pairs)),
      reason: message.unreadable,
    }),
    reduced: message.unreadable !== null,
    pairs,
    steps: { ...notes.steps, deliver },
    todo: mailbox.afterDelivery.kind !== "none" && message.unreadable === null,
  };
  return {
    uid,
    receipt,
    spool: ends.flatMap(([, { entry }]) => (entry === null ? [] : [entry])),
    claim: notes.claim,
    tail: tailOf(context, whole),
    shown: shownOf(context, message),
  };
};
