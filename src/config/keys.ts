// Every key of the configuration as a flat list, read off the schema: its kind, default, names in the
// environment and meaning. Also the few functions that walk a tree of plain values by path. The
// environment, the documentation and the messages are all made from this list.
import { settingsJsonSchema } from "./json-schema.ts";

/** Where a value stands: `["mailboxes", 0, "imap", "port"]`. */
export type Path = readonly (string | number)[];

/** What may be written at a key. `section` and `sections` have keys of their own. */
export type KeyKind =
  | "true or false"
  | "number"
  | "text"
  | "choice"
  | "list of numbers"
  | "list of texts"
  | "text or list"
  | "map of texts"
  | "null"
  | "section"
  | "sections";

/** One key. */
export interface SettingsKey {
  /** Dotted, entries of lists as `[]`: `mailboxes[].imap.port`. */
  key: string;
  kind: KeyKind;
  choices: readonly string[];
  /** The least and the greatest number; null where there is no such thing. */
  range: readonly [min: number, max: number] | null;
  required: boolean;
  nullable: boolean;
  /** Undefined when there is none. */
  byDefault: unknown;
  /** What to show instead of the default, where it depends on other keys. */
  defaultText: string | null;
  unit: string | null;
  description: string;
  secret: boolean;
  /** Names in the environment, the strongest first; empty for keys that only a file can hold. */
  environment: readonly string[];
}

/** The part of JSON Schema that our own schema uses, with the metadata of its fields. */
interface SchemaNode {
  type?: string | readonly string[];
  properties?: Readonly<Record<string, SchemaNode>>;
  required?: readonly string[];
  items?: SchemaNode;
  anyOf?: readonly SchemaNode[];
  additionalProperties?: boolean | SchemaNode;
  enum?: readonly string[];
  minimum?: number;
  maximum?: number;
  default?: unknown;
  description?: string;
  unit?: string;
  environment?: readonly string[];
  defaultText?: string;
  secret?: boolean;
  list?: boolean;
}

const typesOf = (node: SchemaNode): readonly string[] => [node.type ?? []].flat();

/** The node without its `null` alternative. */
const bareNode = (node: SchemaNode): SchemaNode =>
  node.anyOf?.find((other) => !typesOf(other).includes("null")) ?? node;

const isNullable = (node: SchemaNode): boolean =>
  [node, ...(node.anyOf ?? [])].some((other) => typesOf(other).includes("null"));

const kindOf = (node: SchemaNode): KeyKind => {
  if (node.list === true) return "text or list";
  const bare = bareNode(node);
  const [type] = typesOf(bare);
  if (type === "object") return bare.properties === undefined ? "map of texts" : "section";
  if (type === "array") {
    const item = typesOf(bare.items ?? {})[0];
    if (item === "object") return "sections";
    return item === "integer" ? "list of numbers" : "list of texts";
  }
  if (type === "boolean") return "true or false";
  if (type === "integer") return "number";
  if (type === "null") return "null";
  return node.enum === undefined ? "text" : "choice";
};

const rangeOf = ({ minimum, maximum }: SchemaNode): SettingsKey["range"] =>
  minimum === undefined || maximum === undefined ? null : [minimum, maximum];

/** `SIGNALPOST_<PATH>`; the keys of mailbox `default` go without the name of their list. */
const canonicalName = (key: string): string =>
  `SIGNALPOST_${key
    .replace(/^mailboxes\[\]\./, "")
    .replaceAll(".", "_")
    .toUpperCase()}`;

const environmentOf = (key: string, kind: KeyKind, node: SchemaNode): readonly string[] => {
  if (kind === "section" || kind === "sections" || kind === "map of texts") return [];
  if (key.startsWith("rules[]") || key === "mailboxes[].id") return [];
  return [canonicalName(key), ...(node.environment ?? [])];
};

const keysBelow = (node: SchemaNode, prefix: string): SettingsKey[] => {
  const bare = bareNode(node);
  return Object.entries(bare.properties ?? {}).flatMap(([name, child]) => {
    const key = `${prefix}${name}`;
    const kind = kindOf(child);
    const own: SettingsKey = {
      key,
      kind,
      choices: child.enum ?? [],
      range: rangeOf(child),
      required: bare.required?.includes(name) ?? false,
      nullable: isNullable(child),
      byDefault: child.default,
      defaultText: child.defaultText ?? null,
      unit: child.unit ?? null,
      description: child.description ?? "",
      secret: child.secret === true,
      environment: environmentOf(key, kind, child),
    };
    if (kind === "section") return [own, ...keysBelow(child, `${key}.`)];
    if (kind === "sections") return [own, ...keysBelow(child.items ?? {}, `${key}[].`)];
    return [own];
  });
};

/** Every key, sections before their keys, in the order of the schema. */
export const SETTINGS_KEYS: readonly SettingsKey[] = keysBelow(settingsJsonSchema(), "");

const KEYS_BY_NAME = new Map(SETTINGS_KEYS.map((key) => [key.key, key]));

/** `mailboxes[0].imap.port` */
export const dotted = (path: Path): string =>
  path.reduce<string>((text, part) => {
    if (typeof part === "number") return `${text}[${part}]`;
    return text === "" ? part : `${text}.${part}`;
  }, "");

/** The path of a dotted key; an entry of a list may be written `rules[3]` or `rules.3`. */
export const pathOf = (key: string): Path =>
  key
    .split(/\]?[.[]|\]$/)
    .filter((part) => part !== "")
    .map((part) => (/^\d+$/.test(part) ? Number(part) : part));

/** The key at `path`, whatever the place in a list; undefined when there is none. */
export const keyAt = (path: Path): SettingsKey | undefined =>
  KEYS_BY_NAME.get(dotted(path).replaceAll(/\[\d+\]/g, "[]"));

/** The names of the keys directly below the section at `path` (empty: the top of the file). */
export const keyNamesBelow = (path: Path): string[] => {
  const above = dotted(path).replaceAll(/\[\d+\]/g, "[]");
  const prefix = above === "" ? "" : `${above}.`;
  return SETTINGS_KEYS.filter(({ key }) => key.startsWith(prefix))
    .map(({ key }) => key.slice(prefix.length))
    .filter((name) => /^\w+$/.test(name));
};

/** Is `value` a tree with named children? */
export const isTree = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** What stands at `path`; undefined when nothing does. */
export const valueAt = (tree: unknown, path: Path): unknown =>
  path.reduce<unknown>((node, part) => {
    if (Array.isArray(node)) return typeof part === "number" ? node[part] : undefined;
    return isTree(node) && Object.hasOwn(node, part) ? node[String(part)] : undefined;
  }, tree);

/**
 * A copy of `tree` with `value` at `path` (undefined removes it). Sections that are missing or null are
 * made; a place below something that is no section is left as it is, for the schema to refuse.
 */
export const withValue = (tree: unknown, path: Path, value: unknown): unknown => {
  const [part, ...rest] = path;
  if (part === undefined) return value;
  const below = (child: unknown): unknown => withValue(child, rest, value);
  if (typeof part === "number") {
    if (!Array.isArray(tree)) return tree;
    return part < tree.length
      ? tree.map((child: unknown, at) => (at === part ? below(child) : child))
      : [...tree, below(undefined)];
  }
  if (tree !== undefined && tree !== null && !isTree(tree)) return tree;
  const entries = Object.entries(tree ?? {}).filter(([name]) => name !== part);
  const child = below(valueAt(tree, [part]));
  return Object.fromEntries(child === undefined ? entries : [...entries, [part, child]]);
};
