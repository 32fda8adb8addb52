// Bodies: the fetch loop of a message with any parts and sizes told ends, asks for no octet twice and
// never for more than the caps are worth, and the text it makes is within the caps and says when it is cut.
import fc from "fast-check";
import type { Limits } from "../../../src/core/limits.ts";
import {
  type ReceivedPart,
  assembleBody,
  firstRanges,
  moreRanges,
} from "../../../src/mail/body.ts";
import { decodeBytes, decodeText, mostEncodedPerDecoded } from "../../../src/mail/decode.ts";
import type { FetchPlan, TextPart } from "../../../src/mail/fetch-plan.ts";
import type { PartRange } from "../../../src/mail/session.ts";
import { bytesOf, charsets, encodings, limits } from "../inputs.ts";
import { type Meter, createTarget, must, mustBeText } from "../target.ts";

const MAX_RANGE_BYTES = 1024 * 1024;
/** What is asked for at least, whatever a cap says. */
const SLACK_BYTES = 64 * 1024;

interface Case {
  parts: {
    kind: TextPart["kind"];
    encoding: string;
    charset: string;
    raw: Uint8Array;
    /** How far the size that the server tells is off. */
    lie: number;
  }[];
  limits: Limits;
}

const planOf = ({ parts }: Case): FetchPlan => ({
  texts: parts.map(({ kind, encoding, charset, raw, lie }, index) => ({
    part: String(index + 1),
    kind,
    encoding,
    charset,
    sizeBytes: Math.max(0, raw.length + lie),
  })),
  attachments: [],
  truncated: [],
  tooDeep: false,
});

const capOf = (kind: TextPart["kind"], { maxHtmlBytes, maxTextBytes }: Limits): number =>
  kind === "html" ? maxHtmlBytes : maxTextBytes;

/** Answers ranges as a server does, until nothing more is asked. */
const fetchAll = (one: Case, plan: FetchPlan, meter: Meter): Map<string, ReceivedPart> => {
  const received = new Map<string, ReceivedPart>();
  const take = ({ part, offsetBytes, lengthBytes }: PartRange): void => {
    const have = received.get(part);
    must(lengthBytes > 0 && lengthBytes <= MAX_RANGE_BYTES, "a range of no size, or too large");
    must(offsetBytes === (have?.raw.length ?? 0), "octets are left out, or asked for twice");
    must(have?.complete !== true, "more is asked of a part that has ended");
    const raw = one.parts[Number(part) - 1]?.raw ?? new Uint8Array();
    const piece = raw.subarray(offsetBytes, offsetBytes + lengthBytes);
    received.set(part, {
      raw: Buffer.concat([have?.raw ?? new Uint8Array(), piece]),
      complete: piece.length < lengthBytes,
    });
  };
  let ranges = meter.turn(() => firstRanges(plan, one.limits));
  for (let rounds = 0; ranges.length > 0; rounds += 1) {
    must(rounds < 200, "a message takes more than 200 rounds");
    for (const range of ranges) take(range);
    ranges = meter.turn(() => moreRanges(plan, received, one.limits));
  }
  return received;
};

/** The text of a kind, read without any cap, and its decoded size. */
const wholeOf = ({ parts }: Case, kind: TextPart["kind"]): { text: string; bytes: number } => {
  const own = parts.filter((part) => part.kind === kind);
  const decoded = own.map(({ raw, encoding }) => decodeBytes(raw, encoding));
  const texts = own.map(({ charset }, index) => decodeText(decoded[index] ?? Buffer.of(), charset));
  return { text: texts.join("\n"), bytes: decoded.reduce((sum, { length }) => sum + length, 0) };
};

const checkKind = (
  one: Case,
  kind: TextPart["kind"],
  { text, truncated, wire }: { text: string | null; truncated: boolean; wire: number },
): void => {
  const own = one.parts.filter((part) => part.kind === kind);
  must((text === null) === (own.length === 0), `${kind} is null although there are parts`);
  if (text === null) return;
  const cap = capOf(kind, one.limits);
  mustBeText(text, kind);
  must(text.length <= cap + own.length * 2, `${kind} is longer than its cap`);
  const dearest = Math.max(...own.map(({ encoding }) => mostEncodedPerDecoded(encoding)));
  must(wire <= cap * dearest + SLACK_BYTES, `${kind} costs more octets than its cap is worth`);
  const whole = wholeOf(one, kind);
  must(truncated || whole.bytes <= cap, `${kind} is cut and does not say so`);
  must(truncated || whole.text === text, `${kind} is not the text of its parts`);
};

/** The whole way from the sizes told to the text. */
export const body = createTarget<Case>({
  name: "body",
  weight: 12,
  cases: fc.record({
    parts: fc.array(
      fc.record({
        kind: fc.constantFrom("text", "html"),
        encoding: encodings,
        charset: charsets,
        raw: bytesOf(["=", "=\r\n", "=20", "begin 644 a\n", "    ", "AAAA", "\r\n", "é"]),
        lie: fc.oneof(fc.constant(0), fc.integer({ min: -3_000_000, max: 3_000_000 })),
      }),
      { maxLength: 4 },
    ),
    limits,
  }),
  run: (one, meter) => {
    const plan = planOf(one);
    const received = fetchAll(one, plan, meter);
    const made = meter.turn(() => assembleBody(plan, received, one.limits));
    for (const kind of ["text", "html"] as const) {
      const wire = plan.texts
        .filter((part) => part.kind === kind)
        .reduce((sum, { part }) => sum + (received.get(part)?.raw.length ?? 0), 0);
      checkKind(one, kind, { text: made[kind], truncated: made.truncated.includes(kind), wire });
    }
    must(made.htmlTruncated === made.truncated.includes("html"), "the warning on HTML is wrong");
    return made;
  },
});
