// The demo's own configuration is read by the loader of the daemon, so it must be right in every key;
// and what `demo send` is given must not become more than a subject.
import { describe, expect, test } from "vitest";
import { loadSettings } from "../../config/load.ts";
import { compileRules } from "../../rules/compile.ts";
import { demoConfiguration } from "./configuration.ts";
import { liveMail } from "./sample-mails.ts";

describe("demoConfiguration", () => {
  test("is usable down to its rules and stays on this machine", () => {
    const secret = `whsec_${Buffer.alloc(32, 7).toString("base64")}`;
    const text = demoConfiguration({ dir: "/tmp/a 'demo'", imapPort: 1, webhookPort: 2, secret });
    const readConfigFile = () => ({ stamp: "1", text });
    const { settings } = loadSettings({ path: "x.yaml", env: {}, readConfigFile });
    const { refused, rules } = compileRules(settings.rules, settings.webhook);
    expect(refused).toEqual([]);
    expect(rules).toHaveLength(2);
    expect(settings.dataDir).toBe("/tmp/a 'demo'/data");
    expect(settings.lock.file).toBe("/tmp/a 'demo'/poller.lock");
    expect(settings.http?.host).toBe("127.0.0.1");
    expect(settings.mailboxes[0]?.imap).toMatchObject({ host: "127.0.0.1", port: 1, tls: "none" });
    expect(settings.webhook.secrets).toEqual([secret]);
  });
});

describe("liveMail", () => {
  test("leaves no line end in a subject", () => {
    expect(liveMail("Hello\r\nBcc: other@example.com\u0000 there ").subject).toBe(
      "Hello Bcc: other@example.com  there",
    );
  });
});
