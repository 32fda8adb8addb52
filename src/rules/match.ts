// Which rule a message falls under: the first whose conditions all hold. Most messages are judged by
// their envelope alone, before anything of their body is fetched; the orchestrator asks twice only
// where a rule looks into the body.
import { type CompiledCondition, type CompiledRule, HEADER_PREFIX } from "./compile.ts";
import type { Facts } from "./facts.ts";

/** What the envelope decides. */
export type EnvelopeVerdict =
  | { kind: "matched"; rule: CompiledRule }
  | { kind: "none" }
  | { kind: "needs_body" };

/** The values of a field; a condition holds when any of them satisfies it. */
const valuesOf = (field: string, facts: Facts): readonly string[] => {
  switch (field) {
    case "sender":
      return facts.sender === null ? [] : [facts.sender];
    case "subject":
      return [facts.subject];
    case "to":
      return facts.to;
    case "mailbox":
      return [facts.mailbox];
    case "has_attachment":
      return [String(facts.hasAttachment)];
    case "body":
      return facts.body === null ? [] : [facts.body];
    default:
      return facts.headers.get(field.slice(HEADER_PREFIX.length).toLowerCase()) ?? [];
  }
};

const holds = ({ field, test }: CompiledCondition, facts: Facts): boolean =>
  valuesOf(field, facts).some((value) => test(value));

const isOnBody = ({ field }: CompiledCondition): boolean => field === "body";

const envelopeHolds = ({ compiled }: CompiledRule, facts: Facts): boolean =>
  compiled.every((condition) => isOnBody(condition) || holds(condition, facts));

/**
 * Judges by everything but the body. `needs_body`: a rule would match if its conditions on the body
 * held, so that rules after it cannot be asked yet.
 */
export const judgeEnvelope = (rules: readonly CompiledRule[], facts: Facts): EnvelopeVerdict => {
  const rule = rules.find((candidate) => envelopeHolds(candidate, facts));
  if (rule === undefined) return { kind: "none" };
  return rule.compiled.some(isOnBody) ? { kind: "needs_body" } : { kind: "matched", rule };
};

/**
 * The first rule that matches, or null. Before each condition on the body it awaits `pause`, so that
 * many expressions over a long body do not hold the event loop in one turn.
 */
export const judge = async (
  rules: readonly CompiledRule[],
  facts: Facts,
  pause: () => Promise<void>,
): Promise<CompiledRule | null> => {
  const bodyHolds = async ({ compiled }: CompiledRule): Promise<boolean> => {
    for (const condition of compiled.filter(isOnBody)) {
      await pause();
      if (!holds(condition, facts)) return false;
    }
    return true;
  };
  for (const rule of rules) {
    if (envelopeHolds(rule, facts) && (await bodyHolds(rule))) return rule;
  }
  return null;
};

/** The headers that the rules look at, names in lower case, each once. */
export const wantedHeaders = (rules: readonly CompiledRule[]): string[] => {
  const names = rules
    .flatMap(({ compiled }) => compiled)
    .filter(({ field }) => field.startsWith(HEADER_PREFIX))
    .map(({ field }) => field.slice(HEADER_PREFIX.length).toLowerCase());
  return [...new Set(names)];
};
