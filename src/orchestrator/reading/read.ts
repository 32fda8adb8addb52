// Reading messages: metadata first, then of each wanted message only the text parts, only as far as
// the limits go. What the server no longer has is told apart from what it would not show.
import { DeadlineError, MailError } from "../../core/errors.ts";
import { eventId } from "../../core/event-id.ts";
import type {
  Attachment,
  Message,
  MessageMetadata,
  Truncation,
  Unreadable,
} from "../../core/message.ts";
import { uidSetOf } from "../../core/uid-set.ts";
import { type ReceivedPart, assembleBody, firstRanges, moreRanges } from "../../mail/body.ts";
import type { ReadingDeadline } from "../../mail/connection.ts";
import { type FetchPlan, planFetch } from "../../mail/fetch-plan.ts";
import { envelopeFromHeader } from "../../mail/header-envelope.ts";
import { extractLinks } from "../../mail/links.ts";
import type { MailSession, PartRange, PartsReceived } from "../../mail/session.ts";
import type { FolderContext } from "../folder-context.ts";
import { fault, headerFailed, serverIsWell, strike, suspecting } from "./suspects.ts";

/** Of a message that cannot be read otherwise, this much of its header is. */
const HEADER_BYTES = 16 * 1024;

/** A message whose body is wanted. */
export interface Wanted {
  metadata: MessageMetadata;
  plan: FetchPlan;
  ranges: readonly PartRange[];
  /** Octets it may bring, before decoding. */
  expectedBytes: number;
}

/** How long reading so many messages may take, and how slow it may be. */
export const deadlineOf = ({ limits }: FolderContext, messages: number): ReadingDeadline => ({
  totalMs: limits.messageTimeoutMs * messages,
  minBytesPerSecond: limits.minBytesPerSecond,
});

/** Which of `uids` the server lists now. */
export const listedOf = async (
  { connection }: FolderContext,
  uids: readonly number[],
): Promise<ReadonlySet<number>> =>
  new Set(
    await connection.command("the search for missing messages", (session) =>
      session.searchUids(uidSetOf(uids)),
    ),
  );

/**
 * Which of the messages that a FETCH did not bring are gone: a UID SEARCH does not list them either.
 * The others are held against, as if they had ended the command.
 */
export const sortMissing = async (
  context: FolderContext,
  missing: readonly number[],
): Promise<readonly number[]> => {
  if (missing.length === 0) return [];
  const there = await listedOf(context, missing);
  const unshown = missing.filter((uid) => there.has(uid));
  if (unshown.length > 0) strike(context.memory, unshown, "closed");
  return missing.filter((uid) => !there.has(uid));
};

/** Metadata of those of `uids` that the server shows. Throws `SuspectError`. */
export const readMetadata = async (
  context: FolderContext,
  uids: readonly number[],
  headers: readonly string[],
): Promise<readonly MessageMetadata[]> => {
  const [first = 0] = uids;
  const isSuspect = uids.length === 1 && context.memory.suspects.has(first);
  const fetch = async (session: MailSession): Promise<readonly MessageMetadata[]> => {
    if (!isSuspect) return session.fetchMetadata(uids, headers);
    const suspect = await session.fetchSuspect(first, headers);
    return suspect === null ? [] : [suspect];
  };
  const deadline = deadlineOf(context, uids.length);
  const rows = await suspecting(context, uids, () =>
    context.connection.command("reading metadata", fetch, deadline),
  );
  // While a backlog is worked off this is the proof that the folder is seen.
  if (rows.length > 0) context.memory.lastProofMs = context.clock.wallMs();
  return rows;
};

