// From rules as configured to rules that can be run: every value of a rule is judged here and nowhere
// else, and expressions are compiled for a linear-time engine. A rule that cannot be used is refused
// alone. Called once per change of the configuration, and by `check`.
import { RE2JS } from "re2js";
import { isHeaderName } from "../core/message.ts";
import {
  RULE_OPERATORS,
  RULE_PRIORITIES,
  type Rule,
  type RuleCondition,
  type WebhookSettings,
} from "../core/settings.ts";
import { refuseUrl } from "../net/egress-guard.ts";

/** A condition that can be run. */
export interface CompiledCondition {
  field: string;
  /** Does this value of the field satisfy it? */
  test: (value: string) => boolean;
}

/** A rule that can be run. */
export interface CompiledRule extends Rule {
  /** The conditions, ready to be asked. */
  compiled: readonly CompiledCondition[];
}

/** What is wrong at one key of a rule, `conditions[0].value`, and what to write instead. */
export interface RuleProblem {
  key: string;
  message: string;
}

/** A rule that cannot be used. Only its id is quoted, and only when that is well formed. */
export interface RefusedRule {
  /** Its place among the configured rules, from 0. */
  index: number;
  /** `rules[3]` for a rule whose own id cannot be shown. */
  id: string;
  /** Everything that is wrong with it; never empty. */
  problems: readonly RuleProblem[];
}

type RuleTargets = Pick<WebhookSettings, "url" | "allowPrivateAddresses" | "namedSecrets">;
type Say = (key: string, message: string) => void;

/** What a condition on a header begins with; the name of the header follows. */
export const HEADER_PREFIX = "header:";

const FIELDS = ["sender", "subject", "body", "to", "mailbox", "has_attachment"];

const isField = (field: string): boolean =>
  FIELDS.includes(field) ||
  (field.startsWith(HEADER_PREFIX) && isHeaderName(field.slice(HEADER_PREFIX.length)));

const isRuleId = (id: string): boolean => /^[a-z0-9-]{1,64}$/.test(id);

/** Stands for a test that cannot be made; its rule is refused, so nobody asks it. */
const NEVER: CompiledCondition["test"] = () => false;

const createTest = (
  { operator, value, caseSensitive }: RuleCondition,
  where: string,
  say: Say,
): CompiledCondition["test"] => {
  const fold = (text: string): string => (caseSensitive ? text : text.toLowerCase());
  const wanted = fold(value);
  switch (operator) {
    case "contains":
      return (text) => fold(text).includes(wanted);
    case "equals":
      return (text) => fold(text) === wanted;
    case "regex":
      try {
        const expression = RE2JS.compile(value, caseSensitive ? 0 : RE2JS.CASE_INSENSITIVE);
        return (text) => expression.test(text);
      } catch {
        say(
          `${where}.value`,
          "write an expression of RE2 syntax (no look-around, no back-references)",
        );
        return NEVER;
      }
    default:
      say(`${where}.operator`, `write one of ${RULE_OPERATORS.join(", ")}`);
      return NEVER;
  }
};

/** `has_attachment`: the fact is told as `true` or `false`, however the rule spells it. */
const createAttachmentTest = (
  { operator, value }: RuleCondition,
  where: string,
  say: Say,
): CompiledCondition["test"] => {
  const wanted = value.toLowerCase();
  if (operator !== "equals") say(`${where}.operator`, "write equals; there is nothing to search");
  if (wanted !== "true" && wanted !== "false") say(`${where}.value`, "write true or false");
  return (text) => text === wanted;
};

const compileCondition = (condition: RuleCondition, where: string, say: Say): CompiledCondition => {
  const { field, value } = condition;
  if (field === "has_attachment") {
    return { field, test: createAttachmentTest(condition, where, say) };
  }
  if (!isField(field)) {
    say(`${where}.field`, `write one of ${FIELDS.join(", ")} or ${HEADER_PREFIX}<name>`);
  }
  if (value.trim() === "") say(`${where}.value`, "write what to look for");
  return { field, test: createTest(condition, where, say) };
};

const judgeUrl = (url: string, webhook: RuleTargets, say: Say): void => {
  const hostname = URL.parse(url)?.hostname;
  const isDefaultHost = hostname !== undefined && hostname === URL.parse(webhook.url)?.hostname;
  const reason = refuseUrl(url, webhook.allowPrivateAddresses && isDefaultHost);
  if (reason === null) return;
  say(
    "actions.webhook_url",
    `write an https:// address of a public host, or a hook token (${reason}); a private one must have the host of webhook.url, with webhook.allow_private_addresses: true`,
  );
};

const compileRule = (rule: Rule, webhook: RuleTargets, say: Say): CompiledRule => {
  const { id, name, conditions, priority, webhookUrl, secretName } = rule;
  if (!isRuleId(id)) say("id", "write 1 to 64 of a-z, 0-9 and -");
  if (name.trim() === "") say("name", "write a name or remove the key");
  if (conditions.length === 0) say("conditions", "write at least one condition");
  if (!RULE_PRIORITIES.some((known) => known === priority)) {
    say("actions.priority", `write one of ${RULE_PRIORITIES.join(", ")}`);
  }
  if (secretName !== null && !webhook.namedSecrets.has(secretName)) {
    say("actions.secret", "write a name that webhook.secrets has");
  }
  if (webhookUrl !== null) judgeUrl(webhookUrl, webhook, say);
  const compiled = conditions.map((condition, at) =>
    compileCondition(condition, `conditions[${at}]`, say),
  );
  return { ...rule, compiled };
};

/**
 * The rules that can be used, in order, and why the others cannot. One bad rule never takes others
 * with it; of two rules with one id the later is refused, whatever the first is worth. Expressions are
 * searched for anywhere in a value; `.` does not match a newline, `^` and `$` are the ends of the whole
 * value, and `\b` and `\w` know ASCII only.
 */
export const compileRules = (
  rules: readonly Rule[],
  webhook: RuleTargets,
): { rules: CompiledRule[]; refused: RefusedRule[] } => {
  const compiled: CompiledRule[] = [];
  const refused: RefusedRule[] = [];
  const taken = new Set<string>();
  for (const [index, rule] of rules.entries()) {
    const problems: RuleProblem[] = [];
    const say: Say = (key, message) => void problems.push({ key, message });
    if (taken.has(rule.id)) say("id", "write another id; this one is taken by a rule above");
    taken.add(rule.id);
    const candidate = compileRule(rule, webhook, say);
    if (problems.length === 0) compiled.push(candidate);
    else refused.push({ index, id: isRuleId(rule.id) ? rule.id : `rules[${index}]`, problems });
  }
  return { rules: compiled, refused };
};
