// Messages that are too much: 100 MB of HTML, a 50 MB attachment, a header that no client should have to
// read. What each costs is bounded, in memory and on the wire, and no mail near it suffers. A relay
// before Dovecot counts what was really read from the socket.
// @module-tag resilience
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { messagesFor, poisonMessage, subjectOf, subjects, until } from "../support/deliveries.ts";
import { type Dovecot, startDovecot } from "../support/dovecot.ts";
import * as mail from "../support/mail.ts";
import { startRelay } from "../support/relay.ts";
import { openScene } from "../support/scene.ts";

const MB = 1_000_000;

/** What one message may add to the memory of an idle daemon, and take off the wire. */
const MAX_GROWTH_BYTES = 60 * MB;
const MAX_WIRE_BYTES = 2.5 * MB;

let server: Dovecot;

beforeAll(async () => {
  server = await startDovecot();
});
afterAll(async () => {
  await server.stop();
});

const PARAGRAPH = '<p class="x">Lorem ipsum dolor sit amet, consetetur sadipscing.</p>';

/** 57 bytes make one line of base64, so that lines repeat without a seam. */
const BASE64_LINE = `${Buffer.from(PARAGRAPH.slice(0, 57)).toString("base64")}\r\n`;

/** The same HTML over and over, as each encoding writes it; and how much longer that makes it. */
const ENCODINGS = {
  "7bit": { line: `${PARAGRAPH}\r\n`, factor: 1 },
  base64: { line: BASE64_LINE, factor: 78 / 57 },
  "quoted-printable": { line: `${PARAGRAPH.replaceAll("=", "=3D")}\r\n`, factor: 1.03 },
} as const;

/** A message with `sizeBytes` of HTML; built without a second copy, because it is large. */
const htmlMessage = (encoding: keyof typeof ENCODINGS, sizeBytes: number): Buffer => {
  const { line, factor } = ENCODINGS[encoding];
  const head = Buffer.from(
    `From: ann@example.com\r\nSubject: ${encoding}\r\nMIME-Version: 1.0\r\n` +
      `Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: ${encoding}\r\n\r\n`,
  );
  const lines = Math.ceil((sizeBytes * factor) / line.length);
  const raw = Buffer.alloc(head.length + lines * line.length, line);
  // The body begins where its first line does, so the filling is shifted behind the header.
  raw.fill(line, head.length);
  head.copy(raw);
  return raw;
};

const fileMessage = (sizeBytes: number): Buffer => {
  const content = Buffer.alloc(sizeBytes, 7);
  const text = mail.textPart({ text: "see attachment" });
  const file = mail.attachmentPart({ filename: "film.bin", content });
  return mail.message({ subject: "film" }, mail.multipart("mixed", [text, file]));
};

describe("a message of 100 MB", () => {
  test("costs little memory and little of the wire, whatever its encoding", async () => {
    await using relay = await startRelay(server.port);
    await using scene = await openScene(server, { mailbox: { port: relay.port } });
    const { daemon } = scene;

    const measure = async (raw: Buffer, nth: number): Promise<{ grown: number; read: number }> => {
      await sleep(1500);
      daemon.resetPeak();
      const idle = daemon.rssBytes();
      const before = relay.bytesDown();
      await scene.deliver(raw);
      await scene.posted(nth, 60_000);
      await daemon.waitForEvent("message.delivered", ({ uid }) => uid === nth);
      return { grown: daemon.peakRssBytes() - idle, read: relay.bytesDown() - before };
    };

    const names = ["7bit", "base64", "quoted-printable"] as const;
    for (const [index, encoding] of names.entries()) {
      const { grown, read } = await measure(htmlMessage(encoding, 100 * MB), index + 1);
      console.log(`100 MB of HTML, ${encoding}: +${grown} bytes of memory, ${read} read`);
      expect(grown).toBeLessThan(MAX_GROWTH_BYTES);
      expect(read).toBeLessThan(MAX_WIRE_BYTES);
    }
    const { grown, read } = await measure(fileMessage(50 * MB), 4);
    console.log(`50 MB attachment: +${grown} bytes of memory, ${read} read`);
    expect(grown).toBeLessThan(MAX_GROWTH_BYTES);
    expect(read).toBeLessThan(MAX_WIRE_BYTES);

    const events = await scene.posted(4);
    for (const { data } of events.slice(0, 3)) {
      expect(Buffer.byteLength(String(data["html"]))).toBe(MB);
      expect(data).toMatchObject({ truncated: ["html"], unreadable: null });
      expect(data["html"]).toContain('<p class="x">Lorem ipsum');
    }
    const attachments = [{ filename: "film.bin", part: "2" }];
    expect(events[3]?.data).toMatchObject({ text: "see attachment", truncated: [], attachments });
  });
});

describe("a message that ends the connection", () => {
  test("becomes a reduced event, and all mail around it is delivered whole", async () => {
    await using relay = await startRelay(server.port);
    await using scene = await openScene(server, {
      mailbox: { port: relay.port, start_from: "beginning" },
      start: false,
    });
    const { daemon } = scene;
    const poison = poisonMessage("poison");
    const names = subjects(20);
    await scene.deliver(
      ...messagesFor(names.slice(0, 10)),
      poison,
      ...messagesFor(names.slice(10)),
    );
    await daemon.start();
    const events = await scene.posted(21, 60_000);
    const bySubject = new Map(events.map(({ data }) => [data.subject, data]));
    for (const name of names) {
      expect(bySubject.get(name)).toMatchObject({ text: `body of ${name}`, unreadable: null });
    }
    expect(bySubject.get("poison")).toMatchObject({
      ...{ uid: 11, unreadable: "malformed", size: poison.length },
      ...{ text: null, html: null },
    });

    await scene.deliverSubjects("later");
    const [later] = (await scene.posted(22)).slice(21);
    expect(later?.data).toMatchObject({ subject: "later", unreadable: null });
    // The first log-in, one after the batch died, and one after each of two tries with it alone.
    const logins = relay.connections();
    expect(logins).toBeLessThanOrEqual(4);
    await sleep(3000);
    expect(relay.connections()).toBe(logins);
    expect(daemon.events("message.reduced")).toMatchObject([{ uid: 11, reason: "malformed" }]);
    const { mailboxes } = await daemon.status();
    expect(mailboxes[0]).toMatchObject({
      ...{ state: "polling", settled_up_to: 22, counts: { delivered: 22, reduced: 1 } },
    });
  });

  test("keeps no folder from its first contact by date, nor from going on when it is renumbered", async () => {
    await using relay = await startRelay(server.port);
    await using scene = await openScene(server, {
      mailbox: { port: relay.port, start_from: "2020-01-01" },
      start: false,
    });
    const { daemon } = scene;
    await scene.deliver(...messagesFor(["one"]), poisonMessage("poison"), ...messagesFor(["two"]));
    await daemon.start();
    const first = await scene.posted(3, 60_000);
    expect(first.map(({ data }) => data.subject).toSorted()).toEqual(["one", "poison", "two"]);
    await until("they are committed", () => daemon.events("message.delivered").length === 3);

    server.resetUidvalidity(scene.user);
    await scene.deliverSubjects("three");
    relay.cut();
    await daemon.waitForEvent("mailbox.reset");
    await until("the new message is posted", () =>
      scene.receiver.requests.some((request) => subjectOf(request) === "three"),
    );
    const sent = scene.receiver.requests.map(subjectOf);
    expect(sent.filter((subject) => subject === "one" || subject === "two")).toHaveLength(2);
  });
});
