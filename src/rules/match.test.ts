// Which rule a message falls under, by its envelope alone and with its body. The numbers of vectors are
// those of the list of reference vectors.
import { describe, expect, test } from "vitest";
import { MAX_RULE_BODY_CHARS, MAX_RULE_TEXT_CHARS } from "../core/limits.ts";
import type { Envelope } from "../core/message.ts";
import type { Rule, RuleCondition } from "../core/settings.ts";
import { type CompiledRule, compileRules } from "./compile.ts";
import { type FactSource, factsOf } from "./facts.ts";
import { judge, judgeEnvelope, wantedHeaders } from "./match.ts";

type Conditions = readonly [field: string, operator: RuleCondition["operator"], value: string][];

const ruleOf = (id: string, conditions: Conditions, more: Partial<Rule> = {}): Rule => ({
  id,
  name: id,
  conditions: conditions.map(([field, operator, value]) => ({
    field,
    operator,
    value,
    caseSensitive: false,
  })),
  webhookUrl: null,
  secretName: null,
  priority: "normal",
  stopProcessing: false,
  drop: false,
  ...more,
});

const compiled = (...rules: Rule[]): CompiledRule[] => {
  const webhook = { url: "https://x.org", allowPrivateAddresses: false, namedSecrets: new Map() };
  const result = compileRules(rules, webhook);
  expect(result.refused).toEqual([]);
  return result.rules;
};

const envelope: Envelope = {
  messageId: null,
  inReplyTo: null,
  subject: "FACTURE Mensuelle",
  date: null,
  from: [{ name: "Boss <ok@corp.com>", address: "Attacker@Evil.com" }],
  sender: [],
  replyTo: [],
  to: [{ name: null, address: "one@x.org" }],
  cc: [{ name: "Two", address: "two@x.org" }],
};

const source = (more: Partial<FactSource> = {}): FactSource => ({
  mailbox: "default",
  envelope,
  headers: new Map([["list-id", ["<a.list>", "<b.list>"]]]),
  attachments: [],
  text: null,
  html: null,
  ...more,
});

const noPause = async (): Promise<void> => {};

const judged = async (rules: CompiledRule[], more: Partial<FactSource> = {}): Promise<unknown> =>
  (await judge(rules, factsOf(source(more)), noPause))?.id ?? null;

const matches = (
  conditions: Conditions,
  more: Partial<FactSource> = {},
  caseSensitive = false,
): Promise<boolean> => {
  const one = ruleOf("a", conditions);
  const cased = { ...one, conditions: one.conditions.map((c) => ({ ...c, caseSensitive })) };
  return judged(compiled(cased), more).then((id) => id === "a");
};

const subject = (text: string): Partial<FactSource> => ({
  envelope: { ...envelope, subject: text },
});

