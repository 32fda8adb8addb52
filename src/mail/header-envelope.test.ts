// Envelopes out of raw headers: well-formed ones, hostile ones, and ones that were cut.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { envelopeFromHeader } from "./header-envelope.ts";

const envelopeOf = (...lines: string[]): ReturnType<typeof envelopeFromHeader> =>
  envelopeFromHeader(Buffer.from(lines.join("\r\n")));

const EMPTY = {
  messageId: null,
  inReplyTo: null,
  subject: null,
  date: null,
  from: [],
  sender: [],
  replyTo: [],
  to: [],
  cc: [],
};

describe("envelopeFromHeader", () => {
  test("reads a whole header", () => {
    const envelope = envelopeOf(
      "Message-ID: <a@x>",
      "In-Reply-To: <b@x>",
      "Subject: =?utf-8?Q?Caf=C3=A9?=",
      " au lait",
      "Date: Wed, 22 Oct 2025 10:00:00 +0200",
      "From: =?iso-8859-1?Q?Ren=E9?= <rene@example.com>",
      "Sender: s@example.com",
      "Reply-To: r@example.com",
      'To: "Doe, John" <john@example.com>, jane@example.com (Jane)',
      "Cc: team: a@x.org, b@x.org;, c@x.org",
      "",
      "Subject: of the body",
    );
    expect(envelope).toEqual({
      messageId: "<a@x>",
      inReplyTo: "<b@x>",
      subject: "Café au lait",
      date: "2025-10-22T08:00:00.000Z",
      from: [{ name: "René", address: "rene@example.com" }],
      sender: [{ name: null, address: "s@example.com" }],
      replyTo: [{ name: null, address: "r@example.com" }],
      to: [
        { name: "Doe, John", address: "john@example.com" },
        { name: "Jane", address: "jane@example.com" },
      ],
      cc: ["a@x.org", "b@x.org", "c@x.org"].map((address) => ({ name: null, address })),
    });
  });

  test("is empty for no header at all", () => {
    expect(envelopeFromHeader(new Uint8Array())).toEqual(EMPTY);
    expect(envelopeOf("", "From: body@example.com")).toEqual(EMPTY);
  });

  test("lets From stand in for a missing Sender and Reply-To", () => {
    const { from, sender, replyTo } = envelopeOf("From: a@x.org");
    expect(from).toEqual([{ name: null, address: "a@x.org" }]);
    expect([sender, replyTo]).toEqual([from, from]);
  });

  test("vector 35: never takes an address out of a display name", () => {
    const attacker = "attacker@evil.com";
    const froms = [
      `"Boss <ok@corp.com>" <${attacker}>`,
      `ok@corp.com <${attacker}>`,
      `=?utf-8?Q?=3Cok=40corp.com=3E=2C?= <${attacker}>`,
      `(ok@corp.com) ${attacker}`,
      `"a\\" <ok@corp.com>, " <${attacker}>`,
    ];
    for (const from of froms) expect(envelopeOf(`From: ${from}`).from[0]?.address).toBe(attacker);
  });

  test("takes the first of a header that stands there twice, and bare 8-bit text", () => {
    const { from, subject } = envelopeOf("From: a@x.org", "From: b@x.org", "Subject: été");
    expect([from[0]?.address, subject]).toEqual(["a@x.org", "été"]);
    const latin = envelopeFromHeader(Buffer.from("Subject: \u00e9t\u00e9", "latin1"));
    expect(latin.subject).toBe("été");
  });

  test("reads the dates of RFC 5322, old ones included", () => {
    const dateOf = (text: string): string | null => envelopeOf(`Date: ${text}`).date;
    expect(dateOf("Mon, 1 Jan 2024 00:00:00 -0130")).toBe("2024-01-01T01:30:00.000Z");
    expect(dateOf("29 Feb 24 23:59 EST (winter)")).toBe("2024-03-01T04:59:00.000Z");
    expect(dateOf("Fri,  31 December 1999 23:59:60 GMT")).toBe("2000-01-01T00:00:00.000Z");
    expect(dateOf("1 Jan 70 00:00:00 Z")).toBe("1970-01-01T00:00:00.000Z");
    const broken = ["", "soon", "30 Feb 2024 10:00", "1 Foo 2024 10:00", "1 Jan 2024 24:00"];
    for (const text of broken) expect(dateOf(text)).toBeNull();
  });

  test("makes well-formed text of any octets, cut anywhere", () => {
    const header = Buffer.from(
      'From: "a <b@c>" (d (e)) <f@g>, h:i@j;\r\nSubject: =?utf-8?B?8J+mig==?=\r\nTo: "k\\',
    );
    fc.assert(
      fc.property(fc.nat(header.length), fc.uint8Array(), (cut, noise) => {
        const raw = Buffer.concat([header.subarray(0, cut), noise, header.subarray(cut)]);
        const envelope = envelopeFromHeader(raw);
        expect(JSON.stringify(envelope)).not.toMatch(/\\ud[89a-f]/);
        for (const { name, address } of [...envelope.from, ...envelope.to]) {
          expect((name ?? address ?? "").length).toBeGreaterThan(0);
        }
      }),
    );
  });
});
