// Headers: any octets make an envelope of well-formed text and real dates; a quoted name never becomes
// an address; a repair changes garbled text and nothing else.
import fc from "fast-check";
import type { Address, Envelope } from "../../../src/core/message.ts";
import {
  envelopeFromHeader,
  isGarbled,
  isoFromDateHeader,
  repairEnvelope,
} from "../../../src/mail/header-envelope.ts";
import { bytesOf, envelopes, textOf } from "../inputs.ts";
import { createTarget, must } from "../target.ts";

const TOKENS = [
  ...["From: ", "To: ", "Cc: ", "Subject: ", "Date: ", "Message-ID: ", "Sender: ", "Reply-To: "],
  ...[
    "\r\n",
    "\r\n ",
    "\n\t",
    "\r\n\r\n",
    '"',
    "\\",
    "(",
    ")",
    "<",
    ">",
    ",",
    ";",
    ":",
    "@",
    "a@b",
  ],
  ...[
    "=?utf-8?q?",
    "=?utf-8?B?",
    "=?iso-8859-1?Q?=E9",
    "?=",
    "=41",
    "8J+mig==",
    "\xe9",
    "\xff",
    "?",
  ],
  ...["1 Jan 2024 10:00 +0100", "=?", "=?x?q?", "_"],
  ...["=?utf-16be?B?2D0=?=", "=?utf-16le?B?AdgA?="],
];

/** A header may grow when its encoded words are decoded, but not by much: 64 KiB of it are read. */
const MAX_CHARS = 200_000;

const listsOf = ({ from, sender, replyTo, to, cc }: Envelope): Address[] =>
  [from, sender, replyTo, to, cc].flat();

const checkEnvelope = (envelope: Envelope): void => {
  const { messageId, inReplyTo, subject, date } = envelope;
  const all = listsOf(envelope);
  const texts = [
    messageId,
    inReplyTo,
    subject,
    ...all.flatMap(({ name, address }) => [name, address]),
  ];
  for (const text of texts) {
    must(text?.isWellFormed() ?? true, "a text of the envelope is not well-formed");
    must((text?.length ?? 0) <= MAX_CHARS, "a text of the envelope is too long");
  }
  must(date === null || new Date(date).toISOString() === date, "a date that is none");
  for (const { name, address } of all) {
    must((name ?? address) !== null && name !== "" && address !== "", "an address of nothing");
    must(!/\s/.test(address ?? ""), "an address with a blank");
  }
};

/** Any octets as a header. */
export const header = createTarget({
  name: "header",
  weight: 14,
  cases: fc.record({ raw: bytesOf(TOKENS) }),
  run: ({ raw }, meter) => {
    const envelope = meter.turn(() => envelopeFromHeader(raw));
    checkEnvelope(envelope);
    return envelope;
  },
});

const quoted = (text: string): string => `"${text.replaceAll(/["\\]/g, (char) => `\\${char}`)}"`;

const visible = fc.string({
  unit: fc.integer({ min: 0x20, max: 0x7e }).map((code) => String.fromCodePoint(code)),
  maxLength: 30,
});
const local = fc.stringMatching(/^[a-z0-9.+_-]{1,12}$/);

/** Addresses that were written as RFC 5322 says come out as they went in. */
export const addresses = createTarget({
  name: "addresses",
  weight: 8,
  cases: fc.record({
    list: fc.array(
      fc.record({ name: visible, user: local, comment: fc.boolean(), decoy: fc.boolean() }),
      {
        maxLength: 5,
      },
    ),
    folded: fc.boolean(),
  }),
  run: ({ list, folded }, meter) => {
    // Encoded words in a name are decoded, which is another matter.
    const own = list.map((one) => ({ ...one, name: one.name.replaceAll("=?", "") }));
    const written = own.map(
      ({ name, user, comment, decoy }) =>
        `${quoted(name)} ${decoy ? "<boss@corp.example> " : ""}${comment ? "(a \\) <b@c.d>, (x)) " : ""}<${user}@example.com>`,
    );
    const line = `From: ${written.join(folded ? ",\r\n " : ",")}\r\n`;
    const { from } = meter.turn(() => envelopeFromHeader(Buffer.from(line)));
    must(from.length === own.length, "an address is lost or made up");
    for (const [index, { user }] of own.entries()) {
      must(from[index]?.address === `${user}@example.com`, "an address is not the one in brackets");
    }
    return from;
  },
});

/** A told envelope with garbled text, and any header. */
export const repair = createTarget({
  name: "repair",
  weight: 6,
  cases: fc.record({ told: envelopes, raw: bytesOf(TOKENS), cut: fc.boolean() }),
  run: ({ told, raw, cut }, meter) => {
    const repaired = meter.turn(() => repairEnvelope(told, raw, cut));
    const [before, after] = [listsOf(told), listsOf(repaired)];
    must(before.length === after.length, "a repair adds or loses an address");
    for (const [index, { address }] of before.entries()) {
      must(after[index]?.address === address, "a repair changes an address");
    }
    const isSame = JSON.stringify(repaired) === JSON.stringify(told);
    must(isSame || isGarbled(told), "a repair changes what was not garbled");
    must(repaired.date === told.date && repaired.messageId === told.messageId, "more was changed");
    return repaired;
  },
});

const DATE_TOKENS = [
  ...[
    "Mon, ",
    "1",
    "31",
    " ",
    "-",
    "Jan",
    "Feb",
    "december",
    "2024",
    "99",
    "0000",
    "9999",
    "10:00",
  ],
  ...["23:59:60", "+0000", "-0130", "+9959", "EST", "(x)", ":", "Z", "1 Jan 0000 00:00 +0100"],
];

/** Dates: of tokens, and written as they should be. */
export const dates = createTarget({
  name: "dates",
  weight: 6,
  cases: fc.record({
    text: textOf(DATE_TOKENS, 100_000),
    at: fc.date({
      min: new Date("1900-01-02T00:00:00Z"),
      max: new Date("9999-12-30T00:00:00Z"),
      noInvalidDate: true,
    }),
    zone: fc.integer({ min: -1439, max: 1439 }),
  }),
  run: ({ text, at, zone }, meter) => {
    const read = meter.turn(() => isoFromDateHeader(text));
    must(read === null || new Date(read).toISOString() === read, "a date that is none");
    const shown = new Date(at.getTime() + zone * 60_000).toUTCString().replace(" GMT", "");
    const minutes = Math.abs(zone);
    const two = (value: number): string => String(value).padStart(2, "0");
    const offset = `${zone < 0 ? "-" : "+"}${two(Math.floor(minutes / 60))}${two(minutes % 60)}`;
    const written = isoFromDateHeader(`${shown} ${offset}`);
    must(written === `${at.toISOString().slice(0, 19)}.000Z`, "a date is read as another one");
    return [read, written];
  },
});
