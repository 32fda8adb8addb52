// Which rules can be used: expressions, webhook URLs and secrets that are checked before a message
// ever meets them. The numbers of vectors are those of the list of reference vectors.
import { describe, expect, test } from "vitest";
import type { Rule, RuleCondition } from "../core/settings.ts";
import { compileRules } from "./compile.ts";

const condition = (more: Partial<RuleCondition> = {}): RuleCondition => ({
  field: "subject",
  operator: "contains",
  value: "x",
  caseSensitive: false,
  ...more,
});

const rule = (more: Partial<Rule> = {}): Rule => ({
  id: "a",
  name: "A",
  conditions: [condition()],
  webhookUrl: null,
  secretName: null,
  priority: "normal",
  stopProcessing: false,
  drop: false,
  ...more,
});

const webhook = {
  url: "https://hooks.example.com/default",
  allowPrivateAddresses: false,
  namedSecrets: new Map([["partner", "whsec_x"]]),
};

/** Why this one rule is refused; null: it is usable. */
const refusalOf = (one: Rule, targets = webhook): string | null =>
  compileRules([one], targets).refused[0]?.message ?? null;

const urlOf = (webhookUrl: string, targets = webhook): string | null | undefined =>
  compileRules([rule({ webhookUrl })], targets).rules[0]?.webhookUrl;

describe("compileRules", () => {
  test("vector 31: refuses the rule with a broken expression and keeps the others", () => {
    const broken = rule({ id: "b", conditions: [condition({ operator: "regex", value: "(" })] });
    const { rules, refused } = compileRules([rule(), broken, rule({ id: "c" })], webhook);
    expect(rules.map(({ id }) => id)).toEqual(["a", "c"]);
    expect(refused.map(({ id }) => id)).toEqual(["b"]);
    expect(refused[0]?.message).toContain("conditions[0]");
  });

  test("vector 32: turns a token of Make into its hook and refuses what cannot be saved", () => {
    expect(urlOf("tok123")).toBe("https://hook.eu2.make.com/tok123");
    expect(urlOf("tok123@hook.eu2.make.com")).toBe("https://hook.eu2.make.com/tok123");
    expect(refusalOf(rule({ webhookUrl: "http://x" }))).toContain("webhook_url");
    expect(refusalOf(rule({ priority: "urgent" as "high" }))).toContain("priority");
    expect(refusalOf(rule({ name: "  " }))).toContain("name");
  });

  test("refuses expressions that have no linear-time engine", () => {
    for (const value of ["(?=x)", "(a)\\1", "a{1001}", "["]) {
      const one = rule({ conditions: [condition({ operator: "regex", value })] });
      expect(refusalOf(one)).toContain("RE2");
    }
  });

  test("takes the inline syntax of stored rules", () => {
    for (const value of ["(?i)facture", "(?P<number>\\d+)", "\\bURGENT\\b", "(a+)+$"]) {
      const one = rule({ conditions: [condition({ operator: "regex", value })] });
      expect(refusalOf(one)).toBeNull();
    }
  });

  test("refuses unknown fields, empty values and a has_attachment that cannot hold", () => {
    const bad: Partial<RuleCondition>[] = [
      { field: "from" },
      { field: "header:" },
      { value: " " },
      { field: "has_attachment", operator: "contains", value: "true" },
      { field: "has_attachment", operator: "equals", value: "yes" },
    ];
    for (const one of bad) {
      expect(refusalOf(rule({ conditions: [condition(one)] }))).toContain("conditions[0]");
    }
    expect(refusalOf(rule({ conditions: [] }))).toContain("conditions");
    const good = condition({ field: "has_attachment", operator: "equals", value: "true" });
    expect(
      refusalOf(rule({ conditions: [good, condition({ field: "header:list-id" })] })),
    ).toBeNull();
  });

  test("refuses a secret that nobody configured", () => {
    expect(refusalOf(rule({ secretName: "partner" }))).toBeNull();
    expect(refusalOf(rule({ secretName: "other" }))).toContain("webhook.secrets");
  });

  test("refuses the second rule of an id", () => {
    const { rules, refused } = compileRules(
      [rule({ name: "one" }), rule({ name: "two" })],
      webhook,
    );
    expect(rules.map(({ name }) => name)).toEqual(["one"]);
    expect(refused.map(({ id }) => id)).toEqual(["a"]);
  });

  test("refuses private targets in every spelling, and credentials in a URL", () => {
    const hosts = [
      "127.0.0.1",
      "[::ffff:127.0.0.1]",
      "2130706433",
      "0x7f.1",
      "0",
      "169.254.169.254",
    ];
    for (const host of hosts) expect(urlOf(`https://${host}/`)).toBeUndefined();
    expect(urlOf("https://user:pass@example.com/")).toBeUndefined();
    expect(urlOf("not a url")).toBeUndefined();
    expect(urlOf("ftp://example.com/")).toBeUndefined();
    expect(urlOf("https://example.com/a")).toBe("https://example.com/a");
  });

  test("opens private addresses for the host of the default URL alone", () => {
    const local = { ...webhook, url: "http://127.0.0.1:9000/hook", allowPrivateAddresses: true };
    expect(urlOf("http://127.0.0.1:9001/rule", local)).toBe("http://127.0.0.1:9001/rule");
    expect(urlOf("http://127.0.0.2:9000/rule", local)).toBeUndefined();
    const closed = { ...local, allowPrivateAddresses: false };
    expect(urlOf("http://127.0.0.1:9000/rule", closed)).toBeUndefined();
  });

  test("quotes nothing of a refused rule", () => {
    const secretive = rule({
      webhookUrl: "http://127.0.0.1/token-7",
      conditions: [condition({ operator: "regex", value: "(boss@corp.com" })],
    });
    const other = rule({ ...secretive, id: "b", conditions: [condition()] });
    const { refused } = compileRules([secretive, other], webhook);
    expect(refused).toHaveLength(2);
    for (const { message } of refused) expect(message).not.toMatch(/boss|token-7/);
  });
});
