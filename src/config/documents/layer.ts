// Documents of the store between file and environment: which keys a document may hold, how it is laid over
// the tree of the file, and what a configuration would be as documents. A value that a variable settles is
// left out on both ways. Used by load.ts.
import type { ConfigProblem } from "../../core/errors.ts";
import { DOCUMENTS, type DocumentName } from "../../store/store.ts";
import { dotted, isTree, keyNamesBelow, type Path, valueAt, withValue } from "../keys.ts";

/** Documents as they were stored, or as an operator wrote them; nobody has validated them. */
export type Documents = Readonly<Partial<Record<DocumentName, unknown>>>;

/** Keys that a variable settles on this node, each with the variable's name. */
export type PinnedKeys = ReadonlyMap<string, string>;

/** The section that each document stands for. */
const SECTIONS = {
  polling_config: "polling",
  routing_rules: "rules",
  webhook_config: "webhook",
} as const satisfies Record<DocumentName, string>;

/** Secrets and `allow_private_addresses` are no business of whoever writes to the store. */
const WEBHOOK_KEYS = ["url", "timeout_seconds", "concurrency", "max_attempts"];

const namesIn = (section: "polling" | "webhook"): readonly string[] =>
  section === "webhook" ? WEBHOOK_KEYS : keyNamesBelow([section]);

/** The key of a document that `path` is or lies in, `["polling", "active_days"]`; null: of none. */
const documentKeyOf = ([section, name]: Path): Path | null => {
  if (section === "rules") return ["rules"];
  if (section !== "polling" && section !== "webhook") return null;
  return typeof name === "string" && namesIn(section).includes(name) ? [section, name] : null;
};

/** The keys of documents that these places settle; of two with one key the later names the variable. */
export const pinnedKeys = (
  places: readonly { path: Path; variable: string }[],
): Map<string, string> =>
  new Map(
    places.flatMap(({ path, variable }) => {
      const key = documentKeyOf(path);
      return key === null ? [] : [[dotted(key), variable] as const];
    }),
  );

type Complain = (path: Path, message: string) => void;

const mapTexts = (
  node: unknown,
  path: Path,
  change: (text: string, path: Path) => string,
): unknown => {
  if (typeof node === "string") return change(node, path);
  if (Array.isArray(node)) return node.map((item, at) => mapTexts(item, [...path, at], change));
  if (!isTree(node)) return node;
  const entries = Object.entries(node);
  return Object.fromEntries(
    entries.map(([key, child]) => [key, mapTexts(child, [...path, key], change)]),
  );
};

/** As in the file `$${` is a literal `${`; the other is refused, because no two nodes would agree on it. */
const readTexts = (value: unknown, path: Path, complain: Complain): unknown =>
  mapTexts(value, path, (text, at) =>
    text.replaceAll(/\$\$\{|\$\{/g, (found) => {
      if (found === "${")
        complain(
          at,
          "write the value itself; ${NAME} is for the file ($${ for the two characters)",
        );
      return "${";
    }),
  );

/** Texts with `$${` for every `${`, as a document has them. */
export const escapeTexts = (value: unknown): unknown =>
  mapTexts(value, [], (text) => text.replaceAll("${", () => "$${"));

/** The values of one document by their paths in the configuration. */
const valuesOf = (name: DocumentName, document: unknown, complain: Complain): [Path, unknown][] => {
  const section = SECTIONS[name];
  if (section === "rules") {
    if (Array.isArray(document)) return [[["rules"], document]];
    if (!isTree(document) || !Object.hasOwn(document, "rules")) {
      complain(["rules"], 'write {"rules": [...]}, or the list alone');
      return [];
    }
    for (const key of Object.keys(document))
      if (key !== "rules") complain(["rules"], 'write {"rules": [...]} without other keys');
    return [[["rules"], document["rules"]]];
  }
  const known = namesIn(section);
  if (!isTree(document)) {
    complain([section], `write an object with some of ${known.join(", ")}`);
    return [];
  }
  const values: [Path, unknown][] = [];
  for (const [key, value] of Object.entries(document)) {
    const path = [section, key];
    if (known.includes(key)) values.push([path, value]);
    else if (!keyNamesBelow([section]).includes(key))
      complain(path, `unknown key; remove it or write one of ${known.join(", ")}`);
    else complain(path, "is never in a document; write it in the file of each node");
  }
  return values;
};

const PRIVATE = ["webhook", "allow_private_addresses"];

const hostAt = (tree: unknown): string | null => {
  const url = valueAt(tree, ["webhook", "url"]);
  return typeof url === "string" ? (URL.parse(url)?.hostname ?? null) : null;
};

/** A tree with documents laid over it. */
export interface Layered {
  tree: unknown;
  /** Did the value at `path` come from a document? */
  isFromDocument(path: Path): boolean;
  /** The document that lies over the section of `path`; null: none. */
  documentOver(path: Path): DocumentName | null;
  /** Without lines; each message begins with the name of its document. */
  problems: readonly ConfigProblem[];
}

/**
 * Lays documents over `tree`, key by key; what a variable settles stays as it is. Private addresses are
 * open for the host that the file names, and for no other that a document brings in.
 */
export const layDocuments = (tree: unknown, documents: Documents, pinned: PinnedKeys): Layered => {
  const problems: ConfigProblem[] = [];
  const from = new Set<string>();
  let laid = tree;
  for (const name of DOCUMENTS) {
    if (documents[name] === undefined) continue;
    const complain: Complain = (path, message) =>
      void problems.push({ key: dotted(path), line: null, message: `${name}: ${message}` });
    for (const [path, value] of valuesOf(name, documents[name], complain)) {
      if (pinned.has(dotted(path))) continue;
      from.add(dotted(path));
      laid = withValue(laid, path, readTexts(value, path, complain));
    }
  }
  if (hostAt(laid) !== hostAt(tree)) laid = withValue(laid, PRIVATE, false);
  return {
    tree: laid,
    isFromDocument: (path) => from.has(dotted(documentKeyOf(path) ?? [])),
    documentOver: ([section]) =>
      DOCUMENTS.find((name) => SECTIONS[name] === section && documents[name] !== undefined) ?? null,
    problems,
  };
};

/** A validated configuration as whole documents; a document that a variable settles as a whole is null. */
export const documentsOf = (
  parsed: { polling: object; webhook: object; rules: readonly unknown[] },
  pinned: PinnedKeys,
): Readonly<Record<DocumentName, unknown>> => {
  const partOf = (section: "polling" | "webhook"): unknown => {
    const names = namesIn(section).filter((name) => !pinned.has(`${section}.${name}`));
    const values: Readonly<Record<string, unknown>> = { ...parsed[section] };
    return escapeTexts(Object.fromEntries(names.map((name) => [name, values[name]])));
  };
  return {
    polling_config: partOf("polling"),
    routing_rules: pinned.has("rules") ? null : escapeTexts({ rules: parsed.rules }),
    webhook_config: partOf("webhook"),
  };
};

/** The keys of a document that are written there and that a variable settles on this node. */
export const pinnedIn = (
  name: DocumentName,
  document: unknown,
  pinned: PinnedKeys,
): { key: string; variable: string; value: unknown }[] =>
  valuesOf(name, document, () => undefined).flatMap(([path, value]) => {
    const key = dotted(path);
    const variable = pinned.get(key);
    return variable === undefined ? [] : [{ key, variable, value }];
  });
