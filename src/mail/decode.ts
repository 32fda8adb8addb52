// From the octets of a part to its text: transfer decoding (RFC 2045 section 6), then the charset. Any
// input gives a result, also one that was cut off anywhere; work and memory grow linearly with it. The
// caps of a message are put between the two steps, so that they count bytes.
import encodingJapanese from "encoding-japanese";
import iconv from "iconv-lite";
import { decode as decodeSegments } from "libbase64";
import libmime from "libmime";

/** A line of base64 carries 57 bytes in 76 letters and a line end. */
const BASE64_LINE = { bytes: 57, octets: 78 };
/** A line of uuencode carries 45 bytes in 60 letters, a length and a line end. */
const UU_LINE = { bytes: 45, octets: 63 };
/** Room for the `begin` line of uuencode and for a last, short line. */
const SLACK_OCTETS = 128;

const [TAB, LF, CR, SPACE, EQUALS] = [9, 10, 13, 32, 61] as const;

const UU_LABELS = new Set(["x-uuencode", "uuencode", "x-uue", "uue"]);

/** Ordinary text in quoted-printable. */
const QUOTED_PRINTABLE_USUAL = 1.2;
/** Quoted-printable that is nothing but escapes, as for every script but Latin, with its line ends. */
const QUOTED_PRINTABLE_MOST = 3.2;
/** base64 takes 1.37 octets a byte, uuencode 1.4; the rest is for blanks and for lines that are short. */
const OTHERS_MOST = 2.2;

const linesFor = (line: { bytes: number; octets: number }, decodedBytes: number): number =>
  Math.ceil(decodedBytes / line.bytes) * line.octets + SLACK_OCTETS;

/** How many octets to ask for so that usually at least `decodedBytes` come out of them. */
export const encodedBytesFor = (encoding: string, decodedBytes: number): number => {
  if (encoding === "base64") return linesFor(BASE64_LINE, decodedBytes);
  if (UU_LABELS.has(encoding)) return linesFor(UU_LINE, decodedBytes);
  if (encoding === "quoted-printable") {
    return Math.ceil(decodedBytes * QUOTED_PRINTABLE_USUAL) + SLACK_OCTETS;
  }
  return decodedBytes;
};

/** How many octets a decoded byte may cost at most; text that costs more is not read to its end. */
export const mostEncodedPerDecoded = (encoding: string): number =>
  encoding === "quoted-printable" ? QUOTED_PRINTABLE_MOST : OTHERS_MOST;

/** The same octets as a Buffer, without a copy. */
const asBuffer = (bytes: Uint8Array): Buffer =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** The value of each hex digit by its code; -1 for every other byte. */
const HEX_VALUES = Int8Array.from({ length: 256 }, (_, code) => {
  const digit = String.fromCharCode(code);
  return /[0-9a-f]/i.test(digit) ? Number.parseInt(digit, 16) : -1;
});

/** `text` without an escape that a cut went through: "=", "=E" or "=" and half a line end. */
const withoutBrokenEscape = (text: Buffer): Buffer => {
  const broken = /=[0-9A-Fa-f\r]?$/.exec(text.toString("latin1", Math.max(0, text.length - 3)));
  return text.subarray(0, text.length - (broken?.[0].length ?? 0));
};

/** In one pass over the bytes: what a message costs is mostly this, and regular expressions take longer. */
const decodeQuotedPrintable = (raw: Uint8Array): Uint8Array => {
  const text = withoutBrokenEscape(asBuffer(raw));
  const out = Buffer.alloc(text.length);
  let length = 0;
  // Without the blanks at the end of `out`, which are no text if the line ends there.
  let kept = 0;
  // Right behind the last "=" that began no escape; where a line ends there, its end is no text.
  let softEnd = -1;
  for (let at = 0; at < text.length; at += 1) {
    const code = text[at] ?? 0;
    const high = code === EQUALS ? (HEX_VALUES[text[at + 1] ?? 0] ?? -1) : -1;
    const low = high >= 0 ? (HEX_VALUES[text[at + 2] ?? 0] ?? -1) : -1;
    if (low >= 0) {
      out[length] = high * 16 + low;
      length += 1;
      kept = length;
      at += 2;
      continue;
    }
    if (code === CR || code === LF) {
      length = kept;
      if (softEnd === length && (code === LF || text[at + 1] === LF)) {
        length -= 1;
        kept = length;
        softEnd = -1;
        if (code === CR) at += 1;
        continue;
      }
    }
    out[length] = code;
    length += 1;
    if (code !== SPACE && code !== TAB) kept = length;
    if (code === EQUALS) softEnd = length;
  }
  return out.subarray(0, softEnd === kept ? kept - 1 : kept);
};

/** Where the line after the first `begin` line starts; the end of `text` when there is none. */
const afterBegin = (text: Buffer): number => {
  let at = text.indexOf("begin ");
  while (at > 0 && text[at - 1] !== LF) at = text.indexOf("begin ", at + 1);
  const newline = at === -1 ? -1 : text.indexOf(LF, at);
  return newline === -1 ? text.length : newline + 1;
};

