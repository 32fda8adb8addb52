// Sifting a batch by what the server tells before any body is read: what is filtered is never
// downloaded, what cannot be read is reduced, and a subject group is claimed by one message at a time.
import { zonedTime } from "../core/calendar.ts";
import type { Message, MessageMetadata } from "../core/message.ts";
import { factsOf } from "../rules/facts.ts";
import { gate } from "../rules/gates.ts";
import { judgeEnvelope } from "../rules/match.ts";
import { claimKey, stripReplyPrefixes, subjectGroup } from "../rules/subject-group.ts";
import type { Claim } from "../store/store.ts";
import { type DeliveryNotes, type Settling, filtered } from "./deliver-message.ts";
import type { FolderContext } from "./folder-context.ts";
import { type Wanted, messageOf, readBareMetadata, reducedMessage, wantBody } from "./read.ts";
import { givenUpReason } from "./suspects.ts";

/** How long a subject group stays claimed: into the month after next at the latest. */
const CLAIM_TTL_MS = 62 * 24 * 3_600_000;

/** After so many messages the event loop gets its turn. */
const PAUSE_EVERY = 16;

/** A batch after sifting. What is in none of these lists is postponed to the next cycle. */
export interface Sifted {
  /** Expunged before they could be read. */
  gone: number[];
  /** Filtered: settled without a webhook. */
  settled: Settling[];
  /** Sent without a body. */
  reduced: Message[];
  /** Sent once their bodies are read. */
  wanted: Wanted[];
  notes: Map<number, Omit<DeliveryNotes, "steps">>;
}

/** A message with the row it came from; `reduced` when no body will be read. */
interface Sieved {
  row: MessageMetadata;
  message: Message;
  wanted: Wanted | null;
}

const sieve = async (context: FolderContext, row: MessageMetadata): Promise<Sieved> => {
  const bare = row.envelope === null ? await readBareMetadata(context, row.uid) : null;
  const whole = { ...row, envelope: row.envelope ?? bare?.envelope ?? null };
  const wanted = wantBody(context, whole);
  const message =
    wanted === null
      ? reducedMessage(context, whole, "malformed")
      : { ...messageOf(context, whole), attachments: wanted.plan.attachments };
  return { row: whole, message, wanted };
};

/** The given-up messages of a batch, as reduced events; null stands for one that is gone. */
const givenUp = async (
  context: FolderContext,
  uids: readonly number[],
): Promise<Map<number, Sieved | null>> => {
  const sieved = new Map<number, Sieved | null>();
  for (const uid of uids) {
    const reason = givenUpReason(context.memory, uid);
    if (reason === null) continue;
    const row = await readBareMetadata(context, uid);
    const message = row && reducedMessage(context, row, reason);
    sieved.set(uid, row && message && { row, message, wanted: null });
  }
  return sieved;
};

/** The claim a message needs before it may be sent; null when groups are not looked at. */
const claimOf = (context: FolderContext, message: Message): Claim | null => {
  const { hot, hmacKey, clock, mailbox } = context;
  const subject = message.envelope.subject ?? "";
  // Messages without a subject have nothing in common.
  const isGrouped = hot.polling.subjectGroupDedup && stripReplyPrefixes(subject).trim() !== "";
  if (!isGrouped) return null;
  const { year, month } = zonedTime(message.internalDateMs, hot.polling.timezone);
  const monthKey = `${year}-${String(month).padStart(2, "0")}`;
  const group = subjectGroup(subject);
  return {
    key: claimKey({ hmacKey, mailbox: mailbox.id, monthKey, group }),
    eventId: message.eventId,
    expiresMs: clock.wallMs() + CLAIM_TTL_MS,
  };
};

/** Why a message is settled without a webhook, as far as its envelope tells. */
const filterReason = (context: FolderContext, message: Message): string | null => {
  const { hot } = context;
  const reason = gate(hot.polling, message.envelope);
  if (reason !== null) return reason;
  const judgement = judgeEnvelope(hot.rules, factsOf(message));
  return judgement.kind === "matched" && judgement.rule.drop ? "rule_drop" : null;
};

/** Attempts made before, by destination, for a message that is sent again. */
const attemptsBefore = async (
  context: FolderContext,
  eventId: string,
): Promise<ReadonlyMap<string, number>> => {
  const receipt = await context.store.readReceipt(eventId);
  const pairs = Object.entries(receipt?.pairs ?? {});
  return new Map(pairs.map(([id, { attempts }]) => [id, attempts]));
};

/**
 * Sifts a batch in the order of its UIDs. `forced`: an operator asked for these messages, so nothing
 * filters them. A message whose subject group another of this batch is about to claim is postponed,
 * because that one may yet come to nothing.
 */
export const sift = async (
  context: FolderContext,
  batch: { uids: readonly number[]; rows: readonly MessageMetadata[]; forced: boolean },
): Promise<Sifted> => {
  const { uids, rows, forced } = batch;
  const lost = await givenUp(context, uids);
  const sieved = [...lost.values()].filter((one) => one !== null);
  for (const row of rows) sieved.push(await sieve(context, row));
  const gone = [...lost].flatMap(([uid, one]) => (one === null ? [uid] : []));
  const sifted: Sifted = { gone, settled: [], reduced: [], wanted: [], notes: new Map() };
  sieved.sort((a, b) => a.row.uid - b.row.uid);
  const claims = new Map(sieved.map((one) => [one, forced ? null : claimOf(context, one.message)]));
  const keys = [...claims.values()].flatMap((claim) => (claim === null ? [] : [claim.key]));
  const taken =
    keys.length === 0
      ? new Map<string, string>()
      : await context.store.readClaims(keys, context.clock.wallMs());
  const claiming = new Set<string>();
  for (const [index, one] of sieved.entries()) {
    // Many rules over a whole batch must not hold the event loop in one turn.
    if (index % PAUSE_EVERY === PAUSE_EVERY - 1) await context.clock.sleep(0);
    const { message, wanted } = one;
    const claim = claims.get(one) ?? null;
    const reason = forced ? null : filterReason(context, message);
    const holder = claim === null ? undefined : taken.get(claim.key);
    if (reason !== null) sifted.settled.push(filtered(context, message, reason));
    else if (holder !== undefined && holder !== message.eventId) {
      sifted.settled.push(filtered(context, message, "subject_group"));
    } else if (claim === null || !claiming.has(claim.key)) {
      if (claim !== null) claiming.add(claim.key);
      const sentBefore = forced ? await attemptsBefore(context, message.eventId) : null;
      sifted.notes.set(message.uid, { claim, sentBefore });
      if (wanted === null) sifted.reduced.push(message);
      else sifted.wanted.push(wanted);
    }
  }
  return sifted;
};
