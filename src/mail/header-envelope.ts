// An envelope out of the first octets of a header, for messages whose ENVELOPE the server or the
// library could not give, or gave with some of its text lost. Tolerant throughout: whatever cannot be
// read becomes null or an empty list. The orchestrator calls it for reduced events, the session adapter
// to repair what bare octets of an old charset have garbled.
import libmime from "libmime";
import { isoFromMs, numberFromDay } from "../core/calendar.ts";
import type { Address, Envelope } from "../core/message.ts";
import { decodeText } from "./decode.ts";

/** Of a header at most this much is read: encoded words take up to two milliseconds a KiB. */
const MAX_HEADER_BYTES = 64 * 1024;

/** Octets that stand bare in a quoted encoded word become escapes: they are in the word's charset. */
const withEscapedWords = (raw: Uint8Array): Buffer => {
  const text = Buffer.from(raw).toString("latin1");
  const escaped = text.replace(/=\?[^?\s]+\?q\?[^?]*\?=/gi, (word) =>
    word.replace(/[\x80-\xff]/g, (octet) => `=${octet.charCodeAt(0).toString(16).toUpperCase()}`),
  );
  return Buffer.from(escaped, "latin1");
};

/** First value of each header, unfolded, names in lower case (RFC 5322 section 2.2). */
const headersOf = (raw: Uint8Array): ReadonlyMap<string, string> => {
  const headers = new Map<string, string>();
  const bytes = withEscapedWords(raw.subarray(0, MAX_HEADER_BYTES));
  const head = decodeText(bytes, "utf-8", true).split(/(?:^|\r?\n)\r?\n/, 1)[0] ?? "";
  for (const line of head.replace(/\r?\n[ \t]+/g, " ").split(/\r?\n/)) {
    const colon = line.indexOf(":");
    const name = line.slice(0, Math.max(colon, 0)).trim().toLowerCase();
    if (name !== "" && !headers.has(name)) headers.set(name, line.slice(colon + 1).trim());
  }
  return headers;
};

const decodeWords = (text: string): string => libmime.decodeWords(text).toWellFormed().trim();

/** What has been read of one address: words and quoted words, what stood in brackets, comments. */
interface AddressDraft {
  words: string;
  angle: string | null;
  comment: string;
}

/** One "@" or more between other characters and no blank; no pattern, which would try every "@". */
const isAddress = (text: string): boolean => !/\s/.test(text) && text.slice(1, -1).includes("@");

const finished = ({ words, angle, comment }: AddressDraft): Address | null => {
  const bare = words.replace(/\s+/g, " ").trim();
  const isBareAddress = angle === null && isAddress(bare);
  const address = (isBareAddress ? bare : (angle ?? "")).replace(/\s+/g, "");
  // Encoded words are decoded last, so that nothing they hide counts as an address.
  const name = decodeWords(isBareAddress || bare === "" ? comment : bare);
  if (address === "" && name === "") return null;
  return { name: name === "" ? null : name, address: address === "" ? null : address };
};

/** The end of the comment that opens at `start`, nested ones included (RFC 5322 section 3.2.2). */
const commentEnd = (text: string, start: number): number => {
  let depth = 0;
  for (let i = start; i < text.length; i += 1) {
    const char = text.charAt(i);
    if (char === "\\") i += 1;
    else if (char === "(") depth += 1;
    else if (char === ")" && (depth -= 1) === 0) return i;
  }
  return text.length;
};

const quotedEnd = (text: string, start: number): number => {
  for (let i = start + 1; i < text.length; i += 1) {
    if (text.charAt(i) === "\\") i += 1;
    else if (text.charAt(i) === '"') return i;
  }
  return text.length;
};

const unescaped = (text: string): string => text.replace(/\\([\s\S])/g, "$1");

/** An address list of RFC 5322 section 3.4; the members of groups without the groups' names. */
const addressesOf = (text: string | undefined): Address[] => {
  const list: Address[] = [];
  if (text === undefined) return list;
  const empty: AddressDraft = { words: "", angle: null, comment: "" };
  let draft = { ...empty };
  const close = (): void => {
    const address = finished(draft);
    if (address !== null) list.push(address);
    draft = { ...empty };
  };
  for (let i = 0; i < text.length; i += 1) {
    const char = text.charAt(i);
    if (char === '"') {
      const end = quotedEnd(text, i);
      draft.words += unescaped(text.slice(i + 1, end));
      i = end;
    } else if (char === "(") {
      const end = commentEnd(text, i);
      draft.comment += unescaped(text.slice(i + 1, end));
      i = end;
    } else if (char === "<") {
      const found = text.indexOf(">", i);
      const end = found === -1 ? text.length : found;
      // Of several the last one counts: what stands before it is there to be taken for the sender.
      draft.angle = text.slice(i + 1, end);
      i = end;
    } else if (char === "," || char === ";") close();
    else if (char === ":") draft = { ...empty };
    else draft.words += char;
  }
  close();
  return list;
};

const MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/** Hours from UTC of the zones that RFC 5322 section 4.3 still knows; any other name means UTC. */
const ZONE_HOURS: ReadonlyMap<string, number> = new Map([
  ["edt", -4],
  ["est", -5],
  ["cdt", -5],
  ["cst", -6],
  ["mdt", -6],
  ["mst", -7],
  ["pdt", -7],
  ["pst", -8],
]);

const DATE =
  /^(?:[a-z]+,? *)?(\d{1,2})[ -]+([a-z]{3})[a-z]*[ -]+(\d{2,4}) +(\d{1,2}):(\d{2})(?::(\d{2}))?(?: *([+-])(\d{2}):?(\d{2})| *([a-z]+))?/i;

