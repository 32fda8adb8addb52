// The body of a message out of its text parts: which octets to ask for, and what text they make. The
// caps count decoded bytes over all parts of a kind, and they work on the wire: what lies beyond them
// is never asked for. Pure; the orchestrator calls it between fetches.
import type { Limits } from "../core/limits.ts";
import type { Truncation } from "../core/message.ts";
import { decodeBytes, decodeText, encodedBytesFor, mostEncodedPerDecoded } from "./decode.ts";
import type { FetchPlan, TextPart } from "./fetch-plan.ts";
import type { PartRange } from "./session.ts";

/** What has arrived of a part. */
export interface ReceivedPart {
  /** From its first octet on, as transferred. */
  raw: Uint8Array;
  /** It brought less than was asked for, so there is no more of it. */
  complete: boolean;
}

/** The text of a message. `text` and `html` are null when it has no part of that kind. */
export interface Body {
  text: string | null;
  html: string | null;
  /** Which kinds a cap cut; those that the plan cut are named there. */
  truncated: readonly Truncation[];
  /** The HTML is not whole, whoever cut it: one warning a message. */
  htmlTruncated: boolean;
}

const CHUNK_BYTES = 1024 * 1024;
const SMALLEST_ASK_BYTES = 16 * 1024;
/** So that a part which decodes to nothing does not cost a round trip per handful of octets. */
const SMALLEST_CONTINUATION_BYTES = 64 * 1024;

const capOf = (kind: TextPart["kind"], limits: Limits): number =>
  kind === "html" ? limits.maxHtmlBytes : limits.maxTextBytes;

/** Room for the whole part and one more, so that its end is seen; messages of a size ask alike. */
const roomFor = (sizeBytes: number): number =>
  2 ** Math.ceil(Math.log2(Math.max(sizeBytes + 1, SMALLEST_ASK_BYTES)));

/** The next octets of every part of a kind that the cap still has room for. */
const rangesOf = (
  parts: readonly TextPart[],
  received: ReadonlyMap<string, ReceivedPart>,
  cap: number,
): PartRange[] => {
  const isOpen = ({ part }: TextPart): boolean => received.get(part)?.complete !== true;
  if (!parts.some(isOpen)) return [];
  const ranges: PartRange[] = [];
  // In decoded bytes, because what octets may cross the wire for each depends on the encoding.
  let budget = Math.max(cap, SMALLEST_ASK_BYTES);
  for (const { part, encoding } of parts) {
    budget -= (received.get(part)?.raw.length ?? 0) / mostEncodedPerDecoded(encoding);
  }
  let room = cap;
  for (const textPart of parts) {
    const { part, encoding, sizeBytes } = textPart;
    const have = received.get(part);
    const offsetBytes = have?.raw.length ?? 0;
    if (have !== undefined) room -= decodeBytes(have.raw, encoding).length;
    if (room < 0) break;
    if (!isOpen(textPart)) continue;
    // One byte over the cap is wanted too: it tells a cut text from one that just fits.
    const enough = encodedBytesFor(encoding, room + 1);
    const atLeast = offsetBytes > 0 ? SMALLEST_CONTINUATION_BYTES : 1;
    const whole = offsetBytes > 0 ? CHUNK_BYTES : roomFor(sizeBytes);
    const affordable = Math.floor(budget * mostEncodedPerDecoded(encoding));
    const lengthBytes = Math.min(Math.max(enough, atLeast), whole, affordable, CHUNK_BYTES);
    if (lengthBytes <= 0) break;
    ranges.push({ part, offsetBytes, lengthBytes });
    const expectedBytes = Math.max(sizeBytes - offsetBytes, 0);
    // Parts behind one that may go on are left for later: it has the first claim on the room.
    if (expectedBytes >= lengthBytes) break;
    budget -= expectedBytes / mostEncodedPerDecoded(encoding);
    room -= expectedBytes;
    if (room < 0) break;
  }
  return ranges;
};

/**
 * The next pieces to fetch: of parts that decoded to less than the caps allow, or that did not fit
 * into an earlier round. Empty when the caps are reached or there is no more. Each piece is at most
 * 1 MiB, and a kind costs at most about 3.2 octets per byte of its cap in quoted-printable, 2.2 in
 * other encodings.
 */
export const moreRanges = (
  plan: FetchPlan,
  received: ReadonlyMap<string, ReceivedPart>,
  limits: Limits,
): PartRange[] =>
  (["text", "html"] as const).flatMap((kind) =>
    rangesOf(
      plan.texts.filter((part) => part.kind === kind),
      received,
      capOf(kind, limits),
    ),
  );

/** What to fetch first: as much of each part as the caps can take, judged by the sizes told. */
export const firstRanges = (plan: FetchPlan, limits: Limits): PartRange[] =>
  moreRanges(plan, new Map(), limits);

/** The parts of a kind, decoded and joined by a newline (which no cap counts). */
const textOf = (
  parts: readonly TextPart[],
  received: ReadonlyMap<string, ReceivedPart>,
  cap: number,
): { text: string | null; truncated: boolean } => {
  if (parts.length === 0) return { text: null, truncated: false };
  const pieces: string[] = [];
  let room = cap;
  let truncated = false;
  for (const { part, encoding, charset, sizeBytes } of parts) {
    const have = received.get(part);
    if (have === undefined) {
      truncated ||= sizeBytes > 0;
      continue;
    }
    const bytes = decodeBytes(have.raw, encoding);
    const cut = bytes.length > room || !have.complete;
    truncated ||= cut;
    if (bytes.length > 0 && room === 0) continue;
    pieces.push(decodeText(bytes.subarray(0, room), charset ?? "", cut));
    room -= Math.min(room, bytes.length);
  }
  return { text: pieces.join("\n"), truncated };
};

/**
 * The body out of what arrived. Per kind: the parts in order, joined by a newline, cut at the cap in
 * decoded bytes before the charset is looked at, so that no half character becomes a wrong one.
 */
export const assembleBody = (
  plan: FetchPlan,
  received: ReadonlyMap<string, ReceivedPart>,
  limits: Limits,
): Body => {
  const of = (kind: TextPart["kind"]): ReturnType<typeof textOf> =>
    textOf(
      plan.texts.filter((part) => part.kind === kind),
      received,
      capOf(kind, limits),
    );
  const text = of("text");
  const html = of("html");
  const cut: Truncation[] = [];
  if (text.truncated && !plan.truncated.includes("text")) cut.push("text");
  if (html.truncated && !plan.truncated.includes("html")) cut.push("html");
  return {
    text: text.text,
    html: html.text,
    truncated: cut,
    htmlTruncated: html.truncated || plan.truncated.includes("html"),
  };
};
