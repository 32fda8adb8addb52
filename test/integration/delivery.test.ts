// The whole daemon between a real Dovecot and a real receiver, on a good day: what a message becomes on
// the wire, field by field, what it leaves behind on disk and in the mailbox, and where a folder's first
// contact starts.
import { createHash } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { WEBHOOK_SECRET } from "../support/daemon-config.ts";
import { type Dovecot, startDovecot } from "../support/dovecot.ts";
import * as mail from "../support/mail.ts";
import { openScene } from "../support/scene.ts";

const DAY_MS = 24 * 3_600_000;

let server: Dovecot;
beforeAll(async () => {
  server = await startDovecot();
});
afterAll(async () => {
  await server.stop();
});

/** The id by the formula of the design, written down a second time. */
const expectedId = (...parts: readonly string[]): string => {
  const bits = [...createHash("sha256").update(parts.join("\0")).digest()]
    .map((byte) => byte.toString(2).padStart(8, "0"))
    .join("");
  const letters = bits.match(/.{5}/g) ?? [];
  const word = letters.map((five) => "abcdefghijklmnopqrstuvwxyz234567"[Number.parseInt(five, 2)]);
  return `evt_${word.slice(0, 26).join("")}`;
};

/** Everything that lies under `dir`, as one text of octets. */
const everythingIn = (dir: string): string =>
  readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => readFileSync(join(entry.parentPath, entry.name), "latin1"))
    .join("\n");

const WHOLE = mail.message(
  {
    from: '"Élodie, the Sender" <elodie@example.com>',
    to: "Bob <bob@example.com>, carol@example.org",
    subject: "Grüße aus Zanzibar-7731",
    date: "Tue, 24 Nov 2026 09:00:00 +0100",
    messageId: "<whole-7731@example.com>",
    extra: [
      ["Sender", "Secretary <secretary@example.com>"],
      ["Reply-To", "Desk <desk@example.com>"],
      ["Cc", "dave@example.net"],
      ["In-Reply-To", "<before@example.com>"],
    ],
  },
  mail.multipart("mixed", [
    mail.alternative(
      "plain zanzibar-7731 https://www.dropbox.com/s/abc/file.zip?dl=0",
      "<p>html zanzibar-7731</p>",
    ),
    mail.attachmentPart({
      filename: "résumé.pdf",
      content: Buffer.from("%PDF zanzibar-7731"),
      contentType: "application/pdf",
    }),
  ]),
);

