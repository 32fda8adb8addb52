// The real terminal: the streams, environment and exit code of this process, and the version in its
// package.json. main.ts runs the command line over it.
import { readFileSync } from "node:fs";
import process from "node:process";
import { AppError } from "../core/errors.ts";
import type { Terminal } from "./terminal.ts";

const MAX_INPUT_BYTES = 1024 * 1024;

/** package.json lies two folders up from here, in a checkout (src/cli) and in a package (dist/cli). */
const readPackageVersion = (): string => {
  const text = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { version: string }).version;
};

const readInput = async (): Promise<string> => {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of process.stdin) {
    chunks.push(chunk as Buffer);
    sizeBytes += (chunk as Buffer).length;
    if (sizeBytes > MAX_INPUT_BYTES) {
      throw new AppError("cli/input_too_large", "standard input holds more than 1 MiB", {
        hint: "A document is smaller; look at what is sent.",
      });
    }
  }
  return Buffer.concat(chunks).toString("utf8");
};

/** The process as a terminal. A reader that goes away (`signalpost status | head`) is no error. */
export const createSystemTerminal = (): Terminal => {
  process.stdout.on("error", () => undefined);
  process.stderr.on("error", () => undefined);
  return {
    out: (text) => void process.stdout.write(`${text}\n`),
    err: (text) => void process.stderr.write(`${text}\n`),
    env: process.env,
    cwd: process.cwd(),
    isTty: process.stdout.isTTY === true,
    wallMs: () => Date.now(),
    readInput,
    versions: { signalpost: readPackageVersion(), node: process.version },
  };
};

/** What stands after the program's name. */
export const commandLine = (): readonly string[] => process.argv.slice(2);

/** Sets the code; the process ends by itself once its output is written. */
export const setExitCode = (code: number): void => {
  process.exitCode = code;
};
