// The body of a webhook, field by field, and the caps on what comes from a message's headers.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { DEFAULT_LIMITS } from "../core/limits.ts";
import type { Envelope, Message } from "../core/message.ts";
import type { Rule } from "../core/settings.ts";
import { buildPayload, capMessage } from "./payload.ts";

const ann = { name: "Ann", address: "ann@example.com" };
const bob = { name: null, address: "bob@example.com" };

const envelope: Envelope = {
  messageId: "<1@example.com>",
  inReplyTo: null,
  subject: "Été 🌞",
  date: "2026-11-24T07:59:00.000Z",
  from: [ann, bob],
  sender: [],
  replyTo: [bob],
  to: [bob, ann],
  cc: [],
};

const message: Message = {
  eventId: "evt_abc",
  mailbox: "default",
  folder: "INBOX",
  uid: 12,
  uidvalidity: "1795508534",
  internalDateMs: 1_795_507_200_000,
  sizeBytes: 12_345,
  envelope,
  headers: new Map([["x-secret", ["not sent"]]]),
  text: "hello",
  html: null,
  links: [{ provider: "dropbox", url: "https://www.dropbox.com/s/1", offloaded: null }],
  attachments: [
    {
      filename: "a.pdf",
      contentType: "application/pdf",
      sizeBytes: 99,
      encoding: "base64",
      part: "2",
      contentId: "<c>",
      disposition: "attachment",
      offloaded: null,
    },
  ],
  truncated: ["html"],
  unreadable: null,
};

const rule: Rule = {
  id: "bills",
  name: "Bills",
  conditions: [],
  webhookUrl: null,
  secretName: null,
  priority: "high",
  stopProcessing: false,
  drop: false,
};

describe("buildPayload", () => {
  test("is the JSON of the contract, in its order", () => {
    const received = "2026-11-24T08:00:00.000Z";
    const expected = {
      type: "email.received",
      timestamp: received,
      data: {
        event_id: "evt_abc",
        mailbox: "default",
        folder: "INBOX",
        uid: 12,
        uidvalidity: "1795508534",
        message_id: "<1@example.com>",
        in_reply_to: null,
        subject: "Été 🌞",
        from: ann,
        sender: null,
        reply_to: [bob],
        to: [bob, ann],
        cc: [],
        date: "2026-11-24T07:59:00.000Z",
        received_at: received,
        size: 12_345,
        text: "hello",
        html: null,
        truncated: ["html"],
        unreadable: null,
        links: [
          {
            provider: "dropbox",
            url: "https://www.dropbox.com/s/1",
            offloaded_url: null,
            filename: null,
          },
        ],
        attachments: [
          {
            filename: "a.pdf",
            content_type: "application/pdf",
            size: 99,
            part: "2",
            content_id: "<c>",
            disposition: "attachment",
            key: null,
            url: null,
            sha256: null,
          },
        ],
        rule: { id: "bills", name: "Bills", priority: "high" },
      },
    };
    expect(buildPayload(message, rule)).toBe(JSON.stringify(expected));
  });

  test("says null where no rule matched, and why a message is reduced", () => {
    const reduced: Message = { ...message, text: null, attachments: [], unreadable: "timeout" };
    const { data } = JSON.parse(buildPayload(reduced, null)) as { data: object };
    expect(data).toMatchObject({ rule: null, text: null, attachments: [], unreadable: "timeout" });
  });

  test("holds no lone surrogate, so that it is well-formed everywhere", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        const broken = `${text}\ud83d`;
        const subject = broken;
        const payload = buildPayload(
          { ...message, text: broken, envelope: { ...envelope, subject } },
          null,
        );
        expect(payload.isWellFormed()).toBe(true);
        const { data } = JSON.parse(payload) as { data: { text: string; subject: string } };
        expect(data.text).toBe(broken.toWellFormed());
        expect(data.subject).toBe(broken.toWellFormed());
      }),
    );
  });
});

describe("capMessage", () => {
  const limits = { ...DEFAULT_LIMITS, maxNameChars: 4, maxAddresses: 2 };

  test("leaves a message within the limits as it is", () => {
    expect(capMessage(message, DEFAULT_LIMITS)).toEqual(message);
  });

  test("cuts subject, names and file names at code points and says so once", () => {
    const long = { name: "🌞🌞🌞🌞🌞", address: "a@b" };
    const capped = capMessage(
      {
        ...message,
        envelope: { ...envelope, subject: "🌞abcdef", from: [long], to: [long], messageId: null },
      },
      limits,
    );
    expect(capped.envelope.subject).toBe("🌞abc");
    expect(capped.envelope.from).toEqual([{ name: "🌞🌞🌞🌞", address: "a@b" }]);
    expect(capped.attachments[0]?.filename).toBe("a.pd");
    expect(capped.truncated).toEqual(["html", "names"]);
  });

  test("cuts each list of addresses and keeps the words of truncation in one order", () => {
    const many = [ann, bob, ann].map(({ name }) => ({ name, address: "x" }));
    const short: Envelope = {
      ...envelope,
      messageId: null,
      subject: null,
      from: [],
      to: many,
      cc: many,
      replyTo: [],
    };
    const capped = capMessage(
      { ...message, attachments: [], truncated: ["offload", "text"], envelope: short },
      limits,
    );
    expect(capped.envelope.to).toEqual(many.slice(0, 2));
    expect(capped.envelope.cc).toEqual(many.slice(0, 2));
    expect(capped.truncated).toEqual(["text", "addresses", "offload"]);
  });

  test("keeps every text within its cap, well-formed, and is stable when applied twice", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), fc.nat(12), (subject, maxNameChars) => {
        const tight = { ...limits, maxNameChars };
        const capped = capMessage({ ...message, envelope: { ...envelope, subject } }, tight);
        const kept = capped.envelope.subject ?? "";
        expect(subject.startsWith(kept)).toBe(true);
        expect([...kept].length).toBe(Math.min([...subject].length, maxNameChars));
        expect(capMessage(capped, tight)).toEqual(capped);
      }),
    );
  });
});
