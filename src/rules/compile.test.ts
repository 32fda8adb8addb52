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

/** The keys of this one rule that are wrong; empty: it is usable. */
const wrongKeys = (one: Rule, targets = webhook): string[] =>
  compileRules([one], targets).refused.flatMap(({ problems }) => problems.map(({ key }) => key));

const isUsableUrl = (webhookUrl: string, targets = webhook): boolean =>
  wrongKeys(rule({ webhookUrl }), targets).length === 0;

describe("compileRules", () => {
  test("vector 31: refuses the rule with a broken expression and keeps the others", () => {
    const broken = rule({ id: "b", conditions: [condition({ operator: "regex", value: "(" })] });
    const { rules, refused } = compileRules([rule(), broken, rule({ id: "c" })], webhook);
    expect(rules.map(({ id }) => id)).toEqual(["a", "c"]);
    expect(refused).toEqual([
      {
        index: 1,
        id: "b",
        problems: [{ key: "conditions[0].value", message: expect.stringMatching(/RE2/) }],
      },
    ]);
  });

  test("vector 32: refuses what cannot be saved", () => {
    expect(wrongKeys(rule({ webhookUrl: "http://x" }))).toEqual(["actions.webhook_url"]);
    expect(wrongKeys(rule({ priority: "urgent" }))).toEqual(["actions.priority"]);
    expect(wrongKeys(rule({ name: "  " }))).toEqual(["name"]);
  });

  test("tells everything that is wrong with a rule, each by its key", () => {
    const bad = rule({
      id: "Not Good",
      name: "",
      conditions: [
        condition({ field: "cc", operator: "starts", value: " " }),
        condition({ operator: "regex", value: "(" }),
        condition({ field: "has_attachment", operator: "regex", value: "maybe" }),
      ],
      webhookUrl: "ftp://x",
      secretName: "nobody",
      priority: "urgent",
    });
    expect(wrongKeys(bad)).toEqual([
      "id",
      "name",
      "actions.priority",
      "actions.secret",
      "actions.webhook_url",
      "conditions[0].field",
      "conditions[0].value",
      "conditions[0].operator",
      "conditions[1].value",
      "conditions[2].operator",
      "conditions[2].value",
    ]);
  });

  test("calls a rule whose id cannot be shown by its place", () => {
    for (const id of ["", "Not Good", "a".repeat(65), "a\nb"]) {
      expect(compileRules([rule(), rule({ id })], webhook).refused).toMatchObject([
        { index: 1, id: "rules[1]", problems: [{ key: "id" }] },
      ]);
    }
  });

  test("refuses expressions that have no linear-time engine", () => {
    for (const value of ["(?=x)", "(a)\\1", "a{1001}", "["]) {
      const one = rule({ conditions: [condition({ operator: "regex", value })] });
      expect(wrongKeys(one)).toEqual(["conditions[0].value"]);
    }
  });

  test("takes the inline syntax of stored rules", () => {
    for (const value of ["(?i)facture", "(?P<number>\\d+)", "\\bURGENT\\b", "(a+)+$"]) {
      const one = rule({ conditions: [condition({ operator: "regex", value })] });
      expect(wrongKeys(one)).toEqual([]);
    }
  });

  test.each<[what: string, key: string, more: Partial<RuleCondition>]>([
    ["an unknown field", "field", { field: "from" }],
    ["a header without a name", "field", { field: "header:" }],
    ["a header that no message can have", "field", { field: 'header:x"(y' }],
    ["an unknown operator", "operator", { operator: "starts" }],
    ["a blank value", "value", { value: " " }],
    [
      "has_attachment contains",
      "operator",
      { field: "has_attachment", operator: "contains", value: "true" },
    ],
    ["has_attachment yes", "value", { field: "has_attachment", operator: "equals", value: "yes" }],
  ])("refuses %s", (_, key, more) => {
    expect(wrongKeys(rule({ conditions: [condition(more)] }))).toEqual([`conditions[0].${key}`]);
  });

  test("refuses a rule without conditions", () => {
    expect(wrongKeys(rule({ conditions: [] }))).toEqual(["conditions"]);
  });

  test("takes true and false in any spelling for has_attachment", () => {
    const of = (value: string) =>
      condition({ field: "has_attachment", operator: "equals", value, caseSensitive: true });
    const { rules } = compileRules([rule({ conditions: [of("True"), of("false")] })], webhook);
    const answers = rules[0]?.compiled.map(({ test: holds }) => [holds("true"), holds("false")]);
    expect(answers).toEqual([
      [true, false],
      [false, true],
    ]);
  });

  test("refuses a secret that nobody configured", () => {
    expect(wrongKeys(rule({ secretName: "partner" }))).toEqual([]);
    expect(wrongKeys(rule({ secretName: "other" }))).toEqual(["actions.secret"]);
  });

  test("refuses the second rule of an id, also of one that is refused itself", () => {
    const { rules, refused } = compileRules(
      [rule({ name: "one" }), rule({ name: "two" })],
      webhook,
    );
    expect(rules.map(({ name }) => name)).toEqual(["one"]);
    expect(refused).toMatchObject([{ index: 1, id: "a", problems: [{ key: "id" }] }]);
    const both = compileRules([rule({ name: "" }), rule()], webhook);
    expect(both.refused.map(({ index }) => index)).toEqual([0, 1]);
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
    for (const host of hosts) expect(isUsableUrl(`https://${host}/`)).toBe(false);
    expect(isUsableUrl("https://user:pass@example.com/")).toBe(false);
    expect(isUsableUrl("not a url")).toBe(false);
    expect(isUsableUrl("")).toBe(false);
    expect(isUsableUrl("ftp://example.com/")).toBe(false);
    expect(isUsableUrl("https://example.com/a")).toBe(true);
  });

  test("opens private addresses for the host of the default URL alone", () => {
    const local = { ...webhook, url: "http://127.0.0.1:9000/hook", allowPrivateAddresses: true };
    expect(isUsableUrl("http://127.0.0.1:9001/rule", local)).toBe(true);
    expect(isUsableUrl("http://127.0.0.2:9000/rule", local)).toBe(false);
    const closed = { ...local, allowPrivateAddresses: false };
    expect(isUsableUrl("http://127.0.0.1:9000/rule", closed)).toBe(false);
  });

  test("quotes nothing of a refused rule", () => {
    const secretive = rule({
      id: "Token-7",
      webhookUrl: "http://127.0.0.1/token-7",
      conditions: [condition({ operator: "regex", value: "(boss@corp.com" })],
    });
    const { refused } = compileRules([secretive], webhook);
    expect(refused[0]?.problems).toHaveLength(3);
    expect(JSON.stringify(refused)).not.toMatch(/boss|token-7/i);
  });
});