const fullYear = (digits: string): number => {
  const year = Number(digits);
  if (digits.length === 4) return year;
  return digits.length === 2 && year < 50 ? 2000 + year : 1900 + year;
};

/** The years 0 to 9999, which ISO 8601 writes in four digits. */
const FIRST_MS = numberFromDay({ year: 0, month: 1, day: 1 }) * 86_400_000;
const END_MS = numberFromDay({ year: 10_000, month: 1, day: 1 }) * 86_400_000;

/**
 * A Date header as ISO 8601; null when it cannot be read (RFC 5322 sections 3.3 and 4.3), or when its
 * zone moves it out of the years 0 to 9999.
 */
export const isoFromDateHeader = (text: string | undefined): string | null => {
  const match = DATE.exec((text ?? "").slice(0, 200).replace(/\s+/g, " ").trim());
  if (match === null) return null;
  const number = (group: number): number => Number(match[group] ?? 0);
  const month = MONTHS.indexOf((match[2] ?? "").toLowerCase()) + 1;
  const [year, day] = [fullYear(match[3] ?? ""), number(1)];
  const [hour, minute, second] = [number(4), number(5), number(6)];
  if (month === 0 || hour > 23 || minute > 59 || second > 60 || number(9) > 59) return null;
  const first = numberFromDay({ year, month, day: 1 });
  const next = numberFromDay(
    month === 12 ? { year: year + 1, month: 1, day: 1 } : { year, month: month + 1, day: 1 },
  );
  if (day < 1 || day > next - first) return null;
  const named = (ZONE_HOURS.get((match[10] ?? "").toLowerCase()) ?? 0) * 60;
  const signed = (number(8) * 60 + number(9)) * (match[7] === "-" ? -1 : 1);
  const minutes = (first + day - 1) * 1440 + hour * 60 + minute - named - signed;
  const ms = (minutes * 60 + second) * 1000;
  return ms < FIRST_MS || ms >= END_MS ? null : isoFromMs(ms);
};

/**
 * The envelope that a header tells, however much of it there is; all empty for no header at all. As in
 * an ENVELOPE of IMAP (RFC 9051 section 7.5.2), From stands in for a missing Sender or Reply-To.
 * Never throws.
 */
export const envelopeFromHeader = (raw: Uint8Array): Envelope => {
  const headers = headersOf(raw);
  const text = (name: string): string | null => headers.get(name) || null;
  const subject = text("subject");
  const from = addressesOf(headers.get("from"));
  const orFrom = (list: Address[]): Address[] => (list.length > 0 ? list : from);
  return {
    messageId: text("message-id"),
    inReplyTo: text("in-reply-to"),
    subject: subject === null ? null : decodeWords(subject),
    date: isoFromDateHeader(headers.get("date")),
    from,
    sender: orFrom(addressesOf(headers.get("sender"))),
    replyTo: orFrom(addressesOf(headers.get("reply-to"))),
    to: addressesOf(headers.get("to")),
    cc: addressesOf(headers.get("cc")),
  };
};

/** What bare octets leave of a text taken for UTF-8; the second inside an encoded word of Latin-1. */
const GARBLE = /\ufffd|\u00ef\u00bf\u00bd/;

const isGarbledText = (text: string | null): text is string => text !== null && GARBLE.test(text);

/**
 * Was text of the envelope written in octets that the library could not read? It takes all of it for
 * UTF-8, and what is none, as in old mail with bare Latin-1 in its subject, is lost to it.
 */
export const isGarbled = ({ subject, from, sender, replyTo, to, cc }: Envelope): boolean =>
  [subject, ...[from, sender, replyTo, to, cc].flat().map(({ name }) => name)].some(isGarbledText);

/** `raw` without its last header, of which a cut may have taken the end. */
const withoutLast = (raw: Uint8Array): Uint8Array => {
  const isStart = (octet: number | undefined): boolean =>
    octet !== undefined && !/\s/.test(String.fromCharCode(octet));
  let end = raw.length;
  do end = raw.lastIndexOf(0x0a, end - 1);
  while (end > 0 && !isStart(raw[end + 1]));
  return raw.subarray(0, Math.max(end, 0));
};

const repairedNames = (told: readonly Address[], read: readonly Address[]): readonly Address[] =>
  told.map((entry, index) => {
    if (!isGarbledText(entry.name)) return entry;
    const isSame = ({ address }: Address): boolean =>
      address !== null && address.toLowerCase() === entry.address?.toLowerCase();
    const there = told.length === read.length ? read[index] : undefined;
    const found = there !== undefined && isSame(there) ? there : (read.find(isSame) ?? there);
    return { ...entry, name: found?.name ?? entry.name };
  });

/**
 * The server's envelope with its garbled subject and names read from the header instead, each only
 * where the header has it. A name is found by its address, else by its place in a list of the same
 * length. Everything else stays as the server told it: who sent a message decides what becomes of it,
 * and is never read here. `cut` says that `raw` is not the whole header.
 */
export const repairEnvelope = (told: Envelope, raw: Uint8Array, cut: boolean): Envelope => {
  const read = envelopeFromHeader(cut ? withoutLast(raw) : raw);
  return {
    ...told,
    subject: isGarbledText(told.subject) ? (read.subject ?? told.subject) : told.subject,
    from: repairedNames(told.from, read.from),
    sender: repairedNames(told.sender, read.sender),
    replyTo: repairedNames(told.replyTo, read.replyTo),
    to: repairedNames(told.to, read.to),
    cc: repairedNames(told.cc, read.cc),
  };
};
