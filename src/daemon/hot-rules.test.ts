// Rules from the file to what a cycle works with: compiled once a change, each refused rule named once
// with its line, and none of them forgotten as a destination. The loader and the compiler are the real
// ones, so that what one lets through the other must judge.
import { describe, expect, test } from "vitest";
import type { LogFields } from "../app-logging/logger.ts";
import { loadSettings } from "../config/load.ts";
import { findDestination } from "../webhook/destination.ts";
import { createHotRules } from "./hot-rules.ts";

const SECRET = `whsec_${Buffer.alloc(32, 7).toString("base64")}`;
const CONDITIONS = "conditions: [{ field: subject, operator: contains, value: x }]";

const load = (rules: string, host = "imap.example.com") =>
  loadSettings({
    path: "c",
    env: {},
    readConfigFile: () => ({
      stamp: "",
      text: `mailboxes: [{ id: default, imap: { host: ${host}, user: u, password: p } }]
webhook: { url: https://hooks.example.com/in, secret: ${SECRET} }
rules:
${rules}`,
    }),
  });

const rule = (id: string, actions: string, conditions = CONDITIONS): string =>
  `  - { id: ${id}, ${conditions}, actions: { ${actions} } }\n`;

const bench = () => {
  const lines: [event: string, fields: LogFields][] = [];
  let changes = 0;
  const hotRules = createHotRules(
    (event, fields = {}) => void lines.push([event, fields]),
    () => (changes += 1),
  );
  return { hotRules, lines, changes: () => changes };
};

const usable = (rules: string): string[] =>
  bench()
    .hotRules.of(load(rules))
    .rules.map(({ id }) => id);

describe("createHotRules", () => {
  test("names each refused rule with its line, once a change of the hot configuration", () => {
    const { hotRules, lines, changes } = bench();
    const text = rule("good", "") + rule("bad", "priority: urgent") + rule("Bad Id", "drop: true");
    const refused = [
      ["config.rule_refused", { rule: "bad", line: 5 }],
      ["config.rule_refused", { rule: "rules[2]", line: 6 }],
    ];
    const first = hotRules.of(load(text));
    expect(hotRules.of(load(text))).toBe(first);
    expect(hotRules.of(load(text, "other.example.com"))).toBe(first);
    expect(first.rules.map(({ id }) => id)).toEqual(["good"]);
    expect(lines).toEqual(refused);
    expect(changes()).toBe(1);
    hotRules.of(load(text.replace("good", "better")));
    expect(lines).toEqual([...refused, ...refused]);
    expect(changes()).toBe(2);
  });

  test.each([
    ["a blank name", rule("bills", `webhook_url: tok123`, `name: ' ', ${CONDITIONS}`)],
    ["a bad priority", rule("bills", "webhook_url: tok123, priority: urgent")],
    [
      "a bad expression",
      rule(
        "bills",
        "webhook_url: tok123",
        CONDITIONS.replace("contains, value: x", "regex, value: '('"),
      ),
    ],
  ])("still knows where a rule with %s sends to", (_, text) => {
    const { webhook, rules, configuredRules } = bench().hotRules.of(load(text));
    expect(rules).toEqual([]);
    const found = findDestination({ webhook, rules: configuredRules }, "rule-bills");
    expect(found?.url).toBe("https://hook.eu2.make.com/tok123");
  });

  test("vector 32: a rule as saved has the hook of its token, or cannot be saved", () => {
    for (const token of ["tok123", "tok123@hook.eu2.make.com"]) {
      const [made] = bench().hotRules.of(load(rule("a", `webhook_url: "${token}"`))).rules;
      expect(made?.webhookUrl).toBe("https://hook.eu2.make.com/tok123");
    }
    expect(usable(rule("a", "webhook_url: http://x"))).toEqual([]);
    expect(usable(rule("a", "priority: urgent"))).toEqual([]);
    expect(usable(rule("a", "", `name: "  ", ${CONDITIONS}`))).toEqual([]);
  });

  test("takes true without quotes for has_attachment", () => {
    const conditions = "conditions: [{ field: has_attachment, operator: equals, value: true }]";
    expect(usable(rule("a", "", conditions))).toEqual(["a"]);
  });
});
