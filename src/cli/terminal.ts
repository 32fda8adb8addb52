// What a command may touch of the process that it runs in. Commands are plain functions over it, so that
// a test reads their output from a list; the adapter beside this file is the real one.

/** The process, as far as commands see it. */
export interface Terminal {
  /** Writes `text` and a line end to standard output. */
  out(text: string): void;
  /** Writes `text` and a line end to standard error. */
  err(text: string): void;
  env: Readonly<Record<string, string | undefined>>;
  /** Absolute. */
  cwd: string;
  /** Does a person read standard output? */
  isTty: boolean;
  /** Milliseconds since 1970 UTC. */
  wallMs(): number;
  /** Everything that stands on standard input, to its end; rejects over 1 MiB. */
  readInput(): Promise<string>;
  versions: { signalpost: string; node: string };
}

/** Why a command ended, as its exit code (DESIGN section 10; the numbers are those of sysexits.h). */
export const EXIT = { ok: 0, failed: 1, usage: 64, config: 78 } as const;

/** A command: takes what stands after its name, returns the exit code. */
export type Command = (args: readonly string[], terminal: Terminal) => Promise<number>;

// Control characters but line end and tab, and the marks that turn the direction of text around.
const UNSAFE = /(?![\n\t])[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu;

/** `text` from mail with everything replaced that could drive or disguise the reader's terminal. */
export const printable = (text: string): string => text.replace(UNSAFE, "\ufffd");

/** Rows under their headings, in columns two spaces apart. */
export const formatTable = (
  headings: readonly string[],
  rows: readonly (readonly string[])[],
): string => {
  const lines = [headings, ...rows];
  const widths = headings.map((_, column) =>
    Math.max(...lines.map((cells) => (cells[column] ?? "").length)),
  );
  return lines
    .map((cells) => cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  "))
    .map((line) => line.trimEnd())
    .join("\n");
};