/** The message a metadata row stands for, without anything of its body yet. */
export const messageOf = (context: FolderContext, metadata: MessageMetadata): Message => {
  const { mailbox, memory } = context;
  const uidvalidity = memory.cursor?.uidvalidity ?? "0";
  const key = { mailbox: mailbox.id, folder: mailbox.folder, uidvalidity, uid: metadata.uid };
  return {
    ...key,
    eventId: eventId(key),
    internalDateMs: metadata.internalDateMs,
    sizeBytes: metadata.sizeBytes,
    envelope: metadata.envelope ?? envelopeFromHeader(new Uint8Array()),
    headers: metadata.headers,
    text: null,
    html: null,
    links: [],
    attachments: [],
    truncated: [],
    unreadable: null,
  };
};

/** The reduced event of a message: what its metadata or its header's first octets tell, no body. */
export const reducedMessage = (
  context: FolderContext,
  metadata: MessageMetadata,
  unreadable: Unreadable,
): Message => ({ ...messageOf(context, metadata), unreadable });

/** A header that was read, or why there is none. */
export type HeaderReading =
  | { kind: "read"; metadata: MessageMetadata }
  | { kind: "unreadable"; metadata: MessageMetadata }
  | { kind: "gone" };

/**
 * Metadata made from the header's first octets, for a message whose ENVELOPE cannot be had. A failure
 * escapes as it is, so that the loop backs off; only when it came often enough the message is
 * `unreadable`, and goes out without an envelope rather than never.
 */
export const readHeader = async (context: FolderContext, uid: number): Promise<HeaderReading> => {
  const { connection, memory, abort } = context;
  const bare = { uid, internalDateMs: 0, sizeBytes: 0, structure: null, headers: new Map() };
  const unreadable = { kind: "unreadable", metadata: { ...bare, envelope: null } } as const;
  try {
    const found = await connection.command("reading a header", (session) =>
      session.fetchHeader(uid, HEADER_BYTES),
    );
    if (found === null) {
      if (!(await listedOf(context, [uid])).has(uid)) return { kind: "gone" };
      throw new MailError("refused", "NOT_SHOWN");
    }
    const { internalDateMs, sizeBytes, header } = found;
    const envelope = envelopeFromHeader(header);
    return { kind: "read", metadata: { ...bare, internalDateMs, sizeBytes, envelope } };
  } catch (error) {
    const isOfMessage =
      error instanceof DeadlineError ||
      (error instanceof MailError && ["closed", "refused"].includes(error.failure));
    if (isOfMessage && !abort.aborted && headerFailed(memory, uid)) return unreadable;
    throw error;
  }
};

/** What of the body to fetch; `null` when its structure cannot be used. */
export const wantBody = (context: FolderContext, metadata: MessageMetadata): Wanted | null => {
  if (metadata.structure === null) return null;
  const plan = planFetch(metadata.structure, context.limits);
  if (plan.tooDeep) return null;
  const ranges = firstRanges(plan, context.limits);
  const expectedBytes = ranges.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0);
  return { metadata, plan, ranges, expectedBytes };
};

/** What was read of a message besides its metadata, whichever way it was read. */
export interface Content {
  text: string | null;
  html: string | null;
  attachments: readonly Attachment[];
  /** What of it is not whole. */
  truncated: readonly Truncation[];
}

/** The message out of its metadata and its content; tells the log when the HTML is not whole. */
export const wholeMessage = (
  context: FolderContext,
  metadata: MessageMetadata,
  { text, html, attachments, truncated }: Content,
): Message => {
  const { limits, log, metrics, mailbox } = context;
  // A link that the cap cuts in two must not go out as half a link.
  const cut = [truncated.includes("text"), truncated.includes("html")];
  const found = extractLinks([text, html], limits.maxLinks, cut);
  if (html !== null && truncated.includes("html")) {
    metrics.htmlTruncated();
    log("message.html_truncated", {
      mailbox: mailbox.id,
      uid: metadata.uid,
      limit_bytes: limits.maxHtmlBytes,
    });
  }
  return {
    ...messageOf(context, metadata),
    text,
    html,
    links: found.links,
    attachments,
    truncated: found.truncated ? [...truncated, "links"] : truncated,
  };
};

