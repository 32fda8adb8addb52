// The real daemon as a child process, for integration tests and scripts: `bin/signalpost run` on a
// configuration written into a temporary directory, its log parsed, its HTTP faces read. Whoever makes
// one owns it and disposes it; then the child is ended by its pid and the directory is gone.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type DaemonPaths, type DaemonSettings, configText } from "./daemon-config.ts";
import {
  type LogLine,
  type ProcessEnd,
  type Running,
  createDaemonLog,
  spawnSignalpost,
} from "./daemon-process.ts";

/** How long starting may take, and how long a wait lasts that names no time. */
const PATIENCE_MS = 30_000;

/** How a daemon is made. */
export interface DaemonOptions extends DaemonSettings {
  /** Added to the child's environment, which has PATH and nothing else of ours. */
  env?: Readonly<Record<string, string>>;
  /** State and lock of another daemon, for two processes that meet. */
  shareWith?: DaemonPaths;
  /** Lease and cluster run at this scale, say 0.1; else in earnest. */
  scale?: number;
}

/** What a command printed and returned. */
export interface CommandEnd {
  code: number | null;
  out: string;
  err: string;
}

/** A daemon and its directory. */
export interface TestDaemon extends DaemonPaths, AsyncDisposable {
  readonly dir: string;
  readonly configFile: string;
  /** Of the process that was started last. */
  readonly pid: number;
  readonly httpPort: number;
  /** Every line of the log, of all processes since the first start. */
  readonly lines: readonly LogLine[];
  /** The lines of one event. */
  events(event: string): LogLine[];
  stderr(): string;
  /**
   * The first line of that event that `predicate` accepts, also one that is there already; rejects
   * after `timeoutMs` (default 30,000) and when the process ended without it.
   */
  waitForEvent(
    event: string,
    predicate?: (line: LogLine) => boolean,
    timeoutMs?: number,
  ): Promise<LogLine>;
  /** As `waitForEvent` for lines written after this call. */
  waitForNext(
    event: string,
    predicate?: (line: LogLine) => boolean,
    timeoutMs?: number,
  ): Promise<LogLine>;
  /** Writes signalpost.yaml anew; keys not named stay. */
  writeConfig(changes: Partial<DaemonSettings>): void;
  /** Writes signalpost.yaml as it is given. */
  writeConfigText(text: string): void;
  /** Starts a process on the same directory; resolves when it says that it runs. */
  start(env?: Readonly<Record<string, string>>): Promise<void>;
  /** Starts a process that is expected to end by itself; resolves with its end, after 30 s by SIGKILL. */
  startAndEnd(env?: Readonly<Record<string, string>>): Promise<ProcessEnd>;
  kill(signal: NodeJS.Signals): void;
  /** Of the process that was started last. */
  readonly exit: Promise<ProcessEnd>;
  /** SIGTERM, and its end. */
  stop(): Promise<ProcessEnd>;
  readyz(): Promise<{ status: number; body: Readiness }>;
  status(): Promise<StatusBody>;
  metrics(): Promise<string>;
  /** Runs `bin/signalpost` with `argv` on the same configuration. */
  cli(...argv: string[]): Promise<CommandEnd>;
  rssBytes(): number;
  /** The highest it has been since the start or since `resetPeak`. */
  peakRssBytes(): number;
  resetPeak(): void;
}

/** The answer of `/readyz`. */
export interface Readiness {
  status: string;
  mailboxes: Readonly<Record<string, string>>;
}

/** The answer of `/api/v1/status`, as far as tests look at it. */
export interface StatusBody {
  node: string | null;
  mailboxes: readonly {
    id: string;
    state: string;
    uidvalidity: string | null;
    settled_up_to: number | null;
    lease: { state: string; fence: number | null; holder: string | null };
    counts: Readonly<Record<string, number>>;
    spool: { waiting: number; parked: number };
  }[];
  destinations: readonly { id: string; breaker: string | null; waiting: number; parked: number }[];
}

const statusKb = (pid: number, field: string): number => {
  const text = readFileSync(`/proc/${pid}/status`, "utf8");
  const [, kb] = new RegExp(`^${field}:\\s+(\\d+) kB$`, "m").exec(text) ?? [];
  if (kb === undefined) throw new Error(`the process does not tell its ${field}`);
  return Number(kb) * 1024;
};

const get = async (port: number, path: string): Promise<Response> =>
  fetch(`http://127.0.0.1:${port}${path}`, { signal: AbortSignal.timeout(10_000) });

const isAny = (): boolean => true;

