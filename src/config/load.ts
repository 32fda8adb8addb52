// From file and environment to settings: reads, lays the environment over the file, validates, and
// either returns the whole or throws with everything that is wrong. Called at boot, by `check`, and by
// the polling config service at each change.
import { createHash } from "node:crypto";
import { dirname, isAbsolute, join } from "node:path";
import type { z } from "zod";
import { ConfigError, type ConfigProblem, errorCode } from "../core/errors.ts";
import { capText } from "../core/limits.ts";
import type { HotSettings, Settings } from "../core/settings.ts";
import type { ReadConfigFile } from "./config-file.ts";
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
  /** Dotted keys that the environment set; those of mailbox `default` as `mailboxes.default.…`. */
  overridden: readonly string[];
  source: "file" | "environment" | "file+environment";
  /** A short hash of the hot part: the same as long as polling, webhook and rules are. */
  version: string;
  /**
   * Line in the file of a dotted key, or of what holds it; null when it comes from elsewhere. An entry of
   * a list is `rules.3` or `rules[3]`.
   */
  lineOf(key: string): number | null;
}

/** Where to load from; without a path the environment alone. */
export interface LoadSource {
  path: string | null;
  env: Environment;
  readConfigFile: ReadConfigFile;
}

const NO_FILE: FileTree = { tree: {}, lineOf: () => null, problems: [] };

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

/**
 * Loads and validates. Throws {@link ConfigError} with every problem found, in the order of the file,
 * each with its dotted key and line; no message holds a value. The values inside rules are not judged
 * here. Paths in `*_file` are relative to the configuration file, or, from the environment, to the
 * working directory.
 */
export const loadSettings = (source: LoadSource): LoadedSettings => {
  const file = readFile(source);
  const laid = applyEnvironment(file.tree, source.env);
  const problems: ConfigProblem[] = [...file.problems, ...laid.problems];
  const complain = (path: Path, message: string): void => {
    const key = dotted(path);
    // What went wrong before the schema is the cause of what the schema says of the same key.
    if (problems.some((known) => known.key === key)) return;
    const line = variableAt(laid.variables, path) === null ? file.lineOf(path) : null;
    problems.push({ key, line, message });
  };
  const folder = source.path === null ? "." : dirname(source.path);
  const tree = readSecretFiles(laid.tree, {
    readConfigFile: source.readConfigFile,
    locate: (path, name) =>
      isAbsolute(name) || laid.variables.has(dotted(path)) ? name : join(folder, name),
    complain,
  });
  const parsed = settingsSchema.safeParse(tree);
  // A file that is no YAML at all would only be said to lack every key.
  const unreadable = file.problems.length > 0 && Object.keys(file.tree as object).length === 0;
  for (const issue of unreadable ? [] : (parsed.error?.issues ?? []))
    for (const { path, message } of problemsOf(issue, tree, laid)) complain(path, message);
  if (problems.length > 0 || !parsed.success)
    throw new ConfigError(problems.toSorted(byLine).map(cappedKey));
  const settings = settingsFromDocument(parsed.data, laid.spoolKeys);
  const fromFile = source.path !== null;
  return {
    settings,
    overridden: laid.overridden,
    source: !fromFile ? "environment" : laid.overridden.length > 0 ? "file+environment" : "file",
    version: versionOf(settings),
    lineOf: (key) => (laid.variables.has(key) ? null : file.lineOf(pathOf(key))),
  };
};
