// Rules by shape: a wrong shape is an error of the whole file, by key and line; everything else comes
// out as it is written, also a rule that cannot be used. Hook tokens become URLs as the service before
// this one made them.
import { describe, expect, test } from "vitest";
import { ConfigError } from "../../core/errors.ts";
import { loadSettings } from "../load.ts";

const SECRET = `whsec_${Buffer.alloc(32, 7).toString("base64")}`;
const GOOD = "  - { id: good, conditions: [{ field: subject, operator: contains, value: x }] }\n";

const load = (rules: string) =>
  loadSettings({
    path: "c",
    env: {},
    readConfigFile: () => ({
      stamp: "",
      text: `mailboxes: [{ id: default, imap: { host: h, user: u, password: p } }]
webhook: { url: https://hooks.example.com/in, secret: ${SECRET}, secrets: { team: ${SECRET} } }
rules:
${rules}`,
    }),
  });

const rule = (actions: string, condition = "field: subject, operator: contains, value: x") =>
  `  - { id: bad, conditions: [{ ${condition} }], actions: { ${actions} } }\n`;

const urlOf = (text: string): string | null | undefined =>
  load(rule(`webhook_url: "${text}"`)).settings.rules[0]?.webhookUrl;

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
    expect(urlOf(" tok_1-2@hook.eu2.make.com ")).toBe("https://hook.eu2.make.com/tok_1-2");
    expect(urlOf("https://rule.example.com/tok123")).toBe("https://rule.example.com/tok123");
    expect(urlOf("tok123@evil.example")).toBe("tok123@evil.example");
  });

  test("keeps its place and its address whatever its values are worth", () => {
    const bad = rule(
      "webhook_url: https://rule.example.com/in, priority: urgent, secret: nobody",
      "field: cc, operator: starts, value: ' '",
    );
    const empty = "  - { id: Not Good, name: ' ', conditions: [] }\n";
    const { rules } = load(bad + empty + GOOD + GOOD).settings;
    expect(rules.map(({ id }) => id)).toEqual(["bad", "Not Good", "good", "good"]);
    expect(rules[0]).toMatchObject({
      webhookUrl: "https://rule.example.com/in",
      secretName: "nobody",
      priority: "urgent",
      conditions: [{ field: "cc", operator: "starts", value: "" }],
    });
    expect(rules[1]).toMatchObject({ name: "", conditions: [] });
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
    ["a number as priority", rule("priority: 1"), "rules[0].actions.priority"],
    ["a text as flag", rule("stop_processing: 'yes'"), "rules[0].actions.stop_processing"],
    ["no id", GOOD.replace("id: good, ", ""), "rules[0].id"],
    ["no conditions", "  - { id: bad }\n", "rules[0].conditions"],
    ["no list", "  a: 1\n", "rules"],
    ["a list of 201", GOOD.repeat(201), "rules"],
  ])("%s is an error of the file", (_, text, key) => {
    let caught: unknown;
    try {
      load(text);
    } catch (error) {
      caught = error;
    }
    expect(caught).toBeInstanceOf(ConfigError);
    const { problems } = caught as ConfigError;
    expect(problems.map((problem) => problem.key)).toEqual([key]);
    expect(problems[0]?.line).toBe(key === "rules" ? 3 : 4);
  });
});
