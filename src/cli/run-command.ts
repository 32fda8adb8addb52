// One switch from the command line to a command, and one place where an error becomes a line on
// standard error and an exit code. Commands are loaded when they are asked for, so that `version` does
// not wait for the daemon's code.
import { AppError, errorCode } from "../core/errors.ts";
import { HELP, helpText } from "./commands/help.ts";
import { USAGE_CODE, usageError } from "./options.ts";
import { type Command, type Terminal, EXIT } from "./terminal.ts";

const loadCommand = async (name: string): Promise<Command> => {
  switch (name) {
    case "run":
      return (await import("./commands/run.ts")).run;
    case "demo":
      return (await import("./commands/demo.ts")).demo;
    case "check":
      return (await import("./commands/check.ts")).check;
    case "status":
      return (await import("./commands/status.ts")).status;
    case "parked":
      return (await import("./commands/parked.ts")).parked;
    case "receipts":
      return (await import("./commands/receipts.ts")).receipts;
    case "redeliver":
      return (await import("./commands/mailbox/redeliver.ts")).redeliver;
    case "adopt":
      return (await import("./commands/mailbox/adopt.ts")).adopt;
    case "config":
      return (await import("./commands/config/config.ts")).config;
    case "schema":
      return (await import("./commands/schema.ts")).schema;
    case "version":
    case "--version":
    case "-v":
      return (await import("./commands/version.ts")).version;
    case "help":
    case "--help":
    case "-h":
      return (await import("./commands/help.ts")).help;
    case "":
      throw usageError("Say what to do");
    default:
      throw usageError(`Unknown command '${name}'`);
  }
};

/** What to do about an error that is not ours, by its code; its text stays inside. */
const HINTS: Readonly<Record<string, string>> = {
  EACCES: "Run the command as the user of the daemon.",
  EPERM: "Run the command as the user of the daemon.",
  ENOSPC: "Free some space on the disk of the data directory.",
  ERR_SQLITE_ERROR: "The store is busy or cannot be read; try again, then check its disk.",
};

const withFullStop = (text: string): string => (/[.!?]$/.test(text) ? text : `${text}.`);

const reportError = (error: unknown, name: string, terminal: Terminal): number => {
  const code = errorCode(error);
  if (error instanceof AppError && code === USAGE_CODE) {
    const topic = Object.hasOwn(HELP, name) ? ` ${name}` : "";
    terminal.err(`signalpost: ${withFullStop(error.message)} See 'signalpost help${topic}'.`);
    return EXIT.usage;
  }
  const message = error instanceof AppError ? error.message : "the command failed";
  const hint = error instanceof AppError ? error.hint : HINTS[code];
  terminal.err(`signalpost: ${code}: ${withFullStop(message)} ${hint ?? ""}`.trimEnd());
  return EXIT.failed;
};

/** Runs the command that `argv` names and returns its exit code; never rejects. */
export const runCommand = async (argv: readonly string[], terminal: Terminal): Promise<number> => {
  const [name = "", ...args] = argv;
  try {
    const asksForHelp = args.includes("--help") || args.includes("-h");
    if (asksForHelp && Object.hasOwn(HELP, name)) {
      terminal.out(helpText(name));
      return EXIT.ok;
    }
    const command = await loadCommand(name);
    return await command(args, terminal);
  } catch (error) {
    return reportError(error, name, terminal);
  }
};
