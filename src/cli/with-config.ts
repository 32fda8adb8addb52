// Finds and loads the configuration for a command, and shows what is wrong with it in a form that
// editors can jump to. Every command but `schema`, `version` and `help` starts here.
import { resolve } from "node:path";
import { readConfigFile } from "../config/config-file.adapter.ts";
import { type LoadedSettings, configPath, loadSettings } from "../config/load.ts";
import { ConfigError, type ConfigProblem } from "../core/errors.ts";
import { EXIT, type Terminal } from "./terminal.ts";

/** Files are named as the operator named them and looked for in the command's working directory. */
const sourceOf = (path: string | null, terminal: Terminal) => ({
  path,
  env: terminal.env,
  readConfigFile: (file: string) => readConfigFile(resolve(terminal.cwd, file)),
});

/**
 * The file to read: `--config`, else `SIGNALPOST_CONFIG`, else `./signalpost.yaml` if there is one; null
 * stands for the environment alone.
 */
export const findConfig = (flag: string | undefined, terminal: Terminal): string | null =>
  configPath(sourceOf(flag ?? null, terminal));

/** The settings of `path`; throws `ConfigError`. */
export const loadFrom = (path: string | null, terminal: Terminal): LoadedSettings =>
  loadSettings(sourceOf(path, terminal));

/** `signalpost.yaml:12: mailboxes[0].id: …`, without the parts that are not known. */
export const problemText = (path: string | null, { key, line, message }: ConfigProblem): string =>
  [`${path ?? "environment"}${line === null ? "" : `:${line}`}`, key, message]
    .filter((part) => part !== "")
    .join(": ");

/** Runs `work` with the path; a `ConfigError` becomes a line for each problem and exit code 78. */
export const withConfigPath = async (
  flag: string | undefined,
  terminal: Terminal,
  work: (path: string | null) => Promise<number>,
): Promise<number> => {
  const path = findConfig(flag, terminal);
  try {
    return await work(path);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    for (const problem of error.problems) terminal.err(problemText(path, problem));
    return EXIT.config;
  }
};
