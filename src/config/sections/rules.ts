// The section `rules`: which mail gets which destination and priority. The schema settles only shape;
// a bad value inside one rule refuses that rule alone (DESIGN section 8). Expressions are compiled later.
import { z } from "zod";
import { MAX_RULES } from "../../core/limits.ts";
import type { Rule, RuleCondition, WebhookSettings } from "../../core/settings.ts";
import { flag, section } from "./fields.ts";
import { parseWebhookUrl } from "./webhook.ts";

const TEXT = "write a text, in quotes where it looks like a number";
const FIELDS = ["sender", "subject", "body", "to", "mailbox", "has_attachment"];
const OPERATORS = ["contains", "equals", "regex"] as const;
const PRIORITIES = ["normal", "high"] as const;

const conditionSchema = section({
  field: z.string({ error: TEXT }).meta({
    description:
      "What is looked at: `sender` (address of the first From), `subject`, `body`, `to` (any To or Cc address), `mailbox`, `has_attachment` or `header:<name>`.",
  }),
  operator: z.string({ error: TEXT }).meta({
    description: "How: `contains`, `equals` or `regex` (RE2 syntax, found anywhere).",
    enum: [...OPERATORS],
  }),
  value: z.union([z.string(), z.boolean()], { error: TEXT }).meta({
    description: "With what; spaces around it are dropped. `true` or `false` for `has_attachment`.",
  }),
  case_sensitive: flag(false, { description: "Tell capitals from small letters." }),
});

const actionsSchema = section({
  webhook_url: z.string({ error: TEXT }).nullable().default(null).meta({
    description:
      "A further destination: `https://…`, or a hook token (`tok123` and `tok123@hook.eu2.make.com` mean `https://hook.eu2.make.com/tok123`).",
  }),
  secret: z.string({ error: TEXT }).nullable().default(null).meta({
    description: "The name in `webhook.secrets` that signs for it; null: `webhook.secret`.",
  }),
  priority: z
    .string({ error: TEXT })
    .default("normal")
    .meta({
      description: "Told in the event: `normal` or `high`.",
      enum: [...PRIORITIES],
    }),
  stop_processing: flag(false, {
    description: "Do not send to the default webhook too. Without `webhook_url` it has no effect.",
  }),
  drop: flag(false, {
    description: "Settle the message without a webhook; beats the other actions.",
  }),
});

/** One rule by shape. */
const ruleSchema = section({
  id: z.string({ error: TEXT }).meta({
    description:
      "1 to 64 of a-z, 0-9 and -; unique and public: it names the destination `rule-<id>`.",
  }),
  name: z
    .string({ error: TEXT })
    .optional()
    .meta({ description: "Told in the event.", defaultText: "the id" }),
  conditions: z
    .array(conditionSchema, { error: "write a list of conditions" })
    .meta({ description: "All of them must hold; at least one." }),
  actions: actionsSchema
    .prefault({})
    .meta({ description: "What is done with a message that matches." }),
});

/** The section. */
export const rulesSchema = z
  .array(ruleSchema, { error: "write a list of rules, [] for none" })
  .max(MAX_RULES, { error: `write at most ${MAX_RULES} rules` })
  .default([]);

/** What is wrong at one key of a rule, and what to write instead. */
interface RuleProblem {
  /** From the top of the file. */
  path: readonly (string | number)[];
  message: string;
}

/** A rule that cannot be used, with everything that is wrong in it; never empty. */
export interface RuleRefusal {
  id: string;
  problems: readonly RuleProblem[];
}

type RawRule = z.output<typeof ruleSchema>;
type Say = (path: readonly (string | number)[], message: string) => void;

/** The URL that a rule means: a bare token is one of Make's hooks (REFERENCE 1.9). */
const expandUrl = (text: string): string => {
  const token = /^([\w-]+)(@hook\.eu2\.make\.com)?$/.exec(text.trim());
  return token === null ? text.trim() : `https://hook.eu2.make.com/${token[1]}`;
};

const isUsableUrl = (text: string, webhook: WebhookSettings): boolean => {
  const url = parseWebhookUrl(text);
  if (url === null || url.protocol === "https:") return url !== null;
  return webhook.allowPrivateAddresses && url.hostname === parseWebhookUrl(webhook.url)?.hostname;
};

const conditionOf = (raw: RawRule["conditions"][number], at: number, say: Say): RuleCondition => {
  const path = (key: string) => ["conditions", at, key];
  const field = raw.field.toLowerCase();
  const value = String(raw.value).trim();
  const operator = OPERATORS.find((name) => name === raw.operator);
  if (!FIELDS.includes(field) && !/^header:[!-9;-~]+$/.test(field))
    say(path("field"), `write one of ${FIELDS.join(", ")} or header:<name>`);
  if (operator === undefined) say(path("operator"), `write one of ${OPERATORS.join(", ")}`);
  if (value === "") say(path("value"), "write what to look for");
  else if (field === "has_attachment" && !/^(true|false)$/i.test(value))
    say(path("value"), "write true or false");
  return {
    field,
    operator: operator ?? "equals",
    value: field === "has_attachment" ? value.toLowerCase() : value,
    caseSensitive: raw.case_sensitive,
  };
};

const judgeRule = (raw: RawRule, webhook: WebhookSettings, say: Say): Rule => {
  const { actions } = raw;
  if (!/^[a-z0-9-]{1,64}$/.test(raw.id)) say(["id"], "write 1 to 64 of a-z, 0-9 and -");
  if (raw.name?.trim() === "") say(["name"], "write a name or remove the key");
  if (raw.conditions.length === 0) say(["conditions"], "write at least one condition");
  const conditions = raw.conditions.map((condition, at) => conditionOf(condition, at, say));
  const priority = PRIORITIES.find((name) => name === actions.priority);
  if (priority === undefined) say(["actions", "priority"], "write normal or high");
  const webhookUrl = actions.webhook_url === null ? null : expandUrl(actions.webhook_url);
  if (webhookUrl !== null && !isUsableUrl(webhookUrl, webhook))
    say(["actions", "webhook_url"], "write an address that begins with https://, or a hook token");
  if (actions.secret !== null && !webhook.namedSecrets.has(actions.secret))
    say(["actions", "secret"], "write a name that webhook.secrets has");
  return {
    id: raw.id,
    name: raw.name?.trim() ?? raw.id,
    conditions,
    webhookUrl,
    secretName: actions.secret,
    priority: priority ?? "normal",
    stopProcessing: actions.stop_processing,
    drop: actions.drop,
  };
};

/**
 * The rules that can be used, in their order, and what is wrong with the others. Of two rules with one
 * id the later is refused; a refused rule without a usable id goes by its place, `rules[3]`.
 */
export const judgeRules = (
  raw: readonly RawRule[],
  webhook: WebhookSettings,
): { rules: Rule[]; refusals: RuleRefusal[] } => {
  const rules: Rule[] = [];
  const refusals: RuleRefusal[] = [];
  const taken = new Set<string>();
  for (const [at, entry] of raw.entries()) {
    const problems: RuleProblem[] = [];
    const say: Say = (path, message) => problems.push({ path: ["rules", at, ...path], message });
    if (taken.has(entry.id)) say(["id"], "write another id; this one is taken by a rule above");
    const rule = judgeRule(entry, webhook, say);
    const id = /^[a-z0-9-]{1,64}$/.test(entry.id) ? entry.id : `rules[${at}]`;
    if (problems.length === 0) rules.push(rule);
    else refusals.push({ id, problems });
    taken.add(entry.id);
  }
  return { rules, refusals };
};
