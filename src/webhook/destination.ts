// Where a message goes: the destinations that the configuration in force gives it, and the way back
// from a destination's id to its URL and secrets. Pure; asked at the first attempt and at every retry.
import type { HotSettings, Rule, WebhookSettings } from "../core/settings.ts";

/** Somewhere a message is posted to, as the configuration says now. */
export interface Destination {
  /** `default` or `rule-<rule id>`; public, it appears in logs, metrics and headers. */
  id: string;
  url: string;
  /** Each makes a signature, in this order; `whsec_` and base64. */
  secrets: readonly string[];
  allowPrivateAddresses: boolean;
  /** Of one request, from the first byte sent to the status line. */
  timeoutMs: number;
  /** Requests at a time. */
  concurrency: number;
}

const hrefOf = (url: string): string => (URL.canParse(url) ? new URL(url).href : url);

const hostOf = (url: string): string | null => URL.parse(url)?.hostname ?? null;

const defaultOf = (webhook: WebhookSettings): Destination => ({
  id: "default",
  url: webhook.url,
  secrets: webhook.secrets,
  allowPrivateAddresses: webhook.allowPrivateAddresses,
  timeoutMs: webhook.timeoutMs,
  concurrency: webhook.concurrency,
});

/**
 * A rule's own destination. It reaches private addresses only at the host of the default URL,
 * which is the one that the operator opened (DESIGN section 8).
 */
const ruleOf = (webhook: WebhookSettings, rule: Rule, url: string): Destination => {
  const named = rule.secretName === null ? undefined : webhook.namedSecrets.get(rule.secretName);
  const isSameHost = hostOf(url) !== null && hostOf(url) === hostOf(webhook.url);
  return {
    ...defaultOf(webhook),
    id: `rule-${rule.id}`,
    url,
    secrets: named === undefined ? webhook.secrets : [named],
    allowPrivateAddresses: webhook.allowPrivateAddresses && isSameHost,
  };
};

/**
 * The destinations of a message that `rule` matched (null: none did), in order: the rule's URL, then
 * the default unless the rule stops processing. A rule without a URL cannot take the default away;
 * equal URLs are one destination, `default`.
 */
export const destinationsOf = (webhook: WebhookSettings, rule: Rule | null): Destination[] => {
  const first = defaultOf(webhook);
  if (rule === null || rule.webhookUrl === null) return [first];
  if (hrefOf(rule.webhookUrl) === hrefOf(webhook.url)) return [first];
  const own = ruleOf(webhook, rule, rule.webhookUrl);
  return rule.stopProcessing ? [own] : [own, first];
};

/**
 * The destination of that id in the configuration in force; null when it is gone. One whose rule names
 * a secret that is no longer there is gone too: it is never signed with another.
 */
export const findDestination = (
  { webhook, rules }: Pick<HotSettings, "webhook" | "rules">,
  id: string,
): Destination | null => {
  if (id === "default") return defaultOf(webhook);
  const rule = rules.find((candidate) => `rule-${candidate.id}` === id);
  if (rule === undefined || rule.webhookUrl === null) return null;
  if (rule.secretName !== null && !webhook.namedSecrets.has(rule.secretName)) return null;
  return ruleOf(webhook, rule, rule.webhookUrl);
};
