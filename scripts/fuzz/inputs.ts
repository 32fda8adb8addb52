// Kinds of input that several targets share: text out of tokens and odd characters, bytes, limits. Most
// are small; about one in sixty is large, so that every cap is really reached.
import fc from "fast-check";
import { DEFAULT_LIMITS, type Limits } from "../../src/core/limits.ts";
import type { Address, Envelope } from "../../src/core/message.ts";
import { createSeededRandom } from "../../test/support/seeded-random.ts";
import { mutatedMails } from "./mails.ts";

/** Any code unit or code point, halves of pairs among them, the ordinary ones most. */
const character: fc.Arbitrary<string> = fc.oneof(
  { weight: 6, arbitrary: fc.nat(0x7f).map((code) => String.fromCodePoint(code)) },
  { weight: 1, arbitrary: fc.nat(0x10ffff).map((code) => String.fromCodePoint(code)) },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      ...["\0", "\u00a0", "\u0301", "\u0323", "\u200b", "\u202e", "\ufeff", "\ufffd", "😀", "é"],
      ...["\ud83d", "\ude00", "İ", "ß", "\u2028", "\r\n", "\u001b", "日本"],
    ),
  },
);

/** About one in sixty is the large one. */
const rarely = <T>(usual: fc.Arbitrary<T>, rare: fc.Arbitrary<T>): fc.Arbitrary<T> =>
  fc.oneof({ weight: 60, arbitrary: usual }, { weight: 1, arbitrary: rare });

const small = (tokens: readonly string[]): fc.Arbitrary<string> =>
  fc
    .array(
      fc.oneof(
        { weight: 2, arbitrary: fc.constantFrom(...tokens) },
        { weight: 1, arbitrary: character },
      ),
      { maxLength: 60, size: "max" },
    )
    .map((pieces) => pieces.join(""));

const repeated = (unit: string, units: number): string =>
  unit.repeat(Math.ceil(units / Math.max(unit.length, 1))).slice(0, units);

/** A few pieces, drawn again and again: what is slow is slow with the same piece over and over. */
const monotone = (tokens: readonly string[]): fc.Arbitrary<string> =>
  fc
    .tuple(fc.array(fc.constantFrom(...tokens), { minLength: 1, maxLength: 4 }), fc.nat())
    .map(([few, seed]) => {
      const random = createSeededRandom(seed);
      return Array.from({ length: 4096 }, () => few[random.u32() % few.length]).join("");
    });

/** Text that holds `tokens` among other characters; at most `maxUnits` UTF-16 units when it is large. */
export const textOf = (tokens: readonly string[], maxUnits = 2_000_000): fc.Arbitrary<string> => {
  const usual = fc.oneof(
    { weight: 8, arbitrary: small(tokens) },
    { weight: 1, arbitrary: mutatedMails.map((bytes) => bytes.toString("latin1", 0, 4096)) },
  );
  const rare = fc
    .tuple(
      fc.constantFrom("", ...tokens),
      fc.oneof(small(tokens), monotone(tokens)),
      fc.nat(maxUnits),
      fc.constantFrom("", ...tokens),
    )
    .map(([start, unit, units, end]) => start + repeated(unit, units) + end);
  return rarely(usual, rare);
};

/** Bytes: of texts that hold `tokens`, of mutated mails, at random. */
export const bytesOf = (tokens: readonly string[]): fc.Arbitrary<Uint8Array> =>
  fc.oneof(
    { weight: 3, arbitrary: textOf(tokens).map((text) => Buffer.from(text, "latin1")) },
    { weight: 2, arbitrary: textOf(tokens).map((text) => Buffer.from(text, "utf8")) },
    { weight: 2, arbitrary: mutatedMails },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 300, size: "max" }) },
  );

/** Limits of which some are far below the usual, so that small input reaches them. */
export const limits: fc.Arbitrary<Limits> = fc
  .record({
    maxHtmlBytes: fc.constantFrom(10, 1000, 20_000, DEFAULT_LIMITS.maxHtmlBytes),
    maxTextBytes: fc.constantFrom(10, 1000, 20_000, DEFAULT_LIMITS.maxTextBytes),
    maxParts: fc.constantFrom(1, 7, DEFAULT_LIMITS.maxParts),
    maxNesting: fc.constantFrom(0, 1, 3, DEFAULT_LIMITS.maxNesting),
    maxTextParts: fc.constantFrom(1, 3, DEFAULT_LIMITS.maxTextParts),
    maxNameChars: fc.constantFrom(1, 10, DEFAULT_LIMITS.maxNameChars),
    maxAttachments: fc.constantFrom(1, 3, DEFAULT_LIMITS.maxAttachments),
    maxAddresses: fc.constantFrom(1, 3, DEFAULT_LIMITS.maxAddresses),
  })
  .map((some) => ({ ...DEFAULT_LIMITS, ...some }));

/** Labels of transfer encodings, in lower case as the program passes them on. */
export const encodings = fc.constantFrom(
  ...["7bit", "8bit", "binary", "base64", "quoted-printable", "x-uuencode", "uue", "", "x-none"],
);

/** Labels of charsets: those of old and new mail, wrong ones, and nothing. */
export const charsets: fc.Arbitrary<string> = fc.oneof(
  {
    weight: 9,
    arbitrary: fc.constantFrom(
      ...["utf-8", "US-ASCII", "iso-8859-1", "windows-1252", "iso-8859-15", "koi8-r", "macintosh"],
      ...[
        "shift_jis",
        "euc-jp",
        "iso-2022-jp",
        "iso-2022-jp-2",
        "csISO2022JP",
        "gb2312",
        "gb18030",
      ],
      ...["big5", "big5-hkscs", "euc-kr", "ks_c_5601-1987", "utf-16", "utf-16le", "utf-16be"],
      ...[
        "utf-32",
        "utf-32le",
        "ucs-2",
        "utf-7",
        "utf-7-imap",
        "base64",
        "hex",
        "cp437",
        "tis-620",
      ],
      ...["", " utf-8 ", "unknown-8bit", "x-none", "__proto__", "constructor", "internal"],
    ),
  },
  { weight: 1, arbitrary: fc.string({ maxLength: 12 }) },
);

const NAME_TOKENS = ["Ann", " ", '"', "<a@b.org>", "@", "é", "=?utf-8?q?=41?=", "\r\n", "\ufffd"];

/** A text of an envelope, or none. */
export const names: fc.Arbitrary<string | null> = fc.option(textOf(NAME_TOKENS, 40_000), {
  freq: 6,
});

const addresses: fc.Arbitrary<Address[]> = rarely(
  fc.array(fc.record({ name: names, address: names }), { maxLength: 4 }),
  fc.nat(5000).map((count) => Array.from({ length: count }, () => ({ name: "a", address: "b@c" }))),
);

/** An envelope as a server may tell it. */
export const envelopes: fc.Arbitrary<Envelope> = fc.record({
  messageId: names,
  inReplyTo: names,
  subject: names,
  date: fc.option(fc.constant("2026-11-24T08:00:00.000Z")),
  from: addresses,
  sender: addresses,
  replyTo: addresses,
  to: addresses,
  cc: addresses,
});
