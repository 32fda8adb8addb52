// What the session makes of headers that few mailers write: bare octets of old charsets, groups, forged
// senders, and headers so long that reading them would hold up everything else. Against a real Dovecot.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { MailError } from "../../src/core/errors.ts";
import type { Envelope } from "../../src/core/message.ts";
import { envelopeFromHeader } from "../../src/mail/header-envelope.ts";
import { createOpenSession } from "../../src/mail/imapflow/session.adapter.ts";
import type { MailSession } from "../../src/mail/session.ts";
import { type Dovecot, startDovecot } from "../support/dovecot.ts";
import * as mail from "../support/mail.ts";

const openSession = createOpenSession({ clientVersion: "0.0.0-test" });

let server: Dovecot;
let users = 0;

beforeAll(async () => {
  server = await startDovecot();
});
afterAll(async () => {
  await server.stop();
});

/** Delivers to a mailbox of its own and opens it; header lines are written in Latin-1. */
const openWith = async (...messages: (Buffer | readonly string[])[]): Promise<MailSession> => {
  const user = `headers${(users += 1)}`;
  await server.deliver(
    user,
    messages.map((one) =>
      Buffer.isBuffer(one) ? one : Buffer.from([...one, "", "body", ""].join("\r\n"), "latin1"),
    ),
  );
  const imap = { host: "127.0.0.1", port: server.port, tls: "none", user } as const;
  const account = { ...imap, password: server.password, maxConnections: 10 };
  const request = { imap: account, folder: "INBOX", readOnly: true };
  return openSession(request, new AbortController().signal);
};
const envelopeOf = async (...lines: readonly string[]): Promise<Envelope | null | undefined> => {
  const session = await openWith(lines);
  const [found] = await session.fetchMetadata([1], []);
  await session.close();
  return found?.envelope;
};

describe("bare octets in a header", () => {
  test("are read as the Latin-1 they are, also inside an encoded word", async () => {
    const envelope = await envelopeOf(
      "From: Fr\u00f6sche <ann@example.com>",
      "To: J\u00fcrgen <j@example.com>, =?iso-8859-1?Q?Ren\u00e9?= <r@example.com>",
      "Subject: Die Hasen",
      " und die Fr\u00f6sche",
    );
    expect(envelope).toMatchObject({
      subject: "Die Hasen und die Frösche",
      from: [{ name: "Frösche", address: "ann@example.com" }],
      to: [
        { name: "Jürgen", address: "j@example.com" },
        { name: "René", address: "r@example.com" },
      ],
    });
  });

  test("behind 70 KB of other headers cost no more than their own letters", async () => {
    const seal = `ARC-Seal: i=1; ${`${"a".repeat(70)}\r\n `.repeat(27)}z`;
    const envelope = await envelopeOf(
      ...Array.from({ length: 36 }, () => seal),
      ...["From: Boss <boss@corp.example>", "To: me@corp.example", "Message-ID: <1@x>"],
      ...["Date: Mon, 1 Jan 2024 00:00:00 +0000", "Subject: Caf\u00e9"],
    );
    expect(envelope).toMatchObject({
      ...{ messageId: "<1@x>", date: "2024-01-01T00:00:00.000Z", subject: "Caf\ufffd" },
      from: [{ name: "Boss", address: "boss@corp.example" }],
      to: [{ name: null, address: "me@corp.example" }],
    });
  });
});

describe("groups", () => {
  test("name nobody, and their members count, read by the server and by ourselves", async () => {
    const session = await openWith([
      "From: a@example.com",
      "To: undisclosed-recipients:;",
      "Cc: friends: Ann <ann@example.com>, bea@example.com;, carl@example.com",
    ]);
    const [found] = await session.fetchMetadata([1], []);
    const bare = await session.fetchHeader(1, 16_384);
    for (const envelope of [found?.envelope, envelopeFromHeader(bare?.header ?? Buffer.from(""))]) {
      expect(envelope?.to).toEqual([]);
      expect(envelope?.cc).toEqual([
        { name: "Ann", address: "ann@example.com" },
        { name: null, address: "bea@example.com" },
        { name: null, address: "carl@example.com" },
      ]);
    }
    await session.close();
  });
});

describe("a header that would take long to decode", () => {
  const words = (count: number): string =>
    `${"=?iso-2022-jp?B?GyRCJCI=?= x ".repeat(28)}\r\n `.repeat(count);

  test.each([
    ["a subject of 100 KB", [`Subject: \u00e9 ${words(120)}x`]],
    ["240 long headers that a rule looks at", Array(240).fill(`List-Id: ${words(19)}x`)],
    ["400,000 dates", Array(400_000).fill("Date: x")],
  ])("ends the connection before it is decoded: %s", async (_, lines: string[]) => {
    const session = await openWith(["From: a@example.com", ...lines], mail.plainMessage("x"));
    expect(await session.fetchMetadata([2], ["list-id"])).toHaveLength(1);
    const error = await session.fetchMetadata([1], ["list-id"]).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(MailError);
    expect(error).toMatchObject({ failure: "closed", code: "LiteralTooLarge" });
  });

  test("is decoded where it is as long as mail can be, with a thousand recipients", async () => {
    const to = Array.from(
      { length: 1000 },
      (_, i) => `"Recipient ${i}" <recipient.${i}@example.com>`,
    );
    const envelope = await envelopeOf(`Subject: \u00e9 ${words(20)}x`, `To: ${to.join(",\r\n ")}`);
    expect(envelope?.to).toHaveLength(1000);
    expect(envelope?.subject).toContain("あ x");
  });
});

describe("pieces of a body", () => {
  test("may be larger than anything of a header, before and after one is read", async () => {
    const html = mail.textPart({ text: mail.bigHtml(3_000_000), subtype: "html" });
    const session = await openWith(mail.message({}, html));
    const ranges = [{ part: "1", offsetBytes: 0, lengthBytes: 2_000_000 }];
    for (let round = 0; round < 2; round += 1) {
      const lengths: (number | undefined)[] = [];
      await session.fetchParts([{ uid: 1, ranges }], (_, parts) =>
        lengths.push(parts.get("1")?.length),
      );
      expect(lengths).toEqual([2_000_000]);
      expect(await session.fetchMetadata([1], [])).toHaveLength(1);
    }
    await session.close();
  });
});
