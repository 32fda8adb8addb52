// Real mails and what a mutator makes of them: bits turned, pieces cut out, doubled, swapped between
// mails. A mutation is a list of edits, so that fast-check can take away those that do not matter.
import { existsSync, readFileSync, readdirSync } from "node:fs";
import path from "node:path";
import fc from "fast-check";
import * as mail from "../../test/support/mail.ts";

/** Pieces that mean something to a reader of mail. */
const TOKENS: readonly Buffer[] = [
  ...["\r\n", "\n", "\r", "\r\n\r\n", "\t", " ", "\0", "=\r\n", "=", "=3D", "=?utf-8?q?", "?="],
  ...["=?iso-2022-jp?B?GyRC?=", "=?x?b?", "begin 644 a\n", "end\n", "--", "Content-Type: ", "\\"],
  ...['multipart/mixed; boundary="', "message/rfc822", "From: ", "Subject: ", "Date: ", "<", ">"],
  ...['"', "(", ")", ",", ";", ":", "@", "&amp;", "&#0;", "https://", "dropbox.com/", "+ACY-"],
  ...["\x1b$B", "\x1b(B", "\xff\xfe", "\xef\xbb\xbf", "\xed\xa0\x80", "\xf0\x9f\x98", "\xc0\x80"],
].map((token) => Buffer.from(token, "latin1"));

/** The largest mail that a mutation makes. */
const MAX_MUTATED_BYTES = 2 * 1024 * 1024;

const generatedMails = (): Buffer[] => {
  const texts = ["Grüße, 日本語 und 😀", "https://www.dropbox.com/s/a?b=1&dl=0", "x".repeat(2000)];
  const encodings = ["8bit", "quoted-printable", "base64", "x-uuencode"] as const;
  const simple = texts.flatMap((text) =>
    encodings.map((encoding) =>
      mail.message({ subject: text.slice(0, 60) }, mail.textPart({ text, encoding })),
    ),
  );
  const content = Buffer.from("%PDF-1.4");
  const parts = [
    mail.alternative("text", '<a href="https://fromsmash.com/a">b</a>'),
    mail.attachmentPart({ filename: "é.pdf", content }),
    mail.messagePart(mail.plainMessage("inner")),
  ];
  return [...simple, mail.message({}, mail.multipart("mixed", parts))];
};

const corpusDir = (): string => process.env["CORPUS_DIR"] ?? "../shared/corpus/mime";

const readMails = (): Buffer[] => {
  const folder = corpusDir();
  if (!existsSync(folder)) return generatedMails();
  const names = readdirSync(folder).filter((name) => /\.(eml|msg)$/i.test(name));
  return names.toSorted().map((name) => readFileSync(path.join(folder, name)));
};

/** The mails that are mutated: those of `CORPUS_DIR`, or generated ones where there is no such folder. */
const MAILS: readonly Buffer[] = readMails();

/** Which mails these are, in words: what a seed brings forth depends on them. */
export const MAILS_ARE = existsSync(corpusDir())
  ? `${MAILS.length} mails of CORPUS_DIR`
  : `${MAILS.length} generated mails (no CORPUS_DIR)`;

/** One edit; `at` and `to` are places in the mail from 0 to 1. */
interface Edit {
  kind: "flip" | "insert" | "remove" | "repeat" | "splice" | "cut" | "fill";
  at: number;
  to: number;
  value: number;
}

const editOf = (bytes: Buffer, { kind, at, to, value }: Edit): Buffer => {
  const start = Math.floor(Math.min(at, to) * bytes.length);
  const end = Math.floor(Math.max(at, to) * bytes.length);
  const piece = bytes.subarray(start, Math.min(end, start + 2000));
  const between = (...inserted: Buffer[]): Buffer =>
    Buffer.concat([bytes.subarray(0, start), ...inserted, bytes.subarray(start)]);
  switch (kind) {
    case "flip": {
      const flipped = Buffer.from(bytes);
      if (bytes.length > 0) flipped[start] = (flipped[start] ?? 0) ^ (1 << (value % 8));
      return flipped;
    }
    case "insert":
      return between(TOKENS[value % TOKENS.length] ?? Buffer.of(value));
    case "remove":
      return Buffer.concat([bytes.subarray(0, start), bytes.subarray(end)]);
    case "repeat":
      return between(...Array.from({ length: value % 60 }, () => piece));
    case "splice":
      return between((MAILS[value % MAILS.length] ?? bytes).subarray(start % 4000, end % 8000));
    case "cut":
      return bytes.subarray(start, end);
    default: {
      const unit = piece.length > 0 ? piece : Buffer.of(value);
      return between(Buffer.alloc((value % 16) * 128 * 1024, unit));
    }
  }
};

const fraction = fc.nat(0xffff).map((value) => value / 0x10000);

const edit = (kinds: fc.Arbitrary<Edit["kind"]>): fc.Arbitrary<Edit> =>
  fc.record({ kind: kinds, at: fraction, to: fraction, value: fc.nat(0xffff) });

const SMALL_EDITS = fc.constantFrom<Edit["kind"][]>(
  ...(["flip", "flip", "insert", "insert", "insert", "remove", "repeat", "splice", "cut"] as const),
);

/** Where in a mail to begin, and how much of it: most cases want little. */
const excerpt = fc
  .record({
    mail: fc.nat(MAILS.length - 1),
    from: fc.oneof({ weight: 2, arbitrary: fc.constant(0) }, fraction),
    maxBytes: fc.constantFrom(200, 1000, 4096, 4096, 16_384),
  })
  .map(({ mail: index, from, maxBytes }) => {
    const bytes = MAILS[index] ?? Buffer.alloc(0);
    const start = Math.floor(from * bytes.length);
    return bytes.subarray(start, start + maxBytes);
  });

const mutated = (base: fc.Arbitrary<Buffer>, edits: fc.Arbitrary<Edit[]>): fc.Arbitrary<Buffer> =>
  fc
    .tuple(base, edits)
    .map(([bytes, list]) => list.reduce(editOf, bytes).subarray(0, MAX_MUTATED_BYTES));

/** Mutated mails, or pieces of mails; one in a hundred is large. */
export const mutatedMails: fc.Arbitrary<Buffer> = fc.oneof(
  { weight: 300, arbitrary: mutated(excerpt, fc.array(edit(SMALL_EDITS), { maxLength: 8 })) },
  {
    weight: 1,
    arbitrary: mutated(
      fc.nat(MAILS.length - 1).map((index) => MAILS[index] ?? Buffer.alloc(0)),
      fc.array(edit(SMALL_EDITS), { maxLength: 4 }),
    ),
  },
  {
    weight: 2,
    arbitrary: mutated(
      excerpt,
      fc.tuple(edit(fc.constant("fill"))).map(([one]) => [one]),
    ),
  },
);
