// Envelopes out of raw headers: well-formed ones, hostile ones, and ones that were cut. And what a
// header mends of an envelope that the server told: only text that is garbled, never who sent it.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Envelope } from "../core/message.ts";
import { envelopeFromHeader, isGarbled, repairEnvelope } from "./header-envelope.ts";

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

  test("takes the last of several angles, which no display name can stand before", () => {
    const { from } = envelopeOf("From: Boss <ok@corp.com> <attacker@evil.com>, b@x.org");
    expect(from.map(({ address }) => address)).toEqual(["attacker@evil.com", "b@x.org"]);
  });

  test("reads bare octets of an encoded word in the charset of the word", () => {
    const raw = Buffer.from("Subject: =?iso-8859-2?Q?Ko\u00b3o_=B3?= \u00e9t\u00e9", "latin1");
    expect(envelopeFromHeader(raw).subject).toBe("Koło ł été");
  });

  test("reads a header of nothing but signs to its end, and no further than 64 KiB", () => {
    const signs = "@".repeat(60_000);
    expect(envelopeOf(`From: ${signs} x`).from).toEqual([{ name: `${signs} x`, address: null }]);
    for (const text of ["@", "@x", "x@"])
      expect(envelopeOf(`From: ${text}`).from[0]?.address).toBeNull();
    expect(envelopeOf(`X: ${"x".repeat(64 * 1024)}`, "Subject: behind").subject).toBeNull();
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

  test("reads no date outside the years of four digits", () => {
    const dateOf = (text: string): string | null => envelopeOf(`Date: ${text}`).date;
    expect(dateOf("1 Jan 0000 00:00 +0000")).toBe("0000-01-01T00:00:00.000Z");
    expect(dateOf("31 Dec 9999 23:59:59 +0000")).toBe("9999-12-31T23:59:59.000Z");
    expect(dateOf("1 Jan 0000 00:00 +0100")).toBeNull();
    expect(dateOf("31 Dec 9999 23:59 -0001")).toBeNull();
    expect(dateOf("31 Dec 9999 23:59:60 +0000")).toBeNull();
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

describe("repairEnvelope", () => {
  const BAD = "\ufffd";
  const told = (parts: Partial<Envelope>): Envelope => ({ ...EMPTY, ...parts });
  const repaired = (envelope: Envelope, lines: readonly string[], cut = false): Envelope =>
    repairEnvelope(envelope, Buffer.from(lines.join("\r\n"), "latin1"), cut);

  test("takes garbled text from the header and everything else from the server", () => {
    const envelope = told({
      ...{ messageId: "<told@x>", date: "2024-01-01T00:00:00.000Z", subject: `Caf${BAD}` },
      from: [{ name: `Fr${BAD}sche`, address: `${BAD}@told.org` }],
      to: [
        { name: "Ann", address: "a@x.org" },
        { name: `J${BAD}rgen`, address: "J@x.org" },
      ],
    });
    const header = ["Message-ID: <read@x>", "Date: Tue, 2 Jan 2024 00:00:00 +0000"];
    const names = ["From: Fr\xf6sche <f@x.org>", "To: J\xfcrgen <j@x.org>, Bea <a@x.org>, c@x.org"];
    expect(repaired(envelope, [...header, ...names, "Subject: Caf\xe9", "Cc: c@x.org"])).toEqual({
      ...envelope,
      subject: "Café",
      from: [{ name: "Frösche", address: `${BAD}@told.org` }],
      to: [
        { name: "Ann", address: "a@x.org" },
        { name: "Jürgen", address: "J@x.org" },
      ],
    });
  });

  test("keeps what the server told where the header has nothing that is surely the same", () => {
    const envelope = told({
      subject: `Caf${BAD}`,
      from: [{ name: `Fr${BAD}sche`, address: "f@x.org" }],
      cc: [{ name: `J${BAD}rgen`, address: null }],
    });
    expect(repaired(envelope, ["X-Other: 1"])).toEqual(envelope);
    const others = ["From: A <a@x.org>, B <b@x.org>", "Cc: a@x.org"];
    expect(repaired(envelope, others)).toEqual(envelope);
  });

  test("gives names that share an address each its own", () => {
    const to = ["a", "b"].map((name) => ({ name: `${name}${BAD}`, address: "x@y.z" }));
    const names = repaired(told({ to }), ["To: a\xe9 <x@y.z>, b\xe9 <x@y.z>"]).to;
    expect(names.map(({ name }) => name)).toEqual(["aé", "bé"]);
  });

  test("does not take half a header that a cut has left", () => {
    const envelope = told({ subject: `Caf${BAD} au lait` });
    for (const lines of [["Subject: Caf\xe9"], ["Subject: Caf\xe9", " au la"], ["Sub"]]) {
      expect(repaired(envelope, ["From: a@x.org", ...lines], true)).toEqual(envelope);
      expect(repaired(envelope, lines, true)).toEqual(envelope);
    }
    const whole = ["Subject: Caf\xe9", " au lait", "From: a@x"];
    expect(repaired(envelope, whole, true).subject).toBe("Café au lait");
  });

  test("is asked for when text is garbled, and not for an address that is", () => {
    expect(isGarbled(told({ subject: `Caf${BAD}` }))).toBe(true);
    expect(isGarbled(told({ subject: "Frï¿½sche" }))).toBe(true);
    expect(isGarbled(told({ cc: [{ name: BAD, address: null }] }))).toBe(true);
    const fine = { name: "Frösche", address: `${BAD}@x` };
    expect(isGarbled(told({ subject: "Café", from: [fine] }))).toBe(false);
  });
});
