// What a large message costs. A relay between daemon and Dovecot counts the octets that really crossed
// the wire, so that a cap that acts only after the download would show.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Dovecot, startDovecot } from "../support/dovecot.ts";
import * as mail from "../support/mail.ts";
import { startRelay } from "../support/relay.ts";
import { openScene } from "../support/scene.ts";

/** What logging in, looking and telling of one message take besides its body, generously. */
const TALK_BYTES = 40_000;

let server: Dovecot;
beforeAll(async () => {
  server = await startDovecot();
});
afterAll(async () => {
  await server.stop();
});

const html = (sizeBytes: number, encoding: mail.TransferEncoding = "8bit"): Buffer =>
  mail.textPart({ text: mail.bigHtml(sizeBytes), subtype: "html", encoding });

describe("HTML over its cap", () => {
  test("is read only as far as the cap goes, cut at exactly 1,000,000 bytes, with one warning", async () => {
    await using relay = await startRelay(server.port);
    await using scene = await openScene(server, { mailbox: { port: relay.port } });
    const text = mail.textPart({ text: "short and whole" });
    const body = mail.multipart("alternative", [text, html(20_000_000)]);
    await scene.deliver(mail.message({ subject: "big" }, body));
    const [event] = await scene.posted(1);
    const { data } = event ?? {};
    expect(Buffer.byteLength(String(data?.["html"]))).toBe(1_000_000);
    expect(data).toMatchObject({ text: "short and whole", truncated: ["html"], unreadable: null });
    expect(relay.bytesDown()).toBeGreaterThan(1_000_000);
    expect(relay.bytesDown()).toBeLessThan(1_000_000 + TALK_BYTES);
    const warnings = scene.daemon.events("message.html_truncated");
    expect(warnings).toMatchObject([{ level: "warn", mailbox: "default", uid: 1 }]);
    expect(await scene.daemon.metrics()).toContain("signalpost_html_truncations_total 1");
  });

  test.each(["base64", "quoted-printable"] as const)(
    "in %s is cut at the same byte, for the price of its encoding",
    async (encoding) => {
      await using relay = await startRelay(server.port);
      await using scene = await openScene(server, { mailbox: { port: relay.port } });
      await scene.deliver(mail.message({ subject: "big" }, html(6_000_000, encoding)));
      const [event] = await scene.posted(1);
      const read = String(event?.data["html"]);
      expect(Buffer.byteLength(read)).toBe(1_000_000);
      expect(mail.bigHtml(6_000_000).startsWith(read)).toBe(true);
      expect(event?.data["truncated"]).toEqual(["html"]);
      expect(relay.bytesDown()).toBeLessThan(3_200_000);
      expect(scene.daemon.events("message.html_truncated")).toHaveLength(1);
    },
  );

  test("in another script is whole up to the cap, though every byte is escaped", async () => {
    await using scene = await openScene(server);
    const part = (text: string): Buffer =>
      mail.textPart({ text, subtype: "html", encoding: "quoted-printable" });
    const exact = "я".repeat(500_000);
    await scene.deliver(mail.message({ subject: "fits" }, part(exact)));
    await scene.deliver(mail.message({ subject: "over" }, part(`${exact}a`)));
    const events = await scene.posted(2);
    for (const { data } of events) expect(data["html"] === exact).toBe(true);
    const truncated = events.map(({ data }) => [data["subject"], data["truncated"]]);
    expect(new Map(truncated as [string, unknown][])).toEqual(
      new Map([
        ["fits", []],
        ["over", ["html"]],
      ]),
    );
  });

  test("counts over all HTML parts of the message together", async () => {
    await using relay = await startRelay(server.port);
    await using scene = await openScene(server, { mailbox: { port: relay.port } });
    const parts = [html(700_000), html(700_000), html(700_000)];
    await scene.deliver(mail.message({ subject: "parts" }, mail.multipart("mixed", parts)));
    const [event] = await scene.posted(1);
    // The newline that joins the two parts is not theirs.
    expect(Buffer.byteLength(String(event?.data["html"]))).toBe(1_000_000 + 1);
    expect(relay.bytesDown()).toBeLessThan(2_000_000 + TALK_BYTES);
    expect(scene.daemon.events("message.html_truncated")).toHaveLength(1);
  });

  test("of exactly the cap is whole and nobody is warned", async () => {
    await using scene = await openScene(server);
    await scene.deliver(mail.message({ subject: "just fits" }, html(1_000_000)));
    const [event] = await scene.posted(1);
    expect(event?.data["html"]).toBe(mail.bigHtml(1_000_000));
    expect(event?.data["truncated"]).toEqual([]);
    await scene.daemon.waitForEvent("message.delivered");
    expect(scene.daemon.events("message.html_truncated")).toEqual([]);
  });
});

describe("what is not wanted of a message", () => {
  test("an attachment of 30 MB is told of and never read, and memory stays where it was", async () => {
    await using relay = await startRelay(server.port);
    await using scene = await openScene(server, { mailbox: { port: relay.port } });
    const content = Buffer.alloc(30_000_000, 7);
    const parts = [
      mail.textPart({ text: "see attachment" }),
      mail.attachmentPart({ filename: "film.bin", content }),
    ];
    const raw = mail.message({ subject: "film" }, mail.multipart("mixed", parts));
    scene.daemon.resetPeak();
    const before = scene.daemon.rssBytes();
    await scene.deliver(raw);
    const [event] = await scene.posted(1);
    expect(event?.data).toMatchObject({
      text: "see attachment",
      size: raw.length,
      truncated: [],
      attachments: [{ filename: "film.bin", part: "2" }],
    });
    expect(relay.bytesDown()).toBeLessThan(TALK_BYTES);
    expect(scene.daemon.peakRssBytes() - before).toBeLessThan(40_000_000);
  });

  test("a text over a configured cap and more links and names than a payload lists are cut", async () => {
    await using scene = await openScene(server, {
      settings: { limits: { max_text_bytes: 5000, max_links: 3, max_name_chars: 20 } },
    });
    const links = Array.from(
      { length: 10 },
      (_, index) => `https://wetransfer.com/downloads/${index}`,
    ).join("\n");
    await scene.deliver(
      mail.plainMessage(`${links}\n${"é".repeat(10_000)}`, { subject: "s".repeat(50) }),
    );
    const [event] = await scene.posted(1);
    const { data } = event ?? {};
    expect(Buffer.byteLength(String(data?.["text"]))).toBeLessThanOrEqual(5000);
    expect(String(data?.["text"])).toMatch(/é$/);
    expect(data).toMatchObject({ subject: "s".repeat(20), truncated: ["text", "links", "names"] });
    expect(data?.["links"]).toHaveLength(3);
  });
});
