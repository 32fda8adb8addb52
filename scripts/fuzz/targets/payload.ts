// Payloads: any message, capped, is JSON that strict receivers read: well-formed, within the caps, the
// same whoever builds it, and with nothing but the fields of the contract.
import fc from "fast-check";
import type { Limits } from "../../../src/core/limits.ts";
import type { Attachment, Message, ProviderLink } from "../../../src/core/message.ts";
import { buildPayload, capMessage } from "../../../src/webhook/payload.ts";
import { envelopes, limits, names, textOf } from "../inputs.ts";
import { createTarget, must } from "../target.ts";

const TOKENS = ["\\ud800", "\ud800", "\udc00", '"', "\\", "\0", "\u2028", "</script>", "é", "\r\n"];

const attachment: fc.Arbitrary<Attachment> = fc.record({
  filename: names,
  contentType: fc.constantFrom("text/plain", "application/pdf"),
  sizeBytes: fc.nat(),
  encoding: fc.constantFrom("7bit", "base64"),
  part: fc.constantFrom("1", "2.1", ""),
  contentId: names,
  disposition: fc.constantFrom(null, "attachment"),
  offloaded: fc.option(
    fc.record({
      key: textOf(["a", "/", "é"], 300),
      url: fc.option(fc.webUrl()),
      sha256: fc.stringMatching(/^[0-9a-f]{64}$/),
    }),
  ),
});

const link: fc.Arbitrary<ProviderLink> = fc.record({
  provider: fc.constantFrom("dropbox", "fromsmash", "swisstransfer", "wetransfer"),
  url: fc.webUrl(),
  offloaded: fc.option(fc.record({ url: fc.webUrl(), filename: names })),
});

const message: fc.Arbitrary<Message> = fc.record({
  eventId: fc.constant("evt_a"),
  mailbox: fc.constant("default"),
  folder: textOf(["INBOX", "/", "é", "\ud800"], 100),
  uid: fc.nat(),
  uidvalidity: fc.constant("1"),
  internalDateMs: fc.nat(4_000_000_000_000),
  sizeBytes: fc.nat(),
  envelope: envelopes,
  headers: fc.constant(new Map()),
  text: fc.option(textOf(TOKENS, 1_000_000)),
  html: fc.option(textOf(TOKENS, 1_000_000)),
  links: fc.array(link, { maxLength: 3 }),
  attachments: fc.array(attachment, { maxLength: 3 }),
  truncated: fc.uniqueArray(fc.constantFrom("offload", "names", "links", "html", "text")),
  unreadable: fc.constantFrom(null, "malformed", "timeout", "too_large", "crash"),
});

interface Payload {
  data: {
    subject: string | null;
    text: string | null;
    html: string | null;
    from: { name: string | null; address: string | null } | null;
    to: { name: string | null; address: string | null }[];
    cc: unknown[];
    reply_to: unknown[];
    truncated: string[];
    attachments: { filename: string | null; content_id: string | null }[];
  };
}

/** Every string in it, keys too. */
const stringsIn = (value: unknown): string[] => {
  if (typeof value === "string") return [value];
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, inside]) => [key, ...stringsIn(inside)]);
};

const checkCaps = ({ data }: Payload, { maxNameChars, maxAddresses }: Limits): void => {
  const people = [data.from, ...data.to].flatMap((one) => [one?.name, one?.address]);
  const files = data.attachments.flatMap((one) => [one.filename, one.content_id]);
  for (const name of [data.subject, ...people, ...files]) {
    const length = [...(name ?? "")].length;
    must(length <= maxNameChars, "a name is longer than the cap");
    must(!/[\u0000-\u001f\u007f]/.test(name ?? ""), "a name with a control character");
  }
  for (const list of [data.to, data.cc, data.reply_to]) {
    must(list.length <= maxAddresses, "a list is longer than the cap");
  }
  must(new Set(data.truncated).size === data.truncated.length, "something is called cut twice");
};

/** Any message, capped and written. */
export const payload = createTarget({
  name: "payload",
  weight: 10,
  cases: fc.record({ message, limits }),
  run: ({ message: whole, limits: own }, meter) => {
    const capped = meter.turn(() => capMessage(whole, own));
    const json = meter.turn(() => buildPayload(capped, null));
    must(json.isWellFormed(), "the payload is not well-formed Unicode");
    const parsed = JSON.parse(json) as Payload;
    must(
      stringsIn(parsed).every((text) => text.isWellFormed()),
      "half a pair hides in an escape",
    );
    must(parsed.data.text === (whole.text?.toWellFormed() ?? null), "the text is another one");
    must(parsed.data.html === (whole.html?.toWellFormed() ?? null), "the HTML is another one");
    checkCaps(parsed, own);
    must(JSON.stringify(parsed) === json, "the payload is not what a reader would write");
    const again = meter.turn(() => buildPayload(capMessage(capped, own), null));
    must(again === json, "to cap twice is not to cap once");
    return json;
  },
});
