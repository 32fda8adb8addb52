// From file, documents and environment to settings: reads, lays one over the other, validates, and either
// returns the whole or throws with everything that is wrong. Called at boot, by commands, and by the
// polling config service at each change.
import { createHash } from "node:crypto";
import { dirname, isAbsolute, join } from "node:path";
import type { z } from "zod";
import { ConfigError, type ConfigProblem, errorCode } from "../core/errors.ts";
import { capText } from "../core/limits.ts";
import type { HotSettings, Settings } from "../core/settings.ts";
import type { DocumentName } from "../store/store.ts";
import type { ReadConfigFile } from "./config-file.ts";
import {
  type Documents,
  documentsOf,
  layDocuments,
  type Layered,
  type PinnedKeys,
  pinnedKeys,
} from "./documents/layer.ts";
import {
  applyEnvironment,
  type Environment,
  variable,
  type WithEnvironment,
} from "./environment.ts";
import { type FileTree, readDocument, readSecretFiles } from "./file.ts";
import { dotted, keyAt, keyNamesBelow, type Path, pathOf, valueAt } from "./keys.ts";
import { settingsFromDocument, settingsSchema } from "./schema.ts";

/** Settings that can be used, and where they came from. */
export interface LoadedSettings {
  /** With every rule of good shape; which of them can be used, rules/ tells. */
  settings: Settings;
  /**
   * Dotted keys that the environment set; those of mailbox `default` as `mailboxes.default.…`. With
   * documents also the {@link pinned} ones.
   */
  overridden: readonly string[];
  /** `documents`: the file too, for what no document holds. */
  source: "file" | "environment" | "file+environment" | "documents" | "documents+environment";
  /** A short hash of the hot part: the same as long as polling, webhook and rules are. */
  version: string;
  /**
   * Line in the file of a dotted key, or of what holds it; null when it comes from elsewhere. An entry of
   * a list is `rules.3` or `rules[3]`.
   */
  lineOf(key: string): number | null;
  /** Keys that no document changes here, because a variable or a `${NAME}` of the file settles them. */
  pinned: PinnedKeys;
  /** The hot part as whole documents, without the pinned keys; null: nothing of it may be one. */
  documents: Readonly<Record<DocumentName, unknown>>;
  /**
   * What was read, with these documents between file and environment in place of any others. Throws
   * {@link ConfigError}: a problem of a document has no line and names the document.
   */
  withDocuments(documents: Documents): LoadedSettings;
}

/** Where to load from; without a path the environment alone. */
export interface LoadSource {
  path: string | null;
  env: Environment;
  readConfigFile: ReadConfigFile;
}

const NO_FILE: FileTree = { tree: {}, lineOf: () => null, substituted: [], problems: [] };

/**
 * The file to load: the one named, else `SIGNALPOST_CONFIG`, else `signalpost.yaml` in the working
 * directory when it exists, else none (the environment alone).
 */
export const configPath = ({ path, env, readConfigFile }: LoadSource): string | null => {
  const named = path ?? variable(env, "SIGNALPOST_CONFIG");
  if (named !== undefined) return named;
  try {
    return readConfigFile("signalpost.yaml") === null ? null : "signalpost.yaml";
  } catch {
    return "signalpost.yaml";
  }
};

const readFile = ({ path, env, readConfigFile }: LoadSource): FileTree => {
  if (path === null) return NO_FILE;
  const wholeFile = (message: string): ConfigError =>
    new ConfigError([{ key: "", line: null, message }]);
  let state: ReturnType<ReadConfigFile>;
  try {
    state = readConfigFile(path);
  } catch (error) {
    throw wholeFile(`the configuration file cannot be read (${errorCode(error)})`);
  }
  if (state === null)
    throw wholeFile("the configuration file does not exist; name another with --config");
  return readDocument(state.text, env);
};

/** The variable that set the value at `path` or the list it stands in; null when none did. */
const variableAt = (variables: ReadonlyMap<string, string>, path: Path): string | null =>
  variables.get(dotted(path)) ??
  (path.length === 0 ? null : variableAt(variables, path.slice(0, -1)));

/** What one issue of the schema means to the person who writes the file. */
const problemsOf = (
  issue: z.core.$ZodIssue,
  tree: unknown,
  { variables }: WithEnvironment,
): { path: Path; message: string }[] => {
  const path = issue.path.map((part) => (typeof part === "number" ? part : String(part)));
  if (issue.code === "unrecognized_keys") {
    const known = keyNamesBelow(path);
    return issue.keys.map((key) => ({
      path: [...path, key],
      message: `unknown key; remove it or write one of ${known.join(", ")}`,
    }));
  }
  const name = variableAt(variables, path);
  if (name !== null) return [{ path, message: `${name}: ${issue.message}` }];
  if (valueAt(tree, path) !== undefined) return [{ path, message: issue.message }];
  const inOtherMailbox =
    path[0] === "mailboxes" && valueAt(tree, path.slice(0, 2).concat("id")) !== "default";
  const names = inOtherMailbox ? [] : (keyAt(path)?.environment ?? []);
  const or = names.length === 0 ? "" : `, or set ${names.at(-1)}`;
  return [{ path, message: `is missing; ${issue.message}${or}` }];
};

