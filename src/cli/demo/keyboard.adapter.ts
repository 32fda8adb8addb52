// The lines that a person types while the demo runs. Only at a terminal: a pipe or a service manager has
// nothing to say. Called by the command.
import process from "node:process";
import { createInterface } from "node:readline";

/** Is there a person at the keyboard? */
export const hasKeyboard = (): boolean => process.stdin.isTTY === true;

/** Calls `onLine` for each line and `onEnd` at the end of the input; returns what ends it. */
export const readLines = (on: { line(text: string): void; end(): void }): (() => void) => {
  const lines = createInterface({ input: process.stdin, terminal: false });
  lines.on("line", on.line);
  lines.on("close", on.end);
  return () => {
    lines.close();
    // A paused terminal would still hold the process.
    process.stdin.destroy();
  };
};
