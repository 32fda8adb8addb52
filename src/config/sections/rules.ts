// The section `rules`: which mail gets which destination and priority. The schema settles shape and
// nothing else: a wrong shape is an error of the whole file. A bad value refuses its rule alone (DESIGN
// section 8), which rules/ does when it compiles them.
import { z } from "zod";
import { MAX_RULES } from "../../core/limits.ts";
import {
  RULE_OPERATORS,
  RULE_PRIORITIES,
  type Rule,
  type RuleCondition,
} from "../../core/settings.ts";
import { flag, section } from "./fields.ts";

const TEXT = "write a text, in quotes where it looks like a number";

const conditionSchema = section({
  field: z.string({ error: TEXT }).meta({
    description:
      "What is looked at: `sender` (address of the first From), `subject`, `body`, `to` (any To or Cc address), `mailbox`, `has_attachment` or `header:<name>`. Of the subject and of each header value the first 16,384 characters, of the text and of the HTML 262,144.",
  }),
  operator: z.string({ error: TEXT }).meta({
    description: "How: `contains`, `equals` or `regex` (RE2 syntax, found anywhere).",
    enum: [...RULE_OPERATORS],
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
      enum: [...RULE_PRIORITIES],
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

type RawRule = z.output<typeof ruleSchema>;

/** The URL that a rule means: a bare token is one of Make's hooks, as in the Python service. */
const expandUrl = (text: string): string => {
  const token = /^([\w-]+)(@hook\.eu2\.make\.com)?$/.exec(text.trim())?.[1];
  return token === undefined ? text.trim() : `https://hook.eu2.make.com/${token}`;
};

const conditionSettings = (raw: RawRule["conditions"][number]): RuleCondition => ({
  field: raw.field.toLowerCase(),
  operator: raw.operator,
  value: String(raw.value).trim(),
  caseSensitive: raw.case_sensitive,
});

/** One rule of good shape as the program reads it; whether its values are any good, rules/ judges. */
export const ruleSettings = ({ id, name, conditions, actions }: RawRule): Rule => ({
  id,
  name: name?.trim() ?? id,
  conditions: conditions.map(conditionSettings),
  webhookUrl: actions.webhook_url === null ? null : expandUrl(actions.webhook_url),
  secretName: actions.secret,
  priority: actions.priority,
  stopProcessing: actions.stop_processing,
  drop: actions.drop,
});
