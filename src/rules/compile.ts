// From rules as configured to rules that can be run: expressions compiled for a linear-time engine,
// webhook URLs checked. A rule that cannot be used is refused alone. Called once per change of the
// configuration.
import { RE2JS } from "re2js";
import { AppError } from "../core/errors.ts";
import type { Rule, RuleCondition, WebhookSettings } from "../core/settings.ts";
import { refuseUrl } from "../net/egress-guard.ts";

/** A condition that can be run. */
export interface CompiledCondition {
  field: string;
  /** Does this value of the field satisfy it? */
  test: (value: string) => boolean;
}

/** A rule that can be run; its `webhookUrl` is a whole URL or null. */
export interface CompiledRule extends Rule {
  /** The conditions, ready to be asked. */
  compiled: readonly CompiledCondition[];
}

/** A rule that cannot be used; the message says what to change and quotes nothing of the rule. */
export interface RefusedRule {
  id: string;
  message: string;
}

type RuleTargets = Pick<WebhookSettings, "url" | "allowPrivateAddresses" | "namedSecrets">;

const MAKE_HOST = "hook.eu2.make.com";
const MAKE_TOKEN = /^([A-Za-z0-9_-]+)(?:@hook\.eu2\.make\.com)?$/;

const FIELDS = new Set(["sender", "subject", "body", "to", "mailbox", "has_attachment"]);

/** Why a rule is refused; caught in this file, where the rule's id is known. */
const refusal = (message: string): AppError => new AppError("rules/refused", message);

const compileCondition = (
  { field, operator, value, caseSensitive }: RuleCondition,
  index: number,
): CompiledCondition => {
  const where = `conditions[${index}]`;
  if (!FIELDS.has(field) && !/^header:[^\s:]+$/.test(field)) {
    throw refusal(`${where}: unknown field; use one of ${[...FIELDS].join(", ")}, header:<name>`);
  }
  if (field === "has_attachment" && (operator !== "equals" || !/^(true|false)$/i.test(value))) {
    throw refusal(`${where}: has_attachment takes equals with true or false`);
  }
  if (value.trim() === "") throw refusal(`${where}: the value is empty; write what to look for`);
  if (operator === "regex") {
    try {
      const expression = RE2JS.compile(value, caseSensitive ? 0 : RE2JS.CASE_INSENSITIVE);
      return { field, test: (text) => expression.test(text) };
    } catch {
      throw refusal(
        `${where}: not an expression of RE2 syntax (no look-around, no back-references)`,
      );
    }
  }
  const fold = caseSensitive
    ? (text: string): string => text
    : (text: string): string => text.toLowerCase();
  const wanted = fold(value);
  return operator === "equals"
    ? { field, test: (text) => fold(text) === wanted }
    : { field, test: (text) => fold(text).includes(wanted) };
};

/** The rule's URL in full: a token of Make stands for its hook, as in the Python service. */
const compileUrl = (url: string | null, webhook: RuleTargets): string | null => {
  if (url === null) return null;
  const token = MAKE_TOKEN.exec(url.trim())?.[1];
  const whole = token === undefined ? url.trim() : `https://${MAKE_HOST}/${token}`;
  const hostname = URL.parse(whole)?.hostname;
  const isDefaultHost = hostname !== undefined && hostname === URL.parse(webhook.url)?.hostname;
  const reason = refuseUrl(whole, webhook.allowPrivateAddresses && isDefaultHost);
  if (reason === null) return whole;
  throw refusal(
    `webhook_url is refused (${reason}); use an https URL of a public host, or the host of webhook.url with webhook.allow_private_addresses`,
  );
};

const compileRule = (rule: Rule, webhook: RuleTargets): CompiledRule => {
  if (rule.name.trim() === "") throw refusal("name is blank; give the rule a name");
  if (!["normal", "high"].includes(rule.priority)) {
    throw refusal("priority is neither normal nor high");
  }
  if (rule.conditions.length === 0) throw refusal("no conditions; write at least one");
  if (rule.secretName !== null && !webhook.namedSecrets.has(rule.secretName)) {
    throw refusal("the secret it names is not in webhook.secrets; add it or name another");
  }
  const webhookUrl = compileUrl(rule.webhookUrl, webhook);
  return { ...rule, webhookUrl, compiled: rule.conditions.map(compileCondition) };
};

/**
 * The rules that can be used, in order, and why the others cannot. One bad rule never takes others
 * with it; of two rules with one id the first stays. Expressions are searched for anywhere in a
 * value; `.` does not match a newline, `^` and `$` are the ends of the whole value, and `\b` and `\w`
 * know ASCII only.
 */
export const compileRules = (
  rules: readonly Rule[],
  webhook: RuleTargets,
): { rules: CompiledRule[]; refused: RefusedRule[] } => {
  const compiled: CompiledRule[] = [];
  const refused: RefusedRule[] = [];
  const ids = new Set<string>();
  for (const rule of rules) {
    try {
      if (ids.has(rule.id)) throw refusal("another rule has this id; ids are unique");
      ids.add(rule.id);
      compiled.push(compileRule(rule, webhook));
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      refused.push({ id: rule.id, message: error.message });
    }
  }
  return { rules: compiled, refused };
};
