// Transfer decoding and charsets: any octets make well-formed text, no longer than they are; and text
// that was cut anywhere is the beginning of the whole text, without a wrong character at its end.
import fc from "fast-check";
import { decodeBytes, decodeText, encodedBytesFor } from "../../../src/mail/decode.ts";
import { type TransferEncoding, textPart } from "../../../test/support/mail.ts";
import { bytesOf, charsets, encodings, textOf } from "../inputs.ts";
import { createTarget, must, mustBeText } from "../target.ts";

/** The cap on decoded bytes comes before the charset. */
const MAX_DECODED_BYTES = 1_000_000;

const TOKENS = [
  ...["=", "=\r\n", "=E9", "=0", "=\n", " \r\n", "begin 644 a\n", "M", "`\n", "end\n", "====", "A"],
  ...[
    "\x1b$B",
    "\x1b(B",
    "\x1b(J",
    "\x1b$(D",
    "\x81",
    "\xe9",
    "\xff\xfe",
    "\xef\xbb\xbf",
    "\xf0\x9f",
  ],
];

/** Any octets as any encoding and charset. */
export const decode = createTarget({
  name: "decode",
  weight: 20,
  cases: fc.record({
    raw: bytesOf(TOKENS),
    encoding: encodings,
    charset: charsets,
    cut: fc.boolean(),
  }),
  run: ({ raw, encoding, charset, cut }, meter) => {
    const bytes = meter.turn(() => decodeBytes(raw, encoding));
    must(bytes.length <= raw.length, "decoding makes more bytes than there were");
    must(encodedBytesFor(encoding, bytes.length) >= bytes.length, "fewer octets than bytes asked");
    const capped = bytes.subarray(0, MAX_DECODED_BYTES);
    const text = meter.turn(() => decodeText(capped, charset, cut));
    mustBeText(text, "decoded text");
    must(text.length <= capped.length + 1, "a charset makes more characters than bytes");
    return [Buffer.from(bytes).toString("base64"), text];
  },
});

const ENCODINGS: readonly TransferEncoding[] = ["8bit", "quoted-printable", "base64", "x-uuencode"];

const ROUND_TRIP_CHARSETS = [
  ...[
    "utf-8",
    "utf-8",
    "iso-8859-1",
    "windows-1252",
    "koi8-r",
    "shift_jis",
    "euc-jp",
    "gb18030",
    "big5",
  ],
  ...["euc-kr", "iso-2022-jp", "utf-16le", "utf-16be"],
];

/** The end of the header of a part that we wrote ourselves. */
const bodyOf = (part: Buffer): Buffer => part.subarray(part.indexOf("\r\n\r\n") + 4);

/** Of a short text every place is tried, of a long one these. */
const SHORT_OCTETS = 64;

/** Text that was written in a charset and an encoding, and cut at any octet. */
export const cutText = createTarget({
  name: "cut-text",
  weight: 10,
  cases: fc.record({
    text: fc.oneof(
      fc.string({ unit: fc.constantFrom("a", "é", "日", "😀", "한", "\n", "="), maxLength: 8 }),
      textOf(["é", "日本語", "😀", " ", "\r\n", "=", "한국"], 20_000),
    ),
    charset: fc.constantFrom(...ROUND_TRIP_CHARSETS),
    encoding: fc.constantFrom(...ENCODINGS),
    places: fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 4 }),
  }),
  run: ({ text, charset, encoding, places }, meter) => {
    const raw = bodyOf(textPart({ text: text.toWellFormed(), charset, encoding }));
    const read = (octets: Buffer, cut: boolean): string =>
      meter.turn(() => decodeText(decodeBytes(octets, encoding), charset, cut));
    const whole = read(raw, false);
    mustBeText(whole, "the whole text");
    const cuts =
      raw.length <= SHORT_OCTETS
        ? Array.from(raw, (_, at) => at)
        : places.map((place) => Math.floor(place * raw.length));
    const pieces = cuts.map((at) => read(raw.subarray(0, at), true));
    for (const cut of pieces)
      must(whole.startsWith(cut), "a text that was cut ends in something else");
    return [whole, pieces];
  },
});
