// `signalpost config set`: replaces one document of the shared store, as a whole. It is judged as the
// daemon would judge it, and refused where this machine would not follow it.
import { isDeepStrictEqual } from "node:util";
import { resolve } from "node:path";
import { readConfigFile } from "../../../config/config-file.adapter.ts";
import {
  contentsOf,
  judgeDocuments,
  type StoredDocuments,
} from "../../../config/documents/judge-documents.ts";
import { pinnedIn } from "../../../config/documents/layer.ts";
import type { LoadedSettings } from "../../../config/load.ts";
import { AppError, ConfigError, type ConfigProblem, errorCode } from "../../../core/errors.ts";
import { compileRules } from "../../../rules/compile.ts";
import type { DocumentName, Store } from "../../../store/store.ts";
import { CONFIG_OPTION, JSON_OPTION, parseOptions, usageError } from "../../options.ts";
import { type Command, type Terminal, EXIT } from "../../terminal.ts";
import { loadFrom, problemText, withConfigPath } from "../../with-config.ts";
import { withStore } from "../../with-store.ts";
import { documentNamed } from "./get-document.ts";

/** What is to be written. */
interface Change {
  name: DocumentName;
  document: unknown;
  /** The version that must be stored; null: any. */
  ifVersion: number | null;
}

const versionOf = (text: string | undefined): number | null => {
  if (text === undefined) return null;
  if (!/^\d{1,15}$/.test(text)) throw usageError("--if-version must be a whole number from 0");
  return Number(text);
};

const readText = async (file: string, terminal: Terminal): Promise<string> => {
  if (file === "-") return await terminal.readInput();
  const unreadable = (code: string): AppError =>
    new AppError("cli/unreadable", `the file of --file cannot be read (${code})`, {
      hint: "Name a file that this user may read, of at most 1 MiB, or - for standard input.",
    });
  let state: ReturnType<typeof readConfigFile>;
  try {
    state = readConfigFile(resolve(terminal.cwd, file));
  } catch (error) {
    throw unreadable(errorCode(error));
  }
  if (state === null) throw unreadable("ENOENT");
  return state.text;
};

const parseJson = (text: string): unknown => {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new ConfigError([
      { key: "", line: null, message: "write one document as JSON, as `config get` prints it" },
    ]);
  }
};

/** Runs `work`; what is wrong with the document becomes a line for each problem and exit code 78. */
const withProblems = async (
  file: string,
  terminal: Terminal,
  work: () => number | Promise<number>,
): Promise<number> => {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    for (const problem of error.problems)
      terminal.err(problemText(file === "-" ? "standard input" : file, problem));
    return EXIT.config;
  }
};

/** Throws `ConfigError` for single rules that the daemon would skip. */
const judgeRules = (
  { name, document }: Change,
  loaded: LoadedSettings,
  stored: StoredDocuments,
): void => {
  if (name !== "routing_rules") return;
  const { good } = judgeDocuments(loaded, stored);
  const whole = loaded.withDocuments({ ...contentsOf(good), [name]: document });
  const { rules, webhook } = whole.settings;
  const problems: ConfigProblem[] = compileRules(rules, webhook).refused.flatMap(
    ({ id, problems: wrong }) =>
      wrong.map(({ key, message }) => ({ key: `rules (${id}).${key}`, line: null, message })),
  );
  if (problems.length > 0) throw new ConfigError(problems);
};

/** The first key of the change that a variable settles here otherwise than the document would. */
const overriddenKey = (
  { name, document }: Change,
  { pinned }: LoadedSettings,
  stored: StoredDocuments,
): { key: string; variable: string } | null => {
  const known = stored[name] === null ? [] : pinnedIn(name, stored[name].document, pinned);
  const isStored = ({ key, value }: { key: string; value: unknown }): boolean =>
    known.some((one) => one.key === key && isDeepStrictEqual(one.value, value));
  return pinnedIn(name, document, pinned).find((one) => !isStored(one)) ?? null;
};

const write = async (
  change: Change,
  loaded: LoadedSettings,
  { store, terminal, json }: { store: Store; terminal: Terminal; json: boolean },
): Promise<number> => {
  const { name, document, ifVersion } = change;
  const stored = await store.readDocuments();
  const overridden = overriddenKey(change, loaded, stored);
  if (overridden !== null) {
    terminal.err(
      `signalpost: ${overridden.key} comes from the variable ${overridden.variable} on this machine, ` +
        "which wins over the document. Unset it (or write the value itself into the file), or leave " +
        "the key out of the document.",
    );
    return EXIT.failed;
  }
  judgeRules(change, loaded, stored);
  const options = { ifVersion, nowMs: terminal.wallMs() };
  const whole =
    name === "routing_rules" && Array.isArray(document) ? { rules: document } : document;
  const { kind, version } = await store.writeDocument(name, whole, options);
  if (kind === "conflict") {
    terminal.err(
      `signalpost: conflict: version ${version} is stored, not ${ifVersion}. Look at it with ` +
        `'signalpost config get ${name}', and try again with --if-version ${version}.`,
    );
    return EXIT.failed;
  }
  terminal.out(json ? JSON.stringify({ version }) : `${name} is version ${version} now`);
  return EXIT.ok;
};

/** Writes the document of `--file`; 78 for one that cannot be used, 1 for one that is not written. */
export const setDocument: Command = async (args, terminal) => {
  const { values, positionals } = parseOptions(args, {
    ...CONFIG_OPTION,
    ...JSON_OPTION,
    file: { type: "string" },
    "if-version": { type: "string" },
  });
  const { config, json, file } = values;
  const name = documentNamed(positionals);
  if (file === undefined) throw usageError("Say --file FILE, or --file - for standard input");
  const ifVersion = versionOf(values["if-version"]);
  return await withConfigPath(config, terminal, async (path) => {
    const own = loadFrom(path, terminal);
    if (own.settings.redisUrl === null) {
      terminal.err(
        `signalpost: there is no shared store: edit ${path ?? "the environment"}; ` +
          (path === null ? "a restart takes it." : "the daemon takes it at the next cycle."),
      );
      return EXIT.failed;
    }
    const text = await readText(file, terminal);
    return await withProblems(file, terminal, async () => {
      const change: Change = { name, document: parseJson(text), ifVersion };
      own.withDocuments({ [name]: change.document });
      return await withStore(config, terminal, async (store, loaded) =>
        withProblems(file, terminal, () =>
          write(change, loaded, { store, terminal, json: json === true }),
        ),
      );
    });
  });
};
