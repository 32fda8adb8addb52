// What a document begins with when nobody has written it: what the screens of the Python service stored,
// as far as it maps, over what the file says. Used once in the life of an installation, by
// follow-documents.ts.
import { MAX_RULES } from "../../core/limits.ts";
import type { DocumentName } from "../../store/store.ts";
import { coerceText } from "../environment.ts";
import { isTree, keyAt, type SettingsKey } from "../keys.ts";
import type { LoadedSettings } from "../load.ts";
import { type Documents, escapeTexts } from "./layer.ts";

type Accepts = (documents: Documents) => boolean;

const acceptsOver =
  (base: LoadedSettings): Accepts =>
  (documents) => {
    try {
      base.withDocuments(documents);
      return true;
    } catch {
      return false;
    }
  };

const VACATION = ["vacation_start", "vacation_end"] as const;

/** A value in the type of its key, as its screens and their API allowed it; undefined: it is none. */
const coerce = (key: SettingsKey, value: unknown, isGood: (item: unknown) => boolean): unknown => {
  if (key.kind === "list of numbers" || key.kind === "list of texts") {
    const items: unknown = typeof value === "string" ? value.split(/[,\r\n]/) : value;
    if (!Array.isArray(items)) return undefined;
    const good = items
      .map((item: unknown) => (typeof item === "string" ? item.trim() : item))
      .map((item) =>
        key.kind === "list of numbers" && typeof item === "string" && item !== ""
          ? Number(item)
          : item,
      )
      .filter(isGood);
    // An empty list of senders means everyone here, and meant "see the environment" there.
    return good.length === 0 ? undefined : good;
  }
  if (!["string", "number", "boolean"].includes(typeof value)) return undefined;
  const coerced = coerceText(key, String(value));
  return coerced.kind === "value" ? coerced.value : undefined;
};

/** A date, with or without a time behind it; null: none. */
const dayOf = (value: unknown): unknown => {
  if (value === undefined || value === "") return null;
  return typeof value === "string" ? value.slice(0, "2026-12-24".length) : value;
};

const pollingFrom = (
  raw: Readonly<Record<string, unknown>>,
  names: readonly string[],
  accepts: Accepts,
): Record<string, unknown> => {
  const isGood = (values: Record<string, unknown>): boolean => accepts({ polling_config: values });
  const values: Record<string, unknown> = {};
  for (const name of names) {
    const key = keyAt(["polling", name]);
    if (key === undefined || VACATION.some((end) => end === name)) continue;
    const value = coerce(key, raw[name], (item) => isGood({ [name]: [item] }));
    if (value !== undefined && isGood({ [name]: value })) values[name] = value;
  }
  const isWhole = VACATION.every((end) => names.includes(end) && Object.hasOwn(raw, end));
  const vacation = Object.fromEntries(VACATION.map((end) => [end, dayOf(raw[end])]));
  return isWhole && isGood(vacation) ? { ...values, ...vacation } : values;
};

const pick = (value: unknown, names: readonly string[]): unknown =>
  isTree(value) ? Object.fromEntries(Object.entries(value).filter(([n]) => names.includes(n))) : {};

/** `rule_7 A` becomes `rule-7-a`; without any id it is the place in the list. */
const ruleId = (id: unknown, at: number, taken: Set<string>): string => {
  const text = typeof id === "string" || typeof id === "number" ? String(id) : "";
  const slug = text
    .toLowerCase()
    .replaceAll(/[^a-z0-9-]+/g, "-")
    .slice(0, 50);
  const first = slug === "" ? `rule-${at + 1}` : slug;
  let free = first;
  for (let suffix = 2; taken.has(free); suffix += 1) free = `${first}-${suffix}`;
  taken.add(free);
  return free;
};

const rulesFrom = (raw: unknown, accepts: Accepts): unknown[] => {
  const list = isTree(raw) ? raw["rules"] : raw;
  const taken = new Set<string>();
  const entries: unknown[] = Array.isArray(list) ? list : [];
  return entries
    .flatMap((entry, at) => {
      if (!isTree(entry)) return [];
      const { id, name, conditions, actions } = entry;
      const rule = {
        id: ruleId(id, at, taken),
        name: typeof name === "string" && name.trim() !== "" ? name : `Rule ${at + 1}`,
        conditions: Array.isArray(conditions)
          ? conditions.map((c) => pick(c, ["field", "operator", "value", "case_sensitive"]))
          : [],
        actions: pick(actions, ["webhook_url", "priority", "stop_processing"]),
      };
      return accepts({ routing_rules: [rule] }) ? [rule] : [];
    })
    .slice(0, MAX_RULES);
};

const jsonOf = (text: string | null): unknown => {
  try {
    return text === null ? null : (JSON.parse(text) as unknown);
  } catch {
    return null;
  }
};

/** Nothing that a person wrote is nested so deep that it cannot be walked; the rest is no seed. */
const textsEscaped = (value: unknown): unknown => {
  try {
    return escapeTexts(value);
  } catch {
    return null;
  }
};

/**
 * The first content of a document: `stored`, the JSON of the Python service's own one (null: none), as far
 * as it maps, over the file of `base`. Null when a variable settles all of it. Of `webhook_config` nothing
 * is taken over: the poller there never read its address.
 */
export const seedDocument = (
  name: DocumentName,
  stored: string | null,
  base: LoadedSettings,
): unknown => {
  const own = base.documents[name];
  const raw = textsEscaped(jsonOf(stored));
  const accepts = acceptsOver(base);
  if (name === "polling_config" && isTree(own) && isTree(raw))
    return { ...own, ...pollingFrom(raw, Object.keys(own), accepts) };
  if (name === "routing_rules" && own !== null) {
    const rules = rulesFrom(raw, accepts);
    return rules.length === 0 ? own : { rules };
  }
  return own;
};