/** A key is as long as who wrote it likes; so much of it finds the place. */
const MAX_KEY_CHARS = 200;

const cappedKey = (problem: ConfigProblem): ConfigProblem =>
  problem.key.length <= MAX_KEY_CHARS
    ? problem
    : { ...problem, key: `${capText(problem.key, MAX_KEY_CHARS - 1)}…` };

const byLine = (a: ConfigProblem, b: ConfigProblem): number =>
  (a.line ?? Number.MAX_SAFE_INTEGER) - (b.line ?? Number.MAX_SAFE_INTEGER);

const versionOf = ({ polling, webhook, rules }: HotSettings): string => {
  const hot = { polling, webhook: { ...webhook, namedSecrets: [...webhook.namedSecrets] }, rules };
  return createHash("sha256").update(JSON.stringify(hot), "utf8").digest("hex").slice(0, 12);
};

/** What file, environment and secret files say, before it is validated. */
interface Sources {
  file: FileTree;
  laid: WithEnvironment;
  tree: unknown;
  isFile: boolean;
  problems: readonly ConfigProblem[];
}

/** Adds a problem at `path`, unless the same key has one: what was found first is the cause of the rest. */
const complainTo =
  (problems: ConfigProblem[], lineAt: (path: Path) => number | null) =>
  (path: Path, message: string): void => {
    const key = dotted(path);
    if (problems.some((known) => known.key === key)) return;
    problems.push({ key, line: lineAt(path), message });
  };

const lineIn =
  ({ file, laid }: Pick<Sources, "file" | "laid">) =>
  (path: Path): number | null =>
    variableAt(laid.variables, path) === null ? file.lineOf(path) : null;

const readSources = (source: LoadSource): Sources => {
  const file = readFile(source);
  const laid = applyEnvironment(file.tree, source.env);
  const problems: ConfigProblem[] = [...file.problems, ...laid.problems];
  const folder = source.path === null ? "." : dirname(source.path);
  const tree = readSecretFiles(laid.tree, {
    readConfigFile: source.readConfigFile,
    locate: (path, name) =>
      isAbsolute(name) || laid.variables.has(dotted(path)) ? name : join(folder, name),
    complain: complainTo(problems, lineIn({ file, laid })),
  });
  return { file, laid, tree, isFile: source.path !== null, problems };
};

/** The layered tree, validated; throws {@link ConfigError}. */
const parse = ({ file, laid, problems: found }: Sources, layered: Layered) => {
  const problems = [...found, ...layered.problems];
  const complain = complainTo(problems, (path) =>
    layered.documentOver(path) === null ? lineIn({ file, laid })(path) : null,
  );
  const parsed = settingsSchema.safeParse(layered.tree);
  // A file that is no YAML at all would only be said to lack every key.
  const unreadable = file.problems.length > 0 && Object.keys(file.tree as object).length === 0;
  for (const issue of unreadable ? [] : (parsed.error?.issues ?? [])) {
    for (const { path, message } of problemsOf(issue, layered.tree, laid)) {
      const document = layered.documentOver(path);
      complain(path, document === null ? message : `${document}: ${message}`);
    }
  }
  if (problems.length > 0 || !parsed.success)
    throw new ConfigError(problems.toSorted(byLine).map(cappedKey));
  return parsed.data;
};

const sourceOf = (isFile: boolean, hasDocuments: boolean, isOverridden: boolean) => {
  if (hasDocuments) return isOverridden ? "documents+environment" : "documents";
  if (!isFile) return "environment";
  return isOverridden ? "file+environment" : "file";
};

const settingsOf = (sources: Sources, documents: Documents): LoadedSettings => {
  const { file, laid, isFile } = sources;
  const settled = [...laid.variables].map(([key, name]) => ({ path: pathOf(key), variable: name }));
  const pinned = pinnedKeys([...file.substituted, ...settled]);
  const layered = layDocuments(sources.tree, documents, pinned);
  const parsed = parse(sources, layered);
  const settings = settingsFromDocument(parsed, laid.spoolKeys);
  const hasDocuments = Object.values(documents).some((document) => document !== undefined);
  const overridden = hasDocuments
    ? [...new Set([...laid.overridden, ...pinned.keys()])]
    : laid.overridden;
  return {
    settings,
    overridden,
    source: sourceOf(isFile, hasDocuments, overridden.length > 0),
    version: versionOf(settings),
    lineOf: (key) => {
      const path = pathOf(key);
      const isElsewhere = layered.isFromDocument(path) || laid.variables.has(key);
      return isElsewhere ? null : file.lineOf(path);
    },
    pinned,
    documents: documentsOf(parsed, pinned),
    withDocuments: (others) => settingsOf(sources, others),
  };
};

/**
 * Loads and validates. Throws {@link ConfigError} with every problem found, in the order of the file,
 * each with its dotted key and line; no message holds a value. The values inside rules are not judged
 * here. Paths in `*_file` are relative to the configuration file, or, from the environment, to the
 * working directory.
 */
export const loadSettings = (source: LoadSource): LoadedSettings =>
  settingsOf(readSources(source), {});