describe("one message", () => {
  test("arrives with every field of the contract, signed, under the id of its place", async () => {
    await using scene = await openScene(server);
    const { daemon, receiver, user } = scene;
    const internalDateMs = Date.parse("2026-11-24T08:00:05Z");
    await server.deliver(user, [WHOLE], { internalDateMs });
    const [event] = await scene.posted(1);
    const { uidvalidity } = (await daemon.status()).mailboxes[0] ?? {};
    const id = expectedId("default", "INBOX", String(uidvalidity), "1");
    expect(event).toEqual({
      type: "email.received",
      timestamp: "2026-11-24T08:00:05.000Z",
      data: {
        event_id: id,
        mailbox: "default",
        folder: "INBOX",
        uid: 1,
        uidvalidity,
        message_id: "<whole-7731@example.com>",
        in_reply_to: "<before@example.com>",
        subject: "Grüße aus Zanzibar-7731",
        from: { name: "Élodie, the Sender", address: "elodie@example.com" },
        sender: { name: "Secretary", address: "secretary@example.com" },
        reply_to: [{ name: "Desk", address: "desk@example.com" }],
        to: [
          { name: "Bob", address: "bob@example.com" },
          { name: null, address: "carol@example.org" },
        ],
        cc: [{ name: null, address: "dave@example.net" }],
        date: "2026-11-24T08:00:00.000Z",
        received_at: "2026-11-24T08:00:05.000Z",
        size: WHOLE.length,
        text: "plain zanzibar-7731 https://www.dropbox.com/s/abc/file.zip?dl=0",
        html: "<p>html zanzibar-7731</p>",
        truncated: [],
        unreadable: null,
        links: [
          {
            provider: "dropbox",
            url: "https://www.dropbox.com/s/abc/file.zip?dl=0",
            offloaded_url: null,
            filename: null,
          },
        ],
        attachments: [
          {
            filename: "résumé.pdf",
            content_type: "application/pdf",
            size: Buffer.from("%PDF zanzibar-7731").toString("base64").length,
            part: "2",
            content_id: null,
            disposition: "attachment",
            key: null,
            url: null,
            sha256: null,
          },
        ],
        rule: null,
      },
    });
    const { fence } = (await daemon.status()).mailboxes[0]?.lease ?? {};
    expect(receiver.requests[0]).toMatchObject({
      id,
      attempt: 1,
      fence,
      destination: "default",
      path: "/hook",
      verified: true,
    });
  });

  test("leaves nothing of itself on disk or in the log, and is not marked as seen", async () => {
    await using scene = await openScene(server);
    const { daemon } = scene;
    await scene.deliver(WHOLE);
    await scene.posted(1);
    await daemon.waitForEvent("message.delivered");
    const client = await scene.client();
    const [flags] = await client.command("UID FETCH 1 (FLAGS)");
    client.close();
    expect(flags).toMatch(/FLAGS \([^)]*\)/);
    expect(flags).not.toContain("\\Seen");
    expect(await daemon.stop()).toEqual({ code: 0, signal: null });
    const traces = [everythingIn(daemon.dataDir), JSON.stringify(daemon.lines), daemon.stderr()];
    expect(traces[0]).toContain("SQLite format 3");
    const words = ["zanzibar", "elodie", "example.com", "secretary", "dropbox", scene.user];
    for (const trace of traces)
      for (const word of words) {
        expect(trace.toLowerCase()).not.toContain(word);
      }
  });

  test("has a receipt, counts and a metric that tell of it without its content", async () => {
    await using scene = await openScene(server);
    const { daemon } = scene;
    await scene.deliverSubjects("one");
    const [event] = await scene.posted(1);
    await daemon.waitForEvent("message.delivered");
    const receipts = JSON.parse((await daemon.cli("receipts", "--json")).out) as unknown[];
    expect(receipts).toMatchObject([
      {
        event_id: event?.data.event_id,
        mailbox: "default",
        uid: 1,
        outcome: "delivered",
        pairs: [{ destination: "default", state: "delivered", attempts: 1 }],
      },
    ]);
    const status = await daemon.status();
    expect(status.mailboxes[0]).toMatchObject({
      id: "default",
      state: "polling",
      settled_up_to: 1,
      lease: { state: "held" },
      counts: { delivered: 1, parked: 0, gone: 0 },
      spool: { waiting: 0, parked: 0 },
    });
    expect(await daemon.metrics()).toContain(
      'signalpost_messages_total{mailbox="default",outcome="delivered"} 1',
    );
    expect(await daemon.readyz()).toEqual({
      status: 200,
      body: { status: "ready", mailboxes: { default: "polling" } },
    });
  });

  test("without texts, dates and names comes with nulls in their place", async () => {
    await using scene = await openScene(server);
    await scene.deliver(
      Buffer.from("X-Only: this\r\n\r\n"),
      mail.message(
        { from: "<bare@example.com>", date: "yesterday, late" },
        mail.attachmentPart({ filename: null, content: Buffer.from("x") }),
      ),
    );
    const events = await scene.posted(2);
    const byUid = new Map(events.map(({ data }) => [data.uid, data]));
    expect(byUid.get(1)).toMatchObject({
      ...{ message_id: null, in_reply_to: null, subject: null, from: null, sender: null },
      ...{ reply_to: [], to: [], cc: [], date: null, html: null, unreadable: null },
    });
    expect(byUid.get(2)).toMatchObject({
      from: { name: null, address: "bare@example.com" },
      ...{ date: null, text: null, html: null },
      attachments: [{ filename: null, content_type: "application/octet-stream", part: "1" }],
    });
  });
});

