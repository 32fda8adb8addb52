// Builds raw RFC 5322 messages for tests, benches and corpus runs: parts in any charset and transfer
// encoding, nested as one likes. It promises only what was asked for: no header is added that a test
// did not name, except what makes the part readable.
import encodingJapanese from "encoding-japanese";
import iconv from "iconv-lite";

/** The labels of RFC 2045 section 6, and the old one that some mailers still write. */
export type TransferEncoding = "7bit" | "8bit" | "quoted-printable" | "base64" | "x-uuencode";

/** `name: value` in the order given; a value is written as it is, so encode it before. */
export type Headers = readonly (readonly [name: string, value: string])[];

/** A text part. */
export interface TextPart {
  text: string;
  subtype?: string;
  /** As the label says; the text is really written in it. Default `utf-8`. */
  charset?: string;
  encoding?: TransferEncoding;
  headers?: Headers;
}

const CRLF = "\r\n";

/** `text` in the bytes of `charset` (any of iconv-lite, and iso-2022-jp). */
const charsetBytes = (text: string, charset: string): Buffer =>
  charset.toLowerCase() === "iso-2022-jp"
    ? Buffer.from(
        encodingJapanese.convert(encodingJapanese.stringToCode(text), {
          from: "UNICODE",
          to: "JIS",
        }),
      )
    : iconv.encode(text, charset);

const wrapped = (text: string, width: number): string =>
  text.match(new RegExp(`.{1,${width}}`, "g"))?.join(CRLF) ?? "";

const quotedPrintable = (bytes: Buffer): string => {
  const lines: string[] = [];
  let line = "";
  for (const [index, byte] of bytes.entries()) {
    if (byte === 0x0a && bytes[index - 1] === 0x0d) {
      lines.push(line.slice(0, -3));
      line = "";
      continue;
    }
    const plain = byte >= 0x21 && byte <= 0x7e && byte !== 0x3d;
    const hex = byte.toString(16).toUpperCase().padStart(2, "0");
    const token = plain ? String.fromCharCode(byte) : `=${hex}`;
    if (line.length + token.length > 72) {
      lines.push(`${line}=`);
      line = "";
    }
    line += token;
  }
  return [...lines, line].join(CRLF);
};

const uuencoded = (bytes: Buffer): string => {
  const character = (value: number): string => String.fromCharCode(value === 0 ? 96 : value + 32);
  const lines: string[] = [];
  for (let at = 0; at < bytes.length; at += 45) {
    const piece = bytes.subarray(at, at + 45);
    let line = character(piece.length);
    for (let i = 0; i < piece.length; i += 3) {
      const group = ((piece[i] ?? 0) << 16) | ((piece[i + 1] ?? 0) << 8) | (piece[i + 2] ?? 0);
      line += [18, 12, 6, 0].map((shift) => character((group >> shift) & 63)).join("");
    }
    lines.push(line);
  }
  return ["begin 644 part", ...lines, "`", "end"].join(CRLF);
};

const transferred = (bytes: Buffer, encoding: TransferEncoding): Buffer => {
  if (encoding === "quoted-printable") return Buffer.from(quotedPrintable(bytes));
  if (encoding === "base64") return Buffer.from(wrapped(bytes.toString("base64"), 76));
  if (encoding === "x-uuencode") return Buffer.from(uuencoded(bytes));
  return bytes;
};

const withHeaders = (headers: Headers, body: Buffer): Buffer =>
  Buffer.concat([
    Buffer.from(headers.map(([name, value]) => `${name}: ${value}${CRLF}`).join("")),
    Buffer.from(CRLF),
    body,
  ]);

/** A text part with its headers. */
export const textPart = (part: TextPart): Buffer => {
  const { text, subtype = "plain", charset = "utf-8", encoding = "8bit", headers = [] } = part;
  const own: Headers = [
    ["Content-Type", `text/${subtype}; charset="${charset}"`],
    ["Content-Transfer-Encoding", encoding],
  ];
  const bytes = charsetBytes(text.replaceAll(/\r?\n/g, CRLF), charset);
  return withHeaders([...own, ...headers], transferred(bytes, encoding));
};

