// What the demo leaves on the disk while it runs: one folder of its own in the system's folder for
// temporary files, and beside it a small file by which `signalpost demo send` finds the running demo.
// Both are readable by their user alone and gone when the demo ends.
import {
  closeSync,
  constants,
  createWriteStream,
  fstatSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";

/** The demo's folder. */
export interface DemoFolder {
  /** Absolute. */
  dir: string;
  configPath: string;
  logPath: string;
  writeConfig(text: string): void;
  /** Appends a line to the log; never blocks, never throws. */
  writeLog(line: string): void;
  /** Closes the log, and takes the folder away unless it is to be looked at. */
  close(options: { keep: boolean }): Promise<void>;
}

/** Makes a fresh folder. */
export const createDemoFolder = (): DemoFolder => {
  const dir = mkdtempSync(join(tmpdir(), "signalpost-demo-"));
  const configPath = join(dir, "signalpost.yaml");
  const logPath = join(dir, "signalpost.log");
  const log = createWriteStream(logPath, { flags: "a", mode: 0o600 });
  log.on("error", () => undefined);
  return {
    dir,
    configPath,
    logPath,
    writeConfig: (text) => writeFileSync(configPath, text, { mode: 0o600 }),
    writeLog: (line) => void log.write(`${line}\n`),
    async close({ keep }) {
      const closed = new Promise<void>((resolve) => void log.once("close", resolve));
      log.end();
      await closed;
      if (!keep) rmSync(dir, { recursive: true, force: true });
    },
  };
};

// Not by name: a container's user may have none.
const uid = process.getuid?.() ?? 0;
const statePath = (): string => join(tmpdir(), `signalpost-demo-${uid}.json`);

/** A file of this very user and no link; null when there is none. */
const readOwnFile = (path: string): string | null => {
  try {
    const descriptor = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
    try {
      return fstatSync(descriptor).uid === uid ? readFileSync(descriptor, "utf8") : null;
    } finally {
      closeSync(descriptor);
    }
  } catch {
    return null;
  }
};

/** Lets `demo send` find this demo; of several that run, the youngest. Returns what undoes it. */
export const announceDemo = (imapPort: number): (() => void) => {
  const text = JSON.stringify({ imap_port: imapPort });
  rmSync(statePath(), { force: true });
  writeFileSync(statePath(), text, { mode: 0o600, flag: "wx" });
  return () => {
    // A demo that started later may have written its own in its place.
    if (readOwnFile(statePath()) === text) rmSync(statePath(), { force: true });
  };
};

/** The mail server's port of the running demo; null when none runs. */
export const findDemo = (): number | null => {
  try {
    const state = JSON.parse(readOwnFile(statePath()) ?? "null") as { imap_port?: unknown } | null;
    return typeof state?.imap_port === "number" ? state.imap_port : null;
  } catch {
    return null;
  }
};