/** Makes the directory and the configuration; starts nothing. */
export const createTestDaemon = (options: DaemonOptions): TestDaemon => {
  const dir = mkdtempSync(join(tmpdir(), "signalpost-daemon-"));
  const dataDir = options.shareWith?.dataDir ?? join(dir, "data");
  const lockFile = options.shareWith?.lockFile ?? join(dir, "poller.lock");
  const configFile = join(dir, "signalpost.yaml");
  const log = createDaemonLog();
  let settings: DaemonSettings = options;
  let stderr = "";
  let running: Running | null = null;

  const writeConfigText = (text: string): void => writeFileSync(configFile, text);
  const writeConfig = (changes: Partial<DaemonSettings>): void => {
    settings = { ...settings, ...changes };
    writeConfigText(configText(settings, { dataDir, lockFile }));
  };
  writeConfig({});

  const current = (): Running => {
    if (running === null) throw new Error("this daemon was not started");
    return running;
  };
  const spawnOne = (env: Readonly<Record<string, string>> = {}): Running => {
    if (running !== null && running.end === null) throw new Error("this daemon runs already");
    log.begin();
    running = spawnSignalpost(
      ["run", "--config", configFile],
      {
        ...{ dir, env: { ...options.env, ...env } },
        ...(options.scale === undefined ? {} : { scale: options.scale }),
      },
      { out: log.take, err: (chunk) => (stderr += chunk), ended: log.wake },
    );
    return running;
  };
  const find = (
    from: number,
    event: string,
    wait: { is: (line: LogLine) => boolean; ms: number },
  ) => {
    const one = running;
    const tail = (): string => JSON.stringify(log.lines.slice(-8));
    return log.find({
      from,
      isWanted: (line) => line.event === event && wait.is(line),
      timeoutMs: wait.ms,
      failure: () =>
        one === null || one.end === null
          ? null
          : `the daemon ended (${JSON.stringify(one.end)}) without ${event}: ${stderr}${tail()}`,
      late: () => `no ${event} within ${wait.ms} ms; the last lines: ${tail()}`,
    });
  };
  const httpPort = (): number =>
    Number(log.lines.findLast((l) => l.event === "http.listening")?.["port"]);
  const stop = async (): Promise<ProcessEnd> => {
    current().child.kill("SIGTERM");
    return await current().exit;
  };

  return {
    dir,
    dataDir,
    lockFile,
    configFile,
    get pid() {
      return current().child.pid ?? 0;
    },
    get httpPort() {
      return httpPort();
    },
    lines: log.lines,
    events: (event) => log.lines.filter((line) => line.event === event),
    stderr: () => stderr,
    waitForEvent: (event, is = isAny, ms = PATIENCE_MS) => find(0, event, { is, ms }),
    waitForNext: (event, is = isAny, ms = PATIENCE_MS) => find(log.lines.length, event, { is, ms }),
    writeConfig,
    writeConfigText,
    async start(env) {
      const from = log.lines.length;
      spawnOne(env);
      await find(from, "daemon.started", { is: isAny, ms: PATIENCE_MS });
    },
    async startAndEnd(env) {
      const { child, exit } = spawnOne(env);
      // A process that goes on is ended, so that the end that comes shows it.
      const late = setTimeout(() => child.kill("SIGKILL"), PATIENCE_MS);
      return await exit.finally(() => clearTimeout(late));
    },
    kill: (signal) => void current().child.kill(signal),
    get exit() {
      return current().exit;
    },
    stop,
    async readyz() {
      const response = await get(httpPort(), "/readyz");
      return { status: response.status, body: (await response.json()) as Readiness };
    },
    status: async () => (await (await get(httpPort(), "/api/v1/status")).json()) as StatusBody,
    metrics: async () => (await get(httpPort(), "/metrics")).text(),
    async cli(...argv) {
      let out = "";
      let err = "";
      const heard = {
        out: (chunk: string) => void (out += chunk),
        err: (chunk: string) => void (err += chunk),
        ended: () => undefined,
      };
      const env = { ...options.env, SIGNALPOST_CONFIG: configFile };
      const { code } = await spawnSignalpost(argv, { dir, env }, heard).exit;
      return { code, out, err };
    },
    rssBytes: () => statusKb(current().child.pid ?? 0, "VmRSS"),
    peakRssBytes: () => statusKb(current().child.pid ?? 0, "VmHWM"),
    resetPeak: () => writeFileSync(`/proc/${current().child.pid}/clear_refs`, "5"),
    async [Symbol.asyncDispose]() {
      if (running !== null && running.end === null) {
        running.child.kill("SIGKILL");
        await running.exit;
      }
      rmSync(dir, { recursive: true, force: true });
    },
  };
};

/** Makes a daemon and starts it. */
export const startTestDaemon = async (options: DaemonOptions): Promise<TestDaemon> => {
  const daemon = createTestDaemon(options);
  try {
    await daemon.start();
    return daemon;
  } catch (error) {
    await daemon[Symbol.asyncDispose]();
    throw error;
  }
};
