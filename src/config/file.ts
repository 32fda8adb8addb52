// The configuration file as a tree of plain values: YAML with line numbers, `${ENV}` inside texts, and
// secrets in files of their own. It finds every problem it can and never quotes a value; the schema
// judges the tree afterwards.
import {
  type Document,
  isCollection,
  isMap,
  isNode,
  isScalar,
  LineCounter,
  parseDocument,
  visit,
} from "yaml";
import type { ConfigProblem } from "../core/errors.ts";
import { errorCode } from "../core/errors.ts";
import type { ReadConfigFile } from "./config-file.ts";
import { coerceText, type Environment, variable } from "./environment.ts";
import { dotted, isTree, keyAt, type Path, SETTINGS_KEYS, valueAt, withValue } from "./keys.ts";

/** A file that was read. */
export interface FileTree {
  tree: unknown;
  /** The line of a path, or of the nearest thing above it that stands in the file. */
  lineOf(path: Path): number | null;
  /** Texts that a variable stood in, each with the first one's name. */
  substituted: readonly { path: Path; variable: string }[];
  problems: readonly ConfigProblem[];
}

const YAML_HINTS: Readonly<Record<string, string>> = {
  DUPLICATE_KEY: "the key stands twice; keep one of them",
  TAB_AS_INDENT: "indent with spaces, not with tabs",
  MULTIPLE_DOCS: "write one document, without --- in between",
  UNEXPECTED_TOKEN:
    "correct the YAML here (unexpected token); within { } and [ ] a ${NAME} needs quotes",
  TAG_RESOLVE_FAILED: "write plain values, without tags",
};

/** Where every key and list entry of the document stands, by dotted path and by offset. */
const placesOf = (root: unknown, counter: LineCounter) => {
  const lines = new Map<string, number>();
  const paths = new Map<number, Path>();
  const note = (path: Path, node: unknown): void => {
    const offset = isNode(node) ? node.range?.[0] : undefined;
    if (offset === undefined) return;
    paths.set(offset, path);
    const key = dotted(path);
    if (!lines.has(key)) lines.set(key, counter.linePos(offset).line);
  };
  const walk = (node: unknown, path: Path): void => {
    if (!isCollection(node)) return;
    for (const [at, item] of node.items.entries()) {
      if (isMap(node)) {
        const { key, value } = item as { key: unknown; value: unknown };
        const below = [...path, isScalar(key) ? String(key.value) : "?"];
        note(below, key);
        walk(value, below);
      } else {
        note([...path, at], item);
        walk(item, [...path, at]);
      }
    }
  };
  walk(root, []);
  return { lines, paths };
};

const ENVIRONMENT = /\$\$\{|\$\{([^}]*)(\})?/g;

/** What is to be told of the texts of a file. */
interface Told {
  complain(path: Path, message: string): void;
  /** A variable stands in this text. */
  substituted(path: Path, name: string): void;
}

/** `text` with its `${ENV}` replaced; `$${` is a literal `${`. */
const substitute = (
  text: string,
  env: Environment,
  { complain, substituted }: { complain(message: string): void; substituted(name: string): void },
): string =>
  text.replaceAll(ENVIRONMENT, (found, name: string | undefined, end: string | undefined) => {
    if (name === undefined) return "${";
    if (end === undefined || !/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) {
      complain("write ${NAME} with the name of a variable, or $${ for the two characters");
      return found;
    }
    const value = variable(env, name);
    substituted(name);
    if (value === undefined) complain(`set the variable ${name}, which is missing or empty`);
    return value ?? found;
  });

/** The tree with `${ENV}` replaced in its texts and the results turned into the types of their keys. */
const substituteTree = (root: unknown, env: Environment, told: Told): unknown => {
  const walk = (node: unknown, path: Path): unknown => {
    if (Array.isArray(node)) return node.map((item, at) => walk(item, [...path, at]));
    if (isTree(node)) {
      const entries = Object.entries(node);
      return Object.fromEntries(entries.map(([key, child]) => [key, walk(child, [...path, key])]));
    }
    if (typeof node !== "string" || !node.includes("${")) return node;
    let complained = false;
    const text = substitute(node, env, {
      complain: (message) => {
        complained = true;
        told.complain(path, message);
      },
      substituted: (name) => told.substituted(path, name),
    });
    const key = keyAt(path);
    if (complained || key === undefined) return text;
    const coerced = coerceText(key, text);
    if (coerced.kind === "value") return coerced.value;
    told.complain(path, coerced.message);
    return text;
  };
  return walk(root, []);
};

/** The offset of the first alias that names no anchor before it; null when aliases are too many. */
const danglingAlias = (doc: Document): number | null => {
  let offset: number | null = null;
  visit(doc, {
    Alias: (_, alias) => {
      if (alias.resolve(doc) !== undefined) return undefined;
      offset = alias.range?.[0] ?? 0;
      return visit.BREAK;
    },
  });
  return offset;
};

