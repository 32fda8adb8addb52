// The body of a webhook: the JSON of DESIGN section 8 as a pure function of message and configuration,
// so that every attempt sends the same bytes. The cycle caps a message once and builds its payload once.
import { isoFromMs } from "../core/calendar.ts";
import { type Limits, capText } from "../core/limits.ts";
import type { Address, Attachment, Envelope, Message, Truncation } from "../core/message.ts";
import type { Rule } from "../core/settings.ts";

const ORDER: readonly Truncation[] = [
  "html",
  "text",
  "links",
  "attachments",
  "names",
  "addresses",
  "offload",
];

/** In one line of a header they mean nothing, and receivers choke on them or write them where it hurts. */
const CONTROLS = /[\u0000-\u001f\u007f]+/g;

/** Caps strings and lists and remembers which kind of cap took something away. */
const createCapper = ({ maxNameChars, maxAddresses }: Limits) => {
  const hit = new Set<Truncation>();
  const name = (text: string | null): string | null => {
    if (text === null) return null;
    const line = text.replaceAll(CONTROLS, " ");
    const kept = capText(line, maxNameChars);
    if (kept.length < line.length) hit.add("names");
    return kept;
  };
  const address = (one: Address): Address => ({
    name: name(one.name),
    address: name(one.address),
  });
  const addresses = (list: readonly Address[]): readonly Address[] => {
    if (list.length > maxAddresses) hit.add("addresses");
    return list.slice(0, maxAddresses).map(address);
  };
  const attachment = (one: Attachment): Attachment => ({
    ...one,
    filename: name(one.filename),
    contentId: name(one.contentId),
  });
  return { hit, name, addresses, attachment };
};

/**
 * `message` with everything from its headers within the limits: subject, ids, names, addresses and
 * file names at `maxNameChars` code points and without control characters, lists of addresses at
 * `maxAddresses`. What was cut is named in `truncated`, each word once and always in the same order.
 */
export const capMessage = (message: Message, limits: Limits): Message => {
  const { hit, name, addresses, attachment } = createCapper(limits);
  const { envelope } = message;
  const capped: Envelope = {
    messageId: name(envelope.messageId),
    inReplyTo: name(envelope.inReplyTo),
    subject: name(envelope.subject),
    date: envelope.date,
    from: addresses(envelope.from),
    sender: addresses(envelope.sender),
    replyTo: addresses(envelope.replyTo),
    to: addresses(envelope.to),
    cc: addresses(envelope.cc),
  };
  const attachments = message.attachments.map(attachment);
  const truncated = ORDER.filter((word) => hit.has(word) || message.truncated.includes(word));
  return { ...message, envelope: capped, attachments, truncated };
};

const wellFormed = (_key: string, value: unknown): unknown =>
  typeof value === "string" ? value.toWellFormed() : value;

/** As JSON without lone surrogates, which would be escapes that strict readers refuse. */
const toJson = (value: unknown): string => {
  const json = JSON.stringify(value);
  // Looking at every string doubles the work, and hardly any message has such an escape.
  return json.includes("\\ud") ? JSON.stringify(value, wellFormed) : json;
};

/** Only the fields of the contract, in its order, whatever else the object carries. */
const addressOf = ({ name, address }: Address): Address => ({ name, address });

const firstOf = ([first]: readonly Address[]): Address | null =>
  first === undefined ? null : addressOf(first);

/** The JSON text that is posted for `message`, matched by `rule` or by none. */
export const buildPayload = (message: Message, rule: Rule | null): string => {
  const { envelope } = message;
  const receivedAt = isoFromMs(message.internalDateMs);
  const data = {
    event_id: message.eventId,
    mailbox: message.mailbox,
    folder: message.folder,
    uid: message.uid,
    uidvalidity: message.uidvalidity,
    message_id: envelope.messageId,
    in_reply_to: envelope.inReplyTo,
    subject: envelope.subject,
    from: firstOf(envelope.from),
    sender: firstOf(envelope.sender),
    reply_to: envelope.replyTo.map(addressOf),
    to: envelope.to.map(addressOf),
    cc: envelope.cc.map(addressOf),
    date: envelope.date,
    received_at: receivedAt,
    size: message.sizeBytes,
    text: message.text,
    html: message.html,
    truncated: message.truncated,
    unreadable: message.unreadable,
    links: message.links.map(({ provider, url, offloaded }) => ({
      provider,
      url,
      offloaded_url: offloaded?.url ?? null,
      filename: offloaded?.filename ?? null,
    })),
    attachments: message.attachments.map((one) => ({
      filename: one.filename,
      content_type: one.contentType,
      size: one.sizeBytes,
      part: one.part,
      content_id: one.contentId,
      disposition: one.disposition,
      key: one.offloaded?.key ?? null,
      url: one.offloaded?.url ?? null,
      sha256: one.offloaded?.sha256 ?? null,
    })),
    rule: rule === null ? null : { id: rule.id, name: rule.name, priority: rule.priority },
  };
  return toJson({ type: "email.received", timestamp: receivedAt, data });
};