describe("conditions", () => {
  test("vector 30: match regardless of case unless the rule says otherwise", async () => {
    const contains: Conditions = [["subject", "contains", "facture"]];
    expect(await matches(contains)).toBe(true);
    expect(await matches(contains, {}, true)).toBe(false);
    const regex: Conditions = [["subject", "regex", "^facture\\s"]];
    expect([await matches(regex), await matches(regex, {}, true)]).toEqual([true, false]);
  });

  test("vector 31: equal the whole value and search expressions in one line of input", async () => {
    expect(await matches([["subject", "equals", "Facture"]], subject("Facture "))).toBe(false);
    expect(await matches([["subject", "equals", "Facture"]], subject("facture"))).toBe(true);
    expect(await matches([["subject", "regex", "^URGENT"]], subject("x\nURGENT"))).toBe(false);
    expect(await matches([["subject", "regex", "x.URGENT"]], subject("x\nURGENT"))).toBe(false);
    expect(await matches([["subject", "regex", "RGE"]], subject("x\nURGENT"))).toBe(true);
  });

  test("see the parsed address of the sender in lower case, never its display name", async () => {
    expect(await matches([["sender", "equals", "attacker@evil.com"]])).toBe(true);
    expect(await matches([["sender", "equals", "attacker@evil.com"]], {}, true)).toBe(true);
    expect(await matches([["sender", "contains", "ok@corp.com"]])).toBe(false);
    const nobody = { envelope: { ...envelope, from: [] } };
    expect(await matches([["sender", "regex", ".*"]], nobody)).toBe(false);
  });

  test("hold for any recipient, any value of a header, the mailbox and attachments", async () => {
    expect(await matches([["to", "equals", "two@x.org"]])).toBe(true);
    expect(await matches([["to", "contains", "three"]])).toBe(false);
    expect(await matches([["header:List-Id", "contains", "b.list"]])).toBe(true);
    expect(await matches([["header:x-none", "regex", ".*"]])).toBe(false);
    expect(await matches([["mailbox", "equals", "default"]])).toBe(true);
    const attachment = {
      filename: null,
      contentType: "a/b",
      sizeBytes: 1,
      encoding: "7bit",
      part: "2",
    };
    const attachments = [{ ...attachment, contentId: null, disposition: null, offloaded: null }];
    expect(await matches([["has_attachment", "equals", "false"]])).toBe(true);
    expect(await matches([["has_attachment", "equals", "true"]], { attachments })).toBe(true);
  });

  test("see text and HTML of the body, each as far as the limit", async () => {
    const find: Conditions = [["body", "contains", "needle"]];
    const pad = (length: number): string => "a".repeat(length);
    expect(await matches(find, { text: "the needle" })).toBe(true);
    expect(await matches(find, { text: pad(MAX_RULE_BODY_CHARS), html: "<b>needle" })).toBe(true);
    expect(await matches(find, { text: `${pad(MAX_RULE_BODY_CHARS - 6)}needle` })).toBe(true);
    expect(await matches(find, { text: `${pad(MAX_RULE_BODY_CHARS - 5)}needle` })).toBe(false);
    expect(await matches([["body", "equals", "a\nb"]], { text: "a", html: "b" })).toBe(true);
    expect(await matches([["body", "regex", ".*"]])).toBe(false);
  });

  test("see the subject and every value of a header as far as the limit, addresses whole", async () => {
    const long = `${"a".repeat(MAX_RULE_TEXT_CHARS - 6)}needleX`;
    const headers = new Map([["x-long", ["short", long]]]);
    const to = [{ name: null, address: `${long}@x.org` }];
    for (const [field, more] of [
      ["subject", subject(long)],
      ["header:x-long", { headers }],
    ] as const) {
      expect(await matches([[field, "contains", "needle"]], more)).toBe(true);
      expect(await matches([[field, "contains", "needlex"]], more)).toBe(false);
    }
    const addressed = { envelope: { ...envelope, to } };
    expect(await matches([["to", "contains", "needlex@x.org"]], addressed)).toBe(true);
  });

  test("of one rule are joined by AND", async () => {
    const both: Conditions = [
      ["subject", "contains", "facture"],
      ["mailbox", "equals", "other"],
    ];
    expect(await matches(both)).toBe(false);
    expect(await matches(both, { mailbox: "other" })).toBe(true);
  });
});

describe("judgeEnvelope", () => {
  const bySubject = ruleOf("subject", [["subject", "contains", "facture"]]);
  const byBody = ruleOf("body", [["body", "contains", "needle"]]);
  const byBoth = ruleOf("both", [
    ["body", "contains", "needle"],
    ["mailbox", "equals", "other"],
  ]);

  const kindOf = (...rules: Rule[]): string =>
    judgeEnvelope(compiled(...rules), factsOf(source())).kind;

  test("decides by the first rule that matches without a body", () => {
    const verdict = judgeEnvelope(compiled(bySubject, byBody), factsOf(source()));
    expect(verdict).toMatchObject({ kind: "matched", rule: { id: "subject" } });
  });

  test("needs the body when a rule before it looks there and could match", () => {
    expect(kindOf(byBody, bySubject)).toBe("needs_body");
    expect(kindOf(byBoth, bySubject)).toBe("matched");
  });

  test("is none without a rule that can match", () => {
    expect([kindOf(), kindOf(byBoth)]).toEqual(["none", "none"]);
  });
});

