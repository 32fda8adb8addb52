// A directory of its own for a test of commands: a configuration, a data directory and a terminal that
// keeps what is written to it. Everything goes when the test ends.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runCommand } from "../../src/cli/run-command.ts";
import type { Terminal } from "../../src/cli/terminal.ts";
import { createSqliteStore } from "../../src/store/sqlite.ts";
import { openSqliteFile } from "../../src/store/sqlite.adapter.ts";
import type { Receipt, SpoolEntry, Store } from "../../src/store/store.ts";

/** The wall time of every command of a workspace. */
export const NOW_MS = 1_795_507_200_000;

/** A configuration that `check` finds usable; `data_dir` is the workspace's. */
export const CONFIG = [
  "enable_background_tasks: true",
  "mailboxes:",
  "  - id: default",
  "    folder: Private Folder",
  "    imap: { host: imap.example.com, user: someone, password: pass-word-secret }",
  "webhook:",
  "  url: https://hooks.example.com/private-path",
  `  secret: whsec_${Buffer.alloc(32, 7).toString("base64")}`,
  "",
].join("\n");

/** What a command did. */
export interface CommandEnd {
  code: number;
  out: string;
  err: string;
}

/** One directory and the commands run in it. */
export interface Workspace {
  dir: string;
  dataDir: string;
  /** Replaces signalpost.yaml; the workspace's `data_dir` is added. */
  writeConfig(text: string): void;
  /** Writes to the store as a daemon would. */
  seed(work: (store: Store) => Promise<void>): Promise<void>;
  run(...argv: string[]): Promise<CommandEnd>;
  /** As `run`, on a terminal that a person reads. */
  runOnTty(...argv: string[]): Promise<CommandEnd>;
  env: Record<string, string>;
  /** What commands read from standard input. */
  input: { text: string };
}

const random = { u32: () => 7, bytes: (count: number) => new Uint8Array(count).fill(7) };

const runIn = async (
  space: Pick<Workspace, "dir" | "env" | "input">,
  isTty: boolean,
  argv: readonly string[],
): Promise<CommandEnd> => {
  const out: string[] = [];
  const err: string[] = [];
  const terminal: Terminal = {
    out: (text) => void out.push(text),
    err: (text) => void err.push(text),
    env: space.env,
    cwd: space.dir,
    isTty,
    wallMs: () => NOW_MS,
    readInput: async () => space.input.text,
    versions: { signalpost: "1.2.3", node: "v24.0.0" },
  };
  const code = await runCommand(argv, terminal);
  return { code, out: out.join("\n"), err: err.join("\n") };
};

/** Runs `work` in a fresh workspace. */
export const withWorkspace = async (work: (space: Workspace) => Promise<void>): Promise<void> => {
  const dir = mkdtempSync(join(tmpdir(), "signalpost-cli-"));
  const dataDir = join(dir, "data");
  const env: Record<string, string> = {};
  const input = { text: "" };
  const writeConfig = (text: string): void => {
    writeFileSync(join(dir, "signalpost.yaml"), `data_dir: ${dataDir}\n${text}`);
  };
  writeConfig(CONFIG);
  try {
    await work({
      dir,
      dataDir,
      env,
      input,
      writeConfig,
      seed: async (write) => {
        const database = openSqliteFile(dataDir);
        const store = createSqliteStore({ database, random, spoolKeys: [] });
        try {
          await write(store);
        } finally {
          await store.close();
        }
      },
      run: async (...argv) => await runIn({ dir, env, input }, false, argv),
      runOnTty: async (...argv) => await runIn({ dir, env, input }, true, argv),
    });
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
};

/** A receipt of mailbox `default`, delivered unless told otherwise. */
export const receiptOf = (uid: number, more: Partial<Receipt> = {}): Receipt => ({
  eventId: `evt_${uid}`,
  mailbox: "default",
  folder: "Private Folder",
  uidvalidity: "7",
  uid,
  outcome: "delivered",
  reason: null,
  reduced: false,
  pairs: { default: { kind: "delivered", attempts: 1 } },
  steps: { fetch: 12, deliver: 34 },
  todo: false,
  settledMs: NOW_MS - 60_000,
  ...more,
});

/** A parked row of mailbox `default`. */
export const parkedOf = (uid: number, more: Partial<SpoolEntry> = {}): SpoolEntry => ({
  eventId: `evt_${uid}`,
  destination: "default",
  mailbox: "default",
  uid,
  payload: JSON.stringify({ text: `secret text of ${uid}` }),
  state: "parked",
  attempts: 20,
  counted: 20,
  nextAttemptMs: 0,
  errorClass: "http_5xx",
  reason: "attempts_exhausted",
  sinceMs: NOW_MS - 120_000,
  parkedMs: NOW_MS - 60_000,
  ...more,
});

/** Commits a parked delivery of each UID, receipt and row, as the daemon leaves it. */
export const seedParked = async (store: Store, uids: readonly number[]): Promise<void> => {
  const fence = await store.issueFence("default", NOW_MS);
  await store.commit({
    mailbox: "default",
    fence,
    receipts: uids.map((uid) =>
      receiptOf(uid, {
        outcome: "parked",
        pairs: { default: { kind: "parked", attempts: 20, reason: "attempts_exhausted" } },
      }),
    ),
    spool: uids.map((uid) => parkedOf(uid)),
  });
};