describe("several messages", () => {
  test("150 at once arrive once each, signed by every secret of a rotation", async () => {
    const second = `whsec_${Buffer.alloc(32, 9).toString("base64")}`;
    await using scene = await openScene(server, {
      webhook: { secret: [second, WEBHOOK_SECRET] },
    });
    const subjects = Array.from({ length: 150 }, (_, index) => `mail ${index + 1}`);
    await scene.deliverSubjects(...subjects);
    const events = await scene.posted(150);
    expect(events.map(({ data }) => data.subject).toSorted()).toEqual(subjects.toSorted());
    expect(new Set(scene.receiver.requests.map(({ id }) => id)).size).toBe(150);
    expect(
      scene.receiver.requests.every(({ verified, attempt }) => verified && attempt === 1),
    ).toBe(true);
  });

  test("after a restart the old ones stay where they are and the new one comes", async () => {
    await using scene = await openScene(server);
    await scene.deliverSubjects("before");
    await scene.posted(1);
    await scene.daemon.waitForEvent("message.delivered");
    await scene.daemon.stop();
    await scene.deliverSubjects("while it was down");
    await scene.daemon.start();
    await scene.posted(2);
    await scene.deliverSubjects("after");
    const events = await scene.posted(3);
    expect(events.map(({ data }) => data.subject)).toEqual([
      "before",
      "while it was down",
      "after",
    ]);
    const fences = scene.receiver.requests.map(({ fence }) => fence);
    expect(fences[1]).toBeGreaterThan(fences[0] ?? Infinity);
    expect(scene.daemon.events("mailbox.first_contact")).toHaveLength(1);
  });
});

describe("first contact", () => {
  const old = (text: string, age: number) => async (user: string) =>
    server.deliver(user, [mail.plainMessage(text, { subject: text })], {
      internalDateMs: Date.now() - age * DAY_MS,
    });

  test("now: what is there stays, what comes is sent", async () => {
    await using scene = await openScene(server, { before: old("old", 3) });
    await scene.deliverSubjects("new");
    const [event] = await scene.posted(1);
    expect(event?.data).toMatchObject({ subject: "new", uid: 2 });
    await scene.daemon.stop();
    expect(scene.receiver.requests).toHaveLength(1);
  });

  test("beginning: everything that is there is sent", async () => {
    await using scene = await openScene(server, {
      mailbox: { start_from: "beginning" },
      before: async (user) => {
        await old("oldest", 900)(user);
        await old("old", 3)(user);
      },
    });
    const events = await scene.posted(2);
    expect(events.map(({ data }) => data.subject).toSorted()).toEqual(["old", "oldest"]);
  });

  test("a day: mail received on it or after, whatever stands before it", async () => {
    const day = new Date(Date.now() - 10 * DAY_MS).toISOString().slice(0, 10);
    await using scene = await openScene(server, {
      mailbox: { start_from: day },
      settings: { polling: { timezone: "UTC" } },
      before: async (user) => {
        await old("a week ago", 7)(user);
        await old("two weeks ago", 14)(user);
        await old("yesterday", 1)(user);
      },
    });
    const events = await scene.posted(2);
    await scene.deliverSubjects("today");
    await scene.posted(3);
    await scene.daemon.stop();
    expect(events.map(({ data }) => data.subject).toSorted()).toEqual(["a week ago", "yesterday"]);
    expect(scene.receiver.requests).toHaveLength(3);
  });

  test("outside the active window the baseline is set all the same, and mail waits for it", async () => {
    await using scene = await openScene(server, {
      before: old("old", 3),
      settings: { polling: { enable_polling: false } },
    });
    await scene.deliverSubjects("came while nothing was polled");
    await scene.daemon.waitForEvent("mailbox.inactive");
    expect((await scene.daemon.readyz()).body.mailboxes).toEqual({ default: "disabled" });
    await scene.daemon.stop();
    expect(scene.receiver.requests).toEqual([]);
    scene.daemon.writeConfig({ polling: { enable_polling: true } });
    await scene.daemon.start();
    const [event] = await scene.posted(1);
    expect(event?.data.subject).toBe("came while nothing was polled");
  });
});
