// What the demo shows for each event, as text; what a mail brings along must not drive the terminal.
import { describe, expect, test } from "vitest";
import { createPaint, eventText, introduction, invitation, sumText } from "./printing.ts";
import type { EventData, VerifiedWebhook } from "./running-demo.ts";

const plain = createPaint(false);

const webhook = (
  data: Partial<EventData> = {},
  delayMs: number | null = null,
): VerifiedWebhook => ({
  kind: "webhook",
  id: "evt_1",
  destination: "default",
  delayMs,
  data: {
    message_id: "<1@example.com>",
    subject: "Hello",
    from: { name: "Ada", address: "ada@example.com" },
    size: 640,
    text: "Hi",
    html: null,
    truncated: [],
    links: [],
    attachments: [],
    rule: null,
    ...data,
  },
});

describe("eventText", () => {
  test("tells a webhook in three lines", () => {
    expect(eventText(webhook({}, 12.4), plain)).toBe(
      [
        "✔ Hello  from Ada <ada@example.com>",
        "  text, 640 bytes",
        "  webhook-id evt_1 to default  signature verified  12 ms after it arrived\n",
      ].join("\n"),
    );
  });

  test("tells links, attachments, the rule and what was cut", () => {
    const data = {
      text: null,
      html: "<p>",
      size: 1_250_000,
      truncated: ["html"],
      links: [{ provider: "dropbox", url: "https://www.dropbox.com/x" }],
      attachments: [{ filename: "a.pdf", size: 17_400 }],
      rule: { name: "Invoices", priority: "high" },
    };
    expect(eventText(webhook(data), plain).split("\n")[1]).toBe(
      "  html, 1.3 MB (html cut at the limit) · dropbox link https://www.dropbox.com/x · " +
        'a.pdf (17 kB) · rule "Invoices", priority high',
    );
  });

  test("keeps a hostile subject on one short line and its escape sequences harmless", () => {
    const lines = eventText(
      webhook({ subject: `\u001b[2J\r\n✔ fake${"x".repeat(5000)}` }),
      plain,
    ).split("\n");
    expect(lines).toHaveLength(4);
    expect(lines[0]).toMatch(/^✔ \ufffd\[2J ✔ fakex+…  from/);
    expect(lines[0]?.length).toBeLessThan(200);
  });

  test("tells a mail without subject and sender", () => {
    const text = eventText(webhook({ subject: null, from: null }), plain);
    expect(text).toMatch(/^✔ \(no subject\) {2}from nobody\n/);
  });

  test("tells why a mail is filtered, and what went wrong", () => {
    const arrival = { uid: 5, messageId: "<5>", subject: "Deals", from: "Shop <a@b.example>" };
    expect(eventText({ kind: "filtered", arrival, reason: "rule_drop" }, plain)).toBe(
      "– Deals  from Shop <a@b.example>\n  filtered, no webhook: a rule drops it\n",
    );
    expect(eventText({ kind: "refused" }, plain)).toContain("wrong");
    expect(eventText({ kind: "warning", event: "delivery.failed" }, plain)).toContain(
      "delivery.failed",
    );
  });
});

describe("createPaint", () => {
  test("colours only where it is wanted", () => {
    expect(createPaint(true).good("ok")).toBe("\u001b[32mok\u001b[0m");
    expect(plain.good("ok")).toBe("ok");
  });
});

describe("the words around the events", () => {
  const at = { imapPort: 1, webhookPort: 2, httpPort: 3, configPath: "/c.yaml", logPath: "/l" };

  test("name every address and file", () => {
    const text = introduction(at, 6, plain);
    for (const word of ["127.0.0.1:1/", "127.0.0.1:2/", "127.0.0.1:3/", "/c.yaml", "/l", "6 "]) {
      expect(text).toContain(word);
    }
    expect(introduction({ ...at, httpPort: null }, 6, plain)).not.toContain("status");
  });

  test("offer keys only where there are some", () => {
    expect(invitation(true, "/c.yaml", plain)).toContain("Enter");
    expect(invitation(false, "/c.yaml", plain)).not.toContain("Enter");
    expect(invitation(false, "/c.yaml", plain)).toContain("demo send");
  });

  test("sum up, and tell of wrong signatures only when there were some", () => {
    const counts = { mails: 7, webhooks: 6, filtered: 1, refused: 0 };
    expect(sumText(counts)).toBe("7 mails in, 6 verified webhooks out, 1 filtered");
    expect(sumText({ mails: 1, webhooks: 1, filtered: 0, refused: 1 })).toBe(
      "1 mail in, 1 verified webhook out, 0 filtered, 1 with a wrong signature",
    );
  });
});
