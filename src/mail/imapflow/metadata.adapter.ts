// A row of imapflow's FETCH as the program's MessageMetadata. Promises to invent nothing: what the
// server did not send, or sent unreadably, is null or empty. An adapter for its types alone, it
// touches neither network nor clock. Called by the session adapter.
import type {
  FetchMessageObject,
  MessageAddressObject,
  MessageEnvelopeObject,
  MessageStructureObject,
} from "imapflow";
import libmime from "libmime";
import type { Address, BodyNode, Envelope, MessageMetadata } from "../../core/message.ts";
import { isoFromDateHeader } from "../header-envelope.ts";
import type { BareMessage } from "../session.ts";

/** Nodes below this depth are left out; imapflow itself reads no more than 100. */
const MAX_DEPTH = 200;

/** Of one header at most this much is decoded. */
const MAX_HEADER_CHARS = 16_384;

/** Of all headers together at most this much is looked at, in whatever form the server sends them. */
const MAX_HEADERS_BYTES = 64 * 1024;

const textOrNull = (value: string | undefined): string | null =>
  value === undefined || value === "" ? null : value;

/** Dovecot writes these where an address has no domain or no mailbox; the message never did. */
const placeholder = (address: string): boolean =>
  address.endsWith("@MISSING_DOMAIN") || address.startsWith("MISSING_MAILBOX@");

/** imapflow gives the name of a group ("undisclosed-recipients:;") an empty address: nobody's. */
const isGroup = ({ address }: MessageAddressObject): boolean => address === "";

const addresses = (list: readonly MessageAddressObject[] | undefined): Address[] =>
  (list ?? []).flatMap((entry) => {
    if (isGroup(entry)) return [];
    const { name } = entry;
    const given = textOrNull(entry.address);
    if (given === null || !placeholder(given)) return { name: textOrNull(name), address: given };
    const [mailbox] = given.split("@MISSING_DOMAIN");
    return {
      name: textOrNull(name) ?? (mailbox === given ? null : (mailbox ?? null)),
      address: null,
    };
  });

const envelopeOf = (envelope: MessageEnvelopeObject, date: string | undefined): Envelope => ({
  messageId: textOrNull(envelope.messageId),
  inReplyTo: textOrNull(envelope.inReplyTo),
  subject: textOrNull(envelope.subject),
  // Not imapflow's: the engine's parser makes a date of "meeting 5" and reads no zone as the host's.
  date: isoFromDateHeader(date),
  from: addresses(envelope.from),
  sender: addresses(envelope.sender),
  replyTo: addresses(envelope.replyTo),
  to: addresses(envelope.to),
  cc: addresses(envelope.cc),
});

const isType = (type: string): boolean => /^[^/\s]+\/[^/\s]+$/.test(type);

type OpenNode = BodyNode & { children: BodyNode[] };

const nodeOf = (node: MessageStructureObject, isRoot: boolean): OpenNode => {
  const type = node.type.toLowerCase();
  const single = !type.startsWith("multipart/");
  const { parameters, dispositionParameters } = node;
  return {
    part: node.part ?? (isRoot && single ? "1" : ""),
    type: isType(type) ? type : "application/octet-stream",
    charset: textOrNull(parameters?.["charset"]),
    encoding: textOrNull(node.encoding)?.toLowerCase() ?? "7bit",
    sizeBytes: node.size ?? 0,
    disposition: textOrNull(node.disposition)?.toLowerCase() ?? null,
    filename: textOrNull(dispositionParameters?.["filename"]) ?? textOrNull(parameters?.["name"]),
    contentId: textOrNull(node.id),
    children: [],
  };
};

/** The tree without recursion: its depth is the sender's choice. Attached messages stay leaves. */
const structureOf = (root: MessageStructureObject): BodyNode => {
  const top = nodeOf(root, true);
  const waiting = [{ from: root, into: top, depth: 1 }];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const { from, into, depth } = next;
    if (!into.type.startsWith("multipart/") || depth >= MAX_DEPTH) continue;
    for (const child of from.childNodes ?? []) {
      const made = nodeOf(child, false);
      into.children.push(made);
      waiting.push({ from: child, into: made, depth: depth + 1 });
    }
  }
  return top;
};

/** Null for what is no structure: garbage must not look like a mail that is empty, or all attachment. */
const usableStructureOf = (told: MessageStructureObject): BodyNode | null => {
  if (!isType(told.type)) return null;
  const root = structureOf(told);
  return root.type.startsWith("multipart/") && root.children.length === 0 ? null : root;
};

/** The `wanted` headers of a block, names in lower case, values as they stand but for folding and length. */
const headersOf = (
  block: Buffer | undefined,
  wanted: (name: string) => boolean,
): Map<string, string[]> => {
  const found = new Map<string, string[]>();
  // For a message that was expunged meanwhile imapflow hands on what the server sent: NIL.
  const octets = Buffer.isBuffer(block) ? block.subarray(0, MAX_HEADERS_BYTES) : Buffer.alloc(0);
  const text = octets.toString("utf8");
  const lines = text.replaceAll(/\r?\n(?=[ \t])/g, "").split(/\r?\n/);
  for (const line of lines) {
    const colon = line.indexOf(":");
    if (colon <= 0) continue;
    const name = line.slice(0, colon).trim().toLowerCase();
    if (!wanted(name)) continue;
    const value = line
      .slice(colon + 1)
      .trim()
      .slice(0, MAX_HEADER_CHARS);
    const values = found.get(name) ?? [];
    values.push(value);
    found.set(name, values);
  }
  return found;
};

const internalDateMs = (row: FetchMessageObject): number | null => {
  const { internalDate } = row;
  if (typeof internalDate !== "object") return null;
  const ms = internalDate.getTime();
  return Number.isFinite(ms) ? ms : null;
};

/** As {@link metadataOf}; a row that our own code cannot take is no answer, and costs no other row. */
export const readableMetadataOf: typeof metadataOf = (row, wanted) => {
  try {
    return metadataOf(row, wanted);
  } catch {
    return null;
  }
};

/**
 * The row as metadata; null when it is no answer to our question (an unsolicited flag update, a
 * message that is gone). Of the headers only `wanted` are kept, names in lower case; the header
 * `date` must have been fetched for the envelope to have one.
 */
const metadataOf = (
  row: FetchMessageObject,
  wanted: ReadonlySet<string>,
): MessageMetadata | null => {
  const receivedMs = internalDateMs(row);
  if (!Number.isSafeInteger(row.uid) || receivedMs === null || row.size === undefined) return null;
  const headers = headersOf(row.headers, (name) => name === "date" || wanted.has(name));
  const date = headers.get("date")?.[0];
  return {
    uid: row.uid,
    internalDateMs: receivedMs,
    sizeBytes: row.size,
    envelope: row.envelope === undefined ? null : envelopeOf(row.envelope, date),
    structure: row.bodyStructure === undefined ? null : usableStructureOf(row.bodyStructure),
    headers: new Map(
      [...headers]
        .filter(([name]) => wanted.has(name))
        .map(([name, values]) => [name, values.map((value) => libmime.decodeWords(value))]),
    ),
  };
};

/** A row that was asked for date, size and the start of the header; null when it is no answer. */
export const bareMessageOf = (row: FetchMessageObject): BareMessage | null => {
  const receivedMs = internalDateMs(row);
  if (receivedMs === null || row.size === undefined || !row.headers) return null;
  return { internalDateMs: receivedMs, sizeBytes: row.size, header: row.headers };
};
