// Reads the options of a command with node's own parser. What it cannot read is a usage error: one
// sentence on standard error and exit code 64.
import { type ParseArgsOptionsConfig, parseArgs } from "node:util";
import { AppError } from "../core/errors.ts";

/** The code by which run-command.ts knows a usage error. */
export const USAGE_CODE = "cli/usage";

/** An error of the person at the keyboard. */
export const usageError = (message: string): AppError => new AppError(USAGE_CODE, message);

/** Only node's first sentence: the rest explains its own conventions. */
const firstSentence = (error: unknown): string =>
  (error instanceof Error ? error.message : "The options cannot be read").split(". ")[0] ?? "";

/** Options and the words between them; throws a usage error for an option that is not listed. */
export const parseOptions = <const Options extends ParseArgsOptionsConfig>(
  args: readonly string[],
  options: Options,
) => {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true });
  } catch (error) {
    throw usageError(firstSentence(error));
  }
};

/** As {@link parseOptions}, for a command that takes no words. */
export const parseFlags = <const Options extends ParseArgsOptionsConfig>(
  args: readonly string[],
  options: Options,
) => {
  const { values, positionals } = parseOptions(args, options);
  if (positionals.length > 0) throw usageError(`Unexpected argument '${positionals.join(" ")}'`);
  return values;
};

/** A whole number from 1 to `max`; throws a usage error that names the option or word. */
export const wholeNumber = (text: string, name: string, max: number): number => {
  const value = /^[0-9]{1,15}$/.test(text) ? Number(text) : 0;
  if (value < 1 || value > max) {
    throw usageError(`${name} must be a whole number from 1 to ${max}`);
  }
  return value;
};

/** Names the configuration; most commands take it. */
export const CONFIG_OPTION = { config: { type: "string" } } as const;
/** Prints for programs. */
export const JSON_OPTION = { json: { type: "boolean" } } as const;

/** The largest UID there can be (RFC 9051 section 2.3.1.1). */
export const MAX_UID = 2 ** 32 - 1;