/** The same thing said once, where the parser stumbles over one place several times. */
const once = (problems: readonly ConfigProblem[]): ConfigProblem[] => [
  ...new Map(problems.map((problem) => [JSON.stringify(problem), problem])).values(),
];

/** Parses the text of a configuration file; after an error of syntax the tree is empty. */
export const readDocument = (text: string, env: Environment): FileTree => {
  const counter = new LineCounter();
  const doc = parseDocument(text, {
    lineCounter: counter,
    prettyErrors: false,
    stringKeys: true,
    resolveKnownTags: false,
    logLevel: "error",
  });
  const { lines, paths } = placesOf(doc.contents, counter);
  const lineOf = (path: Path): number | null => {
    const line = lines.get(dotted(path));
    return line === undefined && path.length > 0 ? lineOf(path.slice(0, -1)) : (line ?? null);
  };
  const lineAt = (offset: number): number => counter.linePos(offset).line || 1;
  const problems = once(
    [...doc.errors, ...doc.warnings].map(({ code, pos }) => ({
      key: dotted(paths.get(pos[0]) ?? []),
      line: lineAt(pos[0]),
      message:
        YAML_HINTS[code] ?? `correct the YAML here (${code.toLowerCase().replaceAll("_", " ")})`,
    })),
  );
  if (problems.length > 0) return { tree: {}, lineOf, substituted: [], problems };
  const fail = (message: string, line = 1): FileTree => ({
    tree: {},
    lineOf,
    substituted: [],
    problems: [{ key: "", line, message }],
  });
  let raw: unknown;
  try {
    raw = doc.toJS({ maxAliasCount: 100 });
  } catch {
    const offset = danglingAlias(doc);
    return offset === null
      ? fail("use fewer aliases (*name)")
      : fail("write an anchor (&name) before the alias (*name)", lineAt(offset));
  }
  if (raw === null || raw === undefined) return fail("the file is empty; write the configuration");
  if (!isTree(raw))
    return fail("write keys and values, such as `mailboxes:` with entries below it");
  const substituted: { path: Path; variable: string }[] = [];
  const tree = substituteTree(raw, env, {
    complain: (path, message) => {
      problems.push({ key: dotted(path), line: lineOf(path), message });
    },
    substituted: (path, name) => void substituted.push({ path, variable: name }),
  });
  return { tree, lineOf, substituted, problems };
};

/** The paths of secrets that may stand in a file of their own, with `[]` made into places. */
const secretPaths = (tree: unknown): Path[] => {
  const names = new Set(SETTINGS_KEYS.map(({ key }) => key));
  const mailboxes = valueAt(tree, ["mailboxes"]);
  const count = Array.isArray(mailboxes) ? mailboxes.length : 0;
  return SETTINGS_KEYS.filter(({ key, secret }) => secret && names.has(`${key}_file`)).flatMap(
    ({ key }): Path[] => {
      const [first, ...rest] = key.split(".");
      if (first !== "mailboxes[]") return [[first ?? "", ...rest]];
      return Array.from({ length: count }, (_, at) => ["mailboxes", at, ...rest]);
    },
  );
};

/**
 * The tree with every secret read from the file that `<key>_file` names. A trailing newline is dropped.
 * `locate` gives the path to read for a key; what cannot be read is told to `complain`.
 */
export const readSecretFiles = (
  tree: unknown,
  io: {
    readConfigFile: ReadConfigFile;
    locate(path: Path, file: string): string;
    complain(path: Path, message: string): void;
  },
): unknown => {
  const contentOf = (path: Path, file: string): string | null => {
    try {
      const state = io.readConfigFile(io.locate(path, file));
      if (state === null) io.complain(path, "name a file that exists");
      return state?.text ?? null;
    } catch (error) {
      io.complain(path, `make the file readable (${errorCode(error)})`);
      return null;
    }
  };
  let result = tree;
  for (const path of secretPaths(tree)) {
    const filePath = [...path.slice(0, -1), `${path.at(-1)}_file`];
    const file = valueAt(tree, filePath);
    const key = keyAt(path);
    if (typeof file !== "string" || file === "" || key === undefined) continue;
    if (valueAt(tree, path) !== undefined && valueAt(tree, path) !== null) {
      io.complain(filePath, `write ${dotted(path)} or ${dotted(filePath)}, not both`);
      continue;
    }
    const content = contentOf(filePath, file)?.replace(/\r?\n$/, "");
    if (content === undefined) continue;
    const coerced = coerceText(key, content);
    if (content === "") io.complain(filePath, "name a file that is not empty");
    else if (coerced.kind === "wrong") io.complain(filePath, coerced.message);
    else result = withValue(withValue(result, path, coerced.value), filePath, undefined);
  }
  return result;
};