/** The whole message, from the parts that were read. */
const assemble = (
  context: FolderContext,
  { metadata, plan }: Wanted,
  parts: ReadonlyMap<string, ReceivedPart>,
): Message => {
  const { text, html, truncated } = assembleBody(plan, parts, context.limits);
  const { attachments } = plan;
  const cut = [...plan.truncated, ...truncated];
  return wholeMessage(context, metadata, { text, html, attachments, truncated: cut });
};

/** What has arrived of a part: appended to what was there. */
const append = (known: ReceivedPart | undefined, raw: Uint8Array, asked: number): ReceivedPart => ({
  raw: known === undefined ? raw : Buffer.concat([known.raw, raw]),
  complete: raw.length < asked,
});

/** One round of reading: the pieces asked for now, and what arrived in earlier rounds. */
interface Reading {
  wanted: Wanted;
  ranges: readonly PartRange[];
  parts: Map<string, ReceivedPart>;
}

/** Puts the message together and hands it on; what our own code cannot take costs only this one. */
const hand = (
  context: FolderContext,
  { wanted, parts }: Reading,
  ready: (message: Message) => void,
): void => {
  let message: Message;
  try {
    message = assemble(context, wanted, parts);
  } catch (error) {
    fault(context, wanted.metadata.uid, error);
    return;
  }
  ready(message);
};

const readRound = async (
  context: FolderContext,
  round: readonly Reading[],
  ready: (message: Message) => void,
): Promise<{ again: Reading[]; missing: number[] }> => {
  const byUid = new Map(round.map((reading) => [reading.wanted.metadata.uid, reading]));
  const again: Reading[] = [];
  const silent: number[] = [];
  const take: PartsReceived = (uid, arrived) => {
    const reading = byUid.get(uid);
    if (reading === undefined) return;
    byUid.delete(uid);
    for (const { part, lengthBytes } of reading.ranges) {
      const raw = arrived.get(part) ?? new Uint8Array();
      reading.parts.set(part, append(reading.parts.get(part), raw, lengthBytes));
    }
    const ranges = moreRanges(reading.wanted.plan, reading.parts, context.limits);
    context.memory.progress += 1;
    if (ranges.length > 0) {
      again.push({ ...reading, ranges });
      return;
    }
    serverIsWell(context.memory);
    hand(context, reading, ready);
    // The round lives on until its last message; the octets of those before must not.
    reading.parts.clear();
  };
  const received: PartsReceived = (uid, arrived) => {
    if (arrived.size > 0) take(uid, arrived);
    else silent.push(uid);
  };
  const uids = [...byUid.keys()];
  const requests = round.map(({ wanted, ranges }) => ({ uid: wanted.metadata.uid, ranges }));
  await suspecting(context, uids, () =>
    context.connection.command(
      "reading bodies",
      (session) => session.fetchParts(requests, received),
      deadlineOf(context, uids.length),
    ),
  );
  // NIL for every part means one that is empty or a message that was expunged since it was listed.
  if (silent.length > 0) {
    for (const uid of await listedOf(context, silent)) take(uid, new Map());
  }
  return { again, missing: [...byUid.keys()] };
};

/**
 * Reads the bodies of `wanted` and hands each message to `ready` as soon as it is whole. Resolves with
 * the UIDs that the server did not bring. Throws `SuspectError`.
 */
export const readBodies = async (
  context: FolderContext,
  wanted: readonly Wanted[],
  ready: (message: Message) => void,
): Promise<readonly number[]> => {
  const missing: number[] = [];
  let round: Reading[] = [];
  for (const one of wanted) {
    if (one.ranges.length === 0) {
      hand(context, { wanted: one, ranges: [], parts: new Map() }, ready);
    } else round.push({ wanted: one, ranges: one.ranges, parts: new Map() });
  }
  while (round.length > 0) {
    // Rounds after the first are for encodings that decoded to less than was foreseen.
    const result = await readRound(context, round, ready);
    missing.push(...result.missing);
    round = result.again;
  }
  return missing;
};
