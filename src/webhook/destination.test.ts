// Which destinations a message has, and what a destination id means under the configuration in force.
import { describe, expect, test } from "vitest";
import type { Rule, WebhookSettings } from "../core/settings.ts";
import { destinationsOf, findDestination } from "./destination.ts";

const webhook: WebhookSettings = {
  url: "https://hooks.example.com/in",
  secrets: ["whsec_bmV3", "whsec_b2xk"],
  namedSecrets: new Map([["billing", "whsec_YmlsbA=="]]),
  timeoutMs: 30_000,
  concurrency: 16,
  maxAttempts: 20,
  allowPrivateAddresses: false,
};

const ruleWith = (more: Partial<Rule>): Rule => ({
  id: "bills",
  name: "Bills",
  conditions: [],
  webhookUrl: "https://bills.example.com/",
  secretName: null,
  priority: "normal",
  stopProcessing: false,
  drop: false,
  ...more,
});

const idsOf = (rule: Rule | null) => destinationsOf(webhook, rule).map(({ id }) => id);

describe("destinationsOf", () => {
  test("is the default alone without a rule", () => {
    expect(destinationsOf(webhook, null)).toEqual([
      {
        id: "default",
        url: "https://hooks.example.com/in",
        secrets: ["whsec_bmV3", "whsec_b2xk"],
        allowPrivateAddresses: false,
        timeoutMs: 30_000,
        concurrency: 16,
      },
    ]);
  });

  test("is the rule's URL and then the default, unless the rule stops processing", () => {
    expect(idsOf(ruleWith({}))).toEqual(["rule-bills", "default"]);
    expect(idsOf(ruleWith({ stopProcessing: true }))).toEqual(["rule-bills"]);
  });

  test("keeps the default when a rule without a URL stops processing", () => {
    expect(idsOf(ruleWith({ webhookUrl: null, stopProcessing: true }))).toEqual(["default"]);
  });

  test("makes one destination of equal URLs, whatever their spelling", () => {
    expect(idsOf(ruleWith({ webhookUrl: webhook.url }))).toEqual(["default"]);
    const webhookUrl = "https://HOOKS.example.com:443/in";
    expect(idsOf(ruleWith({ webhookUrl, stopProcessing: true }))).toEqual(["default"]);
  });

  test("signs a rule's requests with the secret that the rule names", () => {
    const [named] = destinationsOf(webhook, ruleWith({ secretName: "billing" }));
    expect(named?.secrets).toEqual(["whsec_YmlsbA=="]);
    const [unnamed] = destinationsOf(webhook, ruleWith({}));
    expect(unnamed?.secrets).toEqual(webhook.secrets);
  });

  test.each([
    ["https://hooks.example.com/other", true],
    ["https://hooks.example.com:443/other", true],
    ["https://hooks.example.com:8443/in", true],
    ["http://hooks.example.com/in", true],
    ["https://other.example.com/in", false],
    ["not a url", false],
  ])("lets a rule's URL %s reach private addresses: %s", (webhookUrl, allowed) => {
    const open = { ...webhook, allowPrivateAddresses: true };
    const [own] = destinationsOf(open, ruleWith({ webhookUrl }));
    expect(own?.allowPrivateAddresses).toBe(allowed);
    const [closed] = destinationsOf(webhook, ruleWith({ webhookUrl }));
    expect(closed?.allowPrivateAddresses).toBe(false);
  });
});

describe("findDestination", () => {
  test("finds what destinationsOf named", () => {
    const rule = ruleWith({ secretName: "billing" });
    const hot = { webhook, rules: [ruleWith({ id: "other" }), rule] };
    for (const destination of destinationsOf(webhook, rule)) {
      expect(findDestination(hot, destination.id)).toEqual(destination);
    }
  });

  test("takes the URL of now", () => {
    const moved = ruleWith({ webhookUrl: "https://moved.example.com/" });
    expect(findDestination({ webhook, rules: [moved] }, "rule-bills")?.url).toBe(
      "https://moved.example.com/",
    );
  });

  test("finds nothing for a rule that is gone or has no URL any more", () => {
    expect(findDestination({ webhook, rules: [] }, "rule-bills")).toBeNull();
    const rules = [ruleWith({ webhookUrl: null })];
    expect(findDestination({ webhook, rules }, "rule-bills")).toBeNull();
    expect(findDestination({ webhook, rules }, "bills")).toBeNull();
  });

  test("finds nothing for a rule whose secret is gone, and never another secret", () => {
    const rules = [ruleWith({ secretName: "withdrawn" })];
    expect(findDestination({ webhook, rules }, "rule-bills")).toBeNull();
  });
});