/** A base64 attachment; `filename` null for none, any Unicode is written as RFC 2231 says. */
export const attachmentPart = (options: {
  filename: string | null;
  content: Uint8Array;
  contentType?: string;
}): Buffer => {
  const { filename, content, contentType = "application/octet-stream" } = options;
  const name =
    filename === null
      ? ""
      : /^[\w. -]+$/.test(filename)
        ? `; filename="${filename}"`
        : `; filename*=utf-8''${encodeURIComponent(filename)}`;
  const headers: Headers = [
    ["Content-Type", contentType],
    ["Content-Disposition", `attachment${name}`],
    ["Content-Transfer-Encoding", "base64"],
  ];
  return withHeaders(headers, transferred(Buffer.from(content), "base64"));
};

/** An attached message. */
export const messagePart = (raw: Uint8Array): Buffer =>
  withHeaders([["Content-Type", "message/rfc822"]], Buffer.from(raw));

let boundaries = 0;

/** A multipart of `parts`; `subtype` mixed, alternative, related and so on. */
export const multipart = (subtype: string, parts: readonly Uint8Array[]): Buffer => {
  boundaries += 1;
  const boundary = `=_signalpost_${boundaries}`;
  const pieces = parts.flatMap((part) => [Buffer.from(`--${boundary}${CRLF}`), part, CRLF]);
  const body = Buffer.concat([
    ...pieces.map((piece) => (typeof piece === "string" ? Buffer.from(piece) : piece)),
    Buffer.from(`--${boundary}--${CRLF}`),
  ]);
  return withHeaders([["Content-Type", `multipart/${subtype}; boundary="${boundary}"`]], body);
};

/** RFC 2047: `text` as encoded words when it is not plain ASCII. */
export const encodedWords = (text: string): string => {
  if (/^[\x20-\x7e]*$/.test(text)) return text;
  const words: string[] = [];
  for (let rest = [...text]; rest.length > 0; rest = rest.slice(10)) {
    const piece = Buffer.from(rest.slice(0, 10).join("")).toString("base64");
    words.push(`=?utf-8?B?${piece}?=`);
  }
  return words.join(`${CRLF} `);
};

/** The headers of a message; `extra` come last and are written as they are. */
export interface MessageHeaders {
  from?: string;
  to?: string;
  subject?: string;
  date?: string;
  messageId?: string;
  extra?: Headers;
}

/** A whole message: headers, then a part of {@link textPart}, {@link multipart} and so on. */
export const message = (headers: MessageHeaders, part: Uint8Array): Buffer => {
  const { from = "Ann Sender <ann@example.com>", to = "bob@example.com" } = headers;
  const lines: [string, string][] = [
    ["From", from],
    ["To", to],
    ["Subject", encodedWords(headers.subject ?? "Hello")],
    ["Date", headers.date ?? "Tue, 24 Nov 2026 09:00:00 +0100"],
    ["MIME-Version", "1.0"],
  ];
  if (headers.messageId !== undefined) lines.push(["Message-ID", headers.messageId]);
  const all = [...lines, ...(headers.extra ?? [])];
  return Buffer.concat([
    Buffer.from(all.map(([name, value]) => `${name}: ${value}${CRLF}`).join("")),
    part,
  ]);
};

/** A plain text message in one call. */
export const plainMessage = (text: string, headers: MessageHeaders = {}): Buffer =>
  message(headers, textPart({ text }));

/** Both texts as `multipart/alternative`. */
export const alternative = (text: string, html: string): Buffer =>
  multipart("alternative", [textPart({ text }), textPart({ text: html, subtype: "html" })]);

/** Valid HTML of exactly `sizeBytes` (at least 64), in lines unless `oneLine`. */
export const bigHtml = (sizeBytes: number, oneLine = false): string => {
  const head = "<html><body>";
  const tail = "</body></html>";
  const line = `<p>Lorem ipsum dolor sit amet, consetetur sadipscing.</p>${oneLine ? "" : CRLF}`;
  const room = sizeBytes - head.length - tail.length;
  const lines = line.repeat(Math.floor(room / line.length));
  return head + lines + "x".repeat(room - lines.length) + tail;
};