describe("judge", () => {
  test("takes the first rule that matches, and none when none does", async () => {
    const rules = compiled(
      ruleOf("no", [["body", "contains", "absent"]]),
      ruleOf("first", [["body", "contains", "needle"]]),
      ruleOf("second", [["subject", "contains", "facture"]]),
    );
    expect(await judged(rules, { text: "needle" })).toBe("first");
    expect(await judged(rules)).toBe("second");
    expect(await judged(rules.slice(0, 2), subject("x"))).toBeNull();
  });

  test("pauses before each condition on the body and for nothing else", async () => {
    const rules = compiled(
      ruleOf("a", [
        ["body", "regex", "(a+)+$"],
        ["body", "contains", "never reached"],
      ]),
      ruleOf("b", [
        ["mailbox", "equals", "other"],
        ["body", "contains", "skipped"],
      ]),
      ruleOf("c", [["body", "contains", "b"]]),
    );
    let pauses = 0;
    const pause = async (): Promise<void> => {
      pauses += 1;
    };
    const facts = factsOf(source({ text: "aab" }));
    expect((await judge(rules, facts, pause))?.id).toBe("c");
    expect(pauses).toBe(2);
  });

  test("takes a hostile body", async () => {
    const text = "a".repeat(1_000_000);
    const hostile = ["(a+)+$", "(a|aa)+b", "(\\w+\\s)*\\d{5}"];
    const rules = compiled(
      ...hostile.map((value, i) => ruleOf(`r${i}`, [["body", "regex", value]])),
    );
    expect(await judged(rules.slice(1), { text, html: `${text}!` })).toBeNull();
  });
});

describe("expressions that go back without end in other engines", () => {
  const HOSTILE = ["(a+)+$", "(a|aa)+$", "(\\w+\\s)*\\d{5}", "^(([a-z])+.)+[A-Z]([a-z])+$"];

  /** DESIGN section 7: main-thread CPU of one turn. */
  const MAX_TURN_MS = 200;

  const cpuMs = (): number => {
    const { user, system } = process.threadCpuUsage();
    return (user + system) / 1000;
  };

  /** The longest turn of judging `facts`, in CPU of this thread: the least of three tries. */
  const longestTurnMs = async (
    rules: CompiledRule[],
    more: Partial<FactSource>,
  ): Promise<number> => {
    const tries: number[] = [];
    for (let round = 0; round < 3; round += 1) {
      let longest = 0;
      let started = cpuMs();
      const endTurn = async (): Promise<void> => {
        longest = Math.max(longest, cpuMs() - started);
        started = cpuMs();
      };
      await judge(rules, factsOf(source(more)), endTurn);
      await endTurn();
      tries.push(longest);
    }
    return Math.min(...tries);
  };

  test.each(HOSTILE)("take %s over a message of 2 MB in turns of bounded CPU", async (value) => {
    const rules = compiled(ruleOf("a", [["body", "regex", value]]));
    for (const unit of ["a", "a ", "aA", "aaaaaaaaa1"]) {
      const text = unit.repeat(1_000_000 / unit.length);
      const message = { text, html: `${text}!` };
      expect(await longestTurnMs(rules, message)).toBeLessThan(MAX_TURN_MS);
    }
  });

  test("take one turn each, however many rules look into the body", async () => {
    const text = "a".repeat(1_000_000);
    const rules = compiled(
      ...Array.from({ length: 40 }, (_, i) =>
        ruleOf(`r${i}`, [["body", "regex", HOSTILE[i % HOSTILE.length] ?? ""]]),
      ),
    );
    expect(await longestTurnMs(rules, { text, html: `${text}!` })).toBeLessThan(MAX_TURN_MS);
  });

  test.each(HOSTILE)("take %s in time that grows with the text, not with its square", (value) => {
    const [rule] = compiled(ruleOf("a", [["body", "regex", value]]));
    const holds = rule?.compiled[0]?.test ?? ((): boolean => true);
    const leastMs = (length: number): number => {
      const text = `${"a".repeat(length)}!`;
      const tries = Array.from({ length: 3 }, () => {
        const started = cpuMs();
        holds(text);
        return cpuMs() - started;
      });
      return Math.min(...tries);
    };
    // Sixteen times the text would be 256 times the work; the clock of a thread ticks in milliseconds.
    expect(leastMs(4_000_000)).toBeLessThan(64 * Math.max(leastMs(250_000), 4));
  });
});

describe("wantedHeaders", () => {
  test("names each header once, in lower case", () => {
    const rules = compiled(
      ruleOf("a", [["header:List-Id", "contains", "x"]]),
      ruleOf("b", [
        ["header:list-id", "contains", "y"],
        ["subject", "contains", "z"],
        ["header:x-spam", "equals", "no"],
      ]),
    );
    expect(wantedHeaders(rules)).toEqual(["list-id", "x-spam"]);
  });
});
