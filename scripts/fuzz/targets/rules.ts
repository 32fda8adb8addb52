// Rules: whatever is configured is compiled or refused with a reason, one rule never takes another with
// it; the first rule that matches is found, with and without the body, and expressions are searched for
// in linear time.
import fc from "fast-check";
import type { Message } from "../../../src/core/message.ts";
import type { Rule, RuleCondition } from "../../../src/core/settings.ts";
import { compileRules } from "../../../src/rules/compile.ts";
import { type FactSource, factsOf } from "../../../src/rules/facts.ts";
import { gate } from "../../../src/rules/gates.ts";
import { judge, judgeEnvelope, wantedHeaders } from "../../../src/rules/match.ts";
import { envelopes, textOf } from "../inputs.ts";
import { createTarget, must } from "../target.ts";

const FIELDS = [
  "sender",
  "subject",
  "body",
  "body",
  "to",
  "mailbox",
  "has_attachment",
  "header:x-a",
];

/** Expressions that are slow where an engine goes back, ordinary ones, and broken ones. */
const EXPRESSIONS = [
  ...["(a+)+$", "(a|aa)+$", "(\\w+\\s)*\\d{5}", "^(([a-z])+.)+[A-Z]([a-z])+$", "(.*)(.*)(.*)x"],
  ...["lot \\d+", "^urgent", "(?i)Facture", "\\bRE\\b", "(?P<n>\\d+)", "a{0,50}b", "[^a]*a$", ".*"],
  ...["(", "a{1001}", "(?=x)", "\\1", "[", "*", "\\p{L}+", "a**", ""],
];

const TOKENS = [
  "a",
  "aa",
  "aaaa",
  "lot 42",
  "facture",
  "URGENT",
  " ",
  "\n",
  "é",
  "12345",
  "b@c.org",
];

const condition: fc.Arbitrary<RuleCondition> = fc
  .record({
    field: fc.oneof(
      { weight: 12, arbitrary: fc.constantFrom(...FIELDS) },
      { weight: 1, arbitrary: fc.constantFrom("from", "header:", "header:x y", "__proto__") },
    ),
    operator: fc.constantFrom("contains", "equals", "regex", "regex", "starts"),
    text: fc.constantFrom(...TOKENS, "true", "FALSE", " "),
    expression: fc.constantFrom(...EXPRESSIONS),
    caseSensitive: fc.boolean(),
  })
  .map(({ text, expression, ...rest }) => ({
    ...rest,
    value: rest.operator === "regex" ? expression : text,
  }));

const rule: fc.Arbitrary<Rule> = fc.record({
  id: fc.oneof(fc.stringMatching(/^[a-z0-9-]{1,6}$/), fc.constantFrom("", "Not Good", "a")),
  name: fc.constantFrom("a", "b", " "),
  conditions: fc.array(condition, { maxLength: 3 }),
  webhookUrl: fc.constantFrom(null, null, "https://hooks.example.com/a", "http://127.0.0.1/", "x"),
  secretName: fc.constantFrom(null, null, null, "partner", "nobody"),
  priority: fc.constantFrom("normal", "high", "normal", "urgent"),
  stopProcessing: fc.boolean(),
  drop: fc.boolean(),
});

const ATTACHMENT: Message["attachments"][number] = {
  ...{ filename: "a.pdf", contentType: "application/pdf", sizeBytes: 1, encoding: "base64" },
  ...{ part: "2", contentId: null, disposition: "attachment", offloaded: null },
};

const source: fc.Arbitrary<FactSource> = fc.record({
  mailbox: fc.constantFrom("default", "a"),
  envelope: envelopes,
  headers: fc
    .array(textOf(TOKENS, 100_000), { maxLength: 3 })
    .map((values) => new Map([["x-a", values]])),
  attachments: fc.constantFrom<Message["attachments"]>([], [ATTACHMENT]),
  text: fc.option(textOf(TOKENS, 1_000_000)),
  html: fc.option(textOf(TOKENS, 1_000_000)),
});

