// Rules: a bad value refuses its rule alone and is told with key and line; a wrong shape is an error of
// the whole file. Hook tokens become URLs as the service before this one made them.
import { describe, expect, test } from "vitest";
import { ConfigError } from "../../core/errors.ts";
import { loadSettings } from "../load.ts";

const SECRET = `whsec_${Buffer.alloc(32, 7).toString("base64")}`;
const GOOD = "  - { id: good, conditions: [{ field: subject, operator: contains, value: x }] }\n";

const load = (rules: string, webhook = "url: https://hooks.example.com/in") =>
  loadSettings({
    path: "c",
    env: {},
    readConfigFile: () => ({
      stamp: "",
      text: `mailboxes: [{ id: default, imap: { host: h, user: u, password: p } }]
webhook: { ${webhook}, secret: ${SECRET}, secrets: { team: ${SECRET} } }
rules:
${rules}`,
    }),
  });

const rule = (actions: string, condition = "field: subject, operator: contains, value: x") =>
  `  - { id: bad, conditions: [{ ${condition} }], actions: { ${actions} } }\n`;

const urlOf = (text: string, webhook?: string): string | null | undefined =>
  load(rule(`webhook_url: "${text}"`), webhook).settings.rules[0]?.webhookUrl;

describe("a rule", () => {
  test("comes out with its conditions, actions and defaults", () => {
    const text = `  - id: invoices
    name: " Invoices "
    conditions:
      - { field: Subject, operator: contains, value: " facture " }
      - { field: "header:X-Team", operator: equals, value: A, case_sensitive: true }
      - { field: has_attachment, operator: equals, value: true }
    actions: { webhook_url: "https://rule.example.com/in", priority: high, secret: team }
${GOOD}`;
    expect(load(text).settings.rules).toEqual([
      {
        id: "invoices",
        name: "Invoices",
        conditions: [
          { field: "subject", operator: "contains", value: "facture", caseSensitive: false },
          { field: "header:x-team", operator: "equals", value: "A", caseSensitive: true },
          { field: "has_attachment", operator: "equals", value: "true", caseSensitive: false },
        ],
        webhookUrl: "https://rule.example.com/in",
        secretName: "team",
        priority: "high",
        stopProcessing: false,
        drop: false,
      },
      {
        id: "good",
        name: "good",
        conditions: [{ field: "subject", operator: "contains", value: "x", caseSensitive: false }],
        webhookUrl: null,
        secretName: null,
        priority: "normal",
        stopProcessing: false,
        drop: false,
      },
    ]);
  });

  test("takes a hook token for an address", () => {
    expect(urlOf("tok123")).toBe("https://hook.eu2.make.com/tok123");
    expect(urlOf("tok123@hook.eu2.make.com")).toBe("https://hook.eu2.make.com/tok123");
    expect(urlOf("https://rule.example.com/tok123")).toBe("https://rule.example.com/tok123");
  });

  test("may name the default webhook's own host by http when private addresses are allowed", () => {
    const open = "url: http://127.0.0.1:9000/in, allow_private_addresses: true";
    expect(urlOf("http://127.0.0.1:9001/rule", open)).toBe("http://127.0.0.1:9001/rule");
    expect(urlOf("http://127.0.0.2:9001/rule", open)).toBeUndefined();
    expect(urlOf("http://hooks.example.com/rule")).toBeUndefined();
  });
});

const REFUSED: readonly (readonly [what: string, rules: string, key: string])[] = [
  ["an address without https", rule('webhook_url: "http://x"'), "actions.webhook_url"],
  ["an address of another host", rule('webhook_url: "tok@evil.example"'), "actions.webhook_url"],
  ["a blank address", rule('webhook_url: " "'), "actions.webhook_url"],
  ["priority urgent", rule("priority: urgent"), "actions.priority"],
  ["an unknown secret", rule("secret: nobody"), "actions.secret"],
  ["an unknown field", rule("", "field: cc, operator: equals, value: x"), "conditions[0].field"],
  [
    "a header without name",
    rule("", "field: 'header:', operator: equals, value: x"),
    "conditions[0].field",
  ],
  [
    "an unknown operator",
    rule("", "field: to, operator: starts, value: x"),
    "conditions[0].operator",
  ],
  ["a blank value", rule("", "field: to, operator: equals, value: ' '"), "conditions[0].value"],
  [
    "has_attachment maybe",
    rule("", "field: has_attachment, operator: equals, value: maybe"),
    "conditions[0].value",
  ],
  [
    "a blank name",
    `  - { id: bad, name: " ", conditions: [{ field: to, operator: equals, value: x }] }\n`,
    "name",
  ],
  ["no condition", "  - { id: bad, conditions: [] }\n", "conditions"],
];

describe("a bad value", () => {
  test.each(REFUSED)("%s refuses its rule alone, by key and line", (_, text, key) => {
    const { settings, refusedRules } = load(text + GOOD);
    expect(settings.rules.map(({ id }) => id)).toEqual(["good"]);
    expect(refusedRules).toEqual([
      { id: "bad", line: 4, message: expect.stringMatching(/^rules\[0\]\.\S+: write /) },
    ]);
    expect(refusedRules[0]?.message).toContain(`rules[0].${key}: `);
    expect(refusedRules[0]?.message).not.toMatch(/evil|urgent|nobody|maybe|starts/);
  });

  test("of an id refuses the rule by its place", () => {
    const { refusedRules } = load(`${GOOD}${GOOD.replace("good", "Not Good")}`);
    expect(refusedRules).toEqual([
      { id: "rules[1]", line: 5, message: "rules[1].id: write 1 to 64 of a-z, 0-9 and -" },
    ]);
  });

  test("of an id that is taken refuses the later rule", () => {
    const { settings, refusedRules } = load(GOOD + GOOD);
    expect(settings.rules).toHaveLength(1);
    expect(refusedRules).toMatchObject([{ id: "good", line: 5 }]);
  });

  test("is told once a rule, whatever is wrong in it", () => {
    const { refusedRules } = load(rule("priority: urgent, secret: nobody"));
    expect(refusedRules).toHaveLength(1);
    expect(refusedRules[0]?.message.split("; ")).toHaveLength(2);
  });
});

describe("a wrong shape", () => {
  test.each([
    [
      "an unknown key in a rule",
      GOOD.replace("id: good", "id: good, colour: red"),
      "rules[0].colour",
    ],
    ["an unknown action", rule("wehbook_url: tok"), "rules[0].actions.wehbook_url"],
    [
      "a number as value",
      rule("", "field: to, operator: equals, value: 5"),
      "rules[0].conditions[0].value",
    ],
    ["a text as flag", rule("stop_processing: 'yes'"), "rules[0].actions.stop_processing"],
    ["no id", GOOD.replace("id: good, ", ""), "rules[0].id"],
    ["no list", "  a: 1\n", "rules"],
  ])("%s is an error of the file", (_, text, key) => {
    let caught: unknown;
    try {
      load(text);
    } catch (error) {
      caught = error;
    }
    expect(caught).toBeInstanceOf(ConfigError);
    expect((caught as ConfigError).problems.map((problem) => problem.key)).toEqual([key]);
  });
});
