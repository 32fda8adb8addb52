// Sifting a batch by what the server tells before any body is read: what is filtered is never
// downloaded, what cannot be read is reduced, and a subject group is claimed by one message at a time.
import { zonedTime } from "../../core/calendar.ts";
import { AppError, isAbort } from "../../core/errors.ts";
import type { Message, MessageMetadata, Unreadable } from "../../core/message.ts";
import { factsOf } from "../../rules/facts.ts";
import { gate } from "../../rules/gates.ts";
import { judgeEnvelope } from "../../rules/match.ts";
import { claimKey, stripReplyPrefixes, subjectGroup } from "../../rules/subject-group.ts";
import type { Claim } from "../../store/store.ts";
import { type DeliveryNotes, type Settling, filtered } from "../deliver-message.ts";
import type { FolderContext } from "../folder-context.ts";
import { type Wanted, messageOf, readHeader, reducedMessage, wantBody } from "./read.ts";
import { fault, givenUpReason } from "./suspects.ts";

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
  /** Sent once they are read from their octets, because their structure cannot be used. */
  raw: MessageMetadata[];
  /** Sent once their bodies are read. */
  wanted: Wanted[];
  notes: Map<number, Omit<DeliveryNotes, "steps">>;
}

/** How the body of a message will be read: by its structure, from its octets, or not at all. */
type Reading = { kind: "parts"; wanted: Wanted } | { kind: "raw" } | { kind: "none" };

/** A message with the row it came from. */
interface Sieved {
  row: MessageMetadata;
  message: Message;
  reading: Reading;
}

/** The message of a row; null when it is gone. */
const sieve = async (context: FolderContext, row: MessageMetadata): Promise<Sieved | null> => {
  let { envelope } = row;
  // A header that cannot be read ended the connection: then there is none to read octets from.
  let otherwise: Reading = { kind: "raw" };
  if (envelope === null) {
    const header = await readHeader(context, row.uid);
    if (header.kind === "gone") return null;
    if (header.kind === "unreadable") otherwise = { kind: "none" };
    envelope = header.metadata.envelope;
  }
  const whole = { ...row, envelope };
  const wanted = wantBody(context, whole);
  if (wanted === null) {
    const message = reducedMessage(context, whole, "malformed");
    return { row: whole, message, reading: otherwise };
  }
  const message = { ...messageOf(context, whole), attachments: wanted.plan.attachments };
  return { row: whole, message, reading: { kind: "parts", wanted } };
};

/** A given-up message, as a reduced event unless its octets can be read; null when it is gone. */
const sieveGivenUp = async (
  context: FolderContext,
  uid: number,
  reason: Unreadable,
): Promise<Sieved | null> => {
  const header = await readHeader(context, uid);
  if (header.kind === "gone") return null;
  const { metadata: row } = header;
  // One that ran late or ended the process would do so again, whichever way it is read.
  const isRead = reason === "malformed" && header.kind === "read";
  const reading: Reading = { kind: isRead ? "raw" : "none" };
  return { row, message: reducedMessage(context, row, reason), reading };
};

/** All messages of a batch in the order of their UIDs, and those that are gone. */
const sieveAll = async (
  context: FolderContext,
  { uids, rows }: { uids: readonly number[]; rows: readonly MessageMetadata[] },
): Promise<{ sieved: Sieved[]; gone: number[] }> => {
  const byUid = new Map(rows.map((row) => [row.uid, row]));
  const sieved: Sieved[] = [];
  const gone: number[] = [];
  for (const uid of uids) {
    const reason = givenUpReason(context.memory, uid);
    const row = byUid.get(uid);
    if (reason === null && row === undefined) continue;
    try {
      const one =
        reason !== null
          ? await sieveGivenUp(context, uid, reason)
          : row && (await sieve(context, row));
      if (one) sieved.push(one);
      else gone.push(uid);
    } catch (error) {
      if (error instanceof AppError || isAbort(error)) throw error;
      // What our own code cannot take costs only this message.
      fault(context, uid, error);
    }
  }
  return { sieved: sieved.toSorted((a, b) => a.row.uid - b.row.uid), gone };
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
const filterReason = (context: FolderContext, { message }: Sieved): string | null => {
  const { hot } = context;
  // Of a message whose sender could not be read nobody can say that it is not of interest.
  const isSenderUnread = message.unreadable !== null && message.envelope.from.length === 0;
  const reason = isSenderUnread ? null : gate(hot.polling, message.envelope);
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
  const { forced } = batch;
  const { sieved, gone } = await sieveAll(context, batch);
  const sifted: Sifted = { gone, settled: [], reduced: [], raw: [], wanted: [], notes: new Map() };
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
    const { row, message, reading } = one;
    const claim = claims.get(one) ?? null;
    const reason = forced ? null : filterReason(context, one);
    const holder = claim === null ? undefined : taken.get(claim.key);
    if (reason !== null) sifted.settled.push(filtered(context, message, reason));
    else if (holder !== undefined && holder !== message.eventId) {
      sifted.settled.push(filtered(context, message, "subject_group"));
    } else if (claim === null || !claiming.has(claim.key)) {
      if (claim !== null) claiming.add(claim.key);
      const sentBefore = forced ? await attemptsBefore(context, message.eventId) : null;
      sifted.notes.set(message.uid, { claim, sentBefore });
      if (reading.kind === "parts") sifted.wanted.push(reading.wanted);
      else if (reading.kind === "raw") sifted.raw.push(row);
      else sifted.reduced.push(message);
    }
  }
  return sifted;
};