const webhook = {
  url: "https://hooks.example.com/",
  allowPrivateAddresses: false,
  namedSecrets: new Map([["partner", "whsec_a"]]),
};

/** What a condition on a field may look at. */
const valuesOf = (field: string, facts: ReturnType<typeof factsOf>): readonly string[] => {
  const { sender, subject, to, mailbox, hasAttachment, body, headers } = facts;
  const values: Readonly<Record<string, readonly (string | null)[]>> = {
    ...{ sender: [sender], subject: [subject], to, mailbox: [mailbox], body: [body] },
    has_attachment: [String(hasAttachment)],
    "header:x-a": headers.get("x-a") ?? [],
  };
  return (values[field] ?? []).filter((value) => value !== null);
};

/** Any rules on any message. */
export const rules = createTarget({
  name: "rules",
  weight: 14,
  cases: fc.record({
    list: fc.array(rule, { maxLength: 8 }),
    message: source,
    senders: fc.array(fc.constantFrom("b@c.org", "a"), { maxLength: 2 }),
    skipReplies: fc.boolean(),
  }),
  run: async ({ list, message, senders, skipReplies }, meter) => {
    const { rules: usable, refused } = meter.turn(() => compileRules(list, webhook));
    must(usable.length + refused.length === list.length, "a rule is lost or made up");
    must(
      refused.every(({ problems }) => problems.length > 0),
      "a rule is refused for nothing",
    );
    for (const one of usable) {
      const [again] = compileRules([one], webhook).rules;
      must(again?.id === one.id, "a rule that can be used cannot be used alone");
    }
    must(new Set(wantedHeaders(usable)).size === wantedHeaders(usable).length, "a header twice");
    meter.turn(() => gate({ sendersOfInterest: senders, skipReplies }, message.envelope));
    const facts = meter.turn(() => factsOf(message));
    const verdict = meter.turn(() => judgeEnvelope(usable, { ...facts, body: null }));
    const found = await meter.turns((pause) => judge(usable, facts, pause));
    if (verdict.kind === "matched") must(found === verdict.rule, "the body changes what it cannot");
    if (verdict.kind === "none") must(found === null, "a rule matches that could not");
    const first = usable.find(({ compiled }) =>
      compiled.every(({ field, test }) => valuesOf(field, facts).some(test)),
    );
    must((first ?? null) === found, "not the first rule that matches");
    return [verdict.kind, found?.id];
  },
});

const atom = fc.constantFrom("a", "b", ".", "[ab]", "[^a]", "(a|b)", "(?:ab)");
const expression = fc
  .array(fc.tuple(atom, fc.constantFrom("", "", "*", "+", "?", "{0,2}")), { maxLength: 5 })
  .map((pieces) => pieces.map(([one, times]) => one + times).join(""));

/** Small expressions on small texts: the linear engine agrees with JavaScript's own. */
export const expressions = createTarget({
  name: "expressions",
  weight: 8,
  cases: fc.record({
    value: fc
      .tuple(
        fc.constantFrom("", "^"),
        fc.array(expression, { minLength: 1, maxLength: 3 }),
        fc.constantFrom("", "$"),
      )
      .map(([start, either, end]) => `${start}(${either.join("|")})${end}`),
    text: fc.stringMatching(/^[abAB]{0,14}$/),
    caseSensitive: fc.boolean(),
  }),
  run: ({ value, text, caseSensitive }, meter) => {
    const one = { field: "subject", operator: "regex", value, caseSensitive };
    const base = { id: "a", name: "a", webhookUrl: null, secretName: null, priority: "normal" };
    const whole: Rule = { ...base, conditions: [one], stopProcessing: false, drop: false };
    const [compiled] = meter.turn(() => compileRules([whole], webhook)).rules;
    must(compiled !== undefined, "an expression is refused");
    const found = meter.turn(() => compiled?.compiled[0]?.test(text));
    must(found === new RegExp(value, caseSensitive ? "" : "i").test(text), "engines disagree");
    return found;
  },
});