/** uuencode as POSIX describes it: the first file; lines outside `begin` and `end` are left out. */
const decodeUu = (raw: Uint8Array): Uint8Array => {
  const text = asBuffer(raw);
  const out = Buffer.alloc(raw.length);
  let length = 0;
  const sextet = (index: number): number => ((text[index] ?? 32) - 32) & 63;
  for (let start = afterBegin(text), next = start; start < text.length; start = next) {
    const newline = text.indexOf(LF, start);
    const end = newline === -1 ? text.length : newline;
    next = end + 1;
    if (end - start < 2) continue;
    const bytes = sextet(start);
    // A length of zero ends the file, and so does the line "end".
    if (bytes === 0 || text.toString("latin1", start, end).trimEnd() === "end") break;
    for (let byte = 0; byte < bytes; byte += 1) {
      const first = start + 1 + Math.floor((byte * 4) / 3);
      if (first + 1 >= end) break;
      const shift = 2 + 2 * (byte % 3);
      out[length] = (sextet(first) << shift) | (sextet(first + 1) >> (6 - shift));
      length += 1;
    }
  }
  return out.subarray(0, length);
};

/**
 * Undoes a transfer encoding (its label in lower case). An unknown one, like 7bit, 8bit and binary,
 * leaves the octets as they are. What is broken or cut off is left out; never throws.
 */
export const decodeBytes = (raw: Uint8Array, encoding: string): Uint8Array => {
  if (encoding === "base64") return decodeSegments(asBuffer(raw).toString("latin1"));
  if (encoding === "quoted-printable") return decodeQuotedPrintable(raw);
  return UU_LABELS.has(encoding) ? decodeUu(raw) : raw;
};

/** `bytes` as UTF-8, or null when they are not. */
const strictUtf8 = (bytes: Uint8Array, cut: boolean): string | null => {
  try {
    // A stream that is not ended holds the bytes of an unfinished character back.
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes, { stream: cut });
  } catch {
    return null;
  }
};

/**
 * UTF-8, or what calls itself so. Where more of it is broken than whole it is taken for windows-1252;
 * a few damaged places in a text do not turn the rest into gibberish.
 */
const decodeUtf8 = (bytes: Uint8Array, cut: boolean): string => {
  const strict = strictUtf8(bytes, cut);
  if (strict !== null) return strict;
  const loose = new TextDecoder("utf-8").decode(bytes, { stream: cut });
  let broken = 0;
  let whole = 0;
  for (let i = 0; i < loose.length; i += 1) {
    const code = loose.charCodeAt(i);
    if (code === 0xfffd) broken += 1;
    else if (code > 0x7f) whole += 1;
  }
  return whole > broken ? loose : iconv.decode(asBuffer(bytes), "windows-1252");
};

/** ISO-2022-JP (RFC 1468) without the half of a two-byte character that a cut left at its end. */
const wholeJis = (bytes: Uint8Array): Uint8Array => {
  const escape = bytes.lastIndexOf(0x1b);
  if (escape === -1 || bytes[escape + 1] !== 0x24) return bytes;
  const third = bytes[escape + 2];
  const start = escape + (third === 0x28 ? 4 : 3);
  const odd = bytes.length > start && (bytes.length - start) % 2 === 1;
  return odd ? bytes.subarray(0, -1) : bytes;
};

/** Codecs of iconv-lite that are no charsets of mail; UTF-7 smuggles markup past filters. */
const UNUSABLE_CODECS = new Set(
  ["utf7", "utf7imap", "base64", "hex"].map((name) => iconv.getCodec(name)),
);

/** Can iconv-lite decode it, whatever way its name is spelled? */
const isUsable = (name: string): boolean =>
  iconv.encodingExists(name) && !UNUSABLE_CODECS.has(iconv.getCodec(name));

/** Their decoders hold all of a short text back, until its byte order would show. */
const CODECS_OF_UNTOLD_ORDER = new Set(["utf-16", "utf-32"].map((name) => iconv.getCodec(name)));

const decodeCharset = (bytes: Uint8Array, charset: string, cut: boolean): string => {
  if (/^(cs)?iso-?2022-?jp/i.test(charset)) {
    const whole = cut ? wholeJis(bytes) : bytes;
    return encodingJapanese.convert(whole, { to: "UNICODE", from: "JIS", type: "string" });
  }
  const name = libmime.normalizeCharset(charset);
  const isUtf8 = name === "utf-8" || /^(us-?)?ascii$|^utf-?8$/i.test(charset);
  if (isUtf8 || !isUsable(name)) return decodeUtf8(bytes, cut);
  const decoder = iconv.getDecoder(name);
  const text = decoder.write(asBuffer(bytes));
  if (!cut) return text + (decoder.end() ?? "");
  const isHeldBack = text === "" && CODECS_OF_UNTOLD_ORDER.has(iconv.getCodec(name));
  const whole = isHeldBack ? (decoder.end() ?? "").replace(/\ufffd$/, "") : text;
  // What else the decoder holds back is half a character, and so is a high surrogate.
  return whole.replace(/[\ud800-\udbff]$/, "");
};

/**
 * The text of `bytes` in `charset`, as Unicode that is valid UTF-8, without NUL (which no text
 * contains, and which many receivers cannot store). An unknown charset is read as UTF-8 if it is that,
 * else as windows-1252. `cut` says that the bytes end anywhere: half a character at their end is then
 * left out. Never throws.
 */
export const decodeText = (bytes: Uint8Array, charset: string, cut = false): string => {
  if (bytes.length === 0) return "";
  const text = decodeCharset(bytes, charset.trim() || "utf-8", cut);
  return text.replaceAll("\0", "").toWellFormed();
};
