// A private redis-server on a free loopback port, for tests that want the real thing or that kill it.
// It promises to own what it starts (temporary directory, process) and to give it back when it is
// disposed of; the port stays the same over a restart. Needs the package redis-server.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Redis } from "ioredis";

/** What to start; everything may be left out. */
export interface RedisServerOptions {
  /** Default: a free one. */
  port?: number;
  /** More words for the command line, `["--maxmemory", "1mb"]`. */
  args?: readonly string[];
  /** Where its files go; default: a directory of its own, which is removed at the end. */
  directory?: string;
}

/** A running server. */
export interface RedisServer extends AsyncDisposable {
  /** Without user and password. */
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  readonly directory: string;
  /**
   * Sends one command over a connection of its own, `cli("SET", "key", "value")`; a list is answered
   * one line an item, nil as the empty text. Rejects with what the server answers instead.
   */
  cli(...words: string[]): Promise<string>;
  /** SIGSTOP and SIGCONT: it takes connections and answers nothing, and goes on. */
  pause(): void;
  resume(): void;
  /** SIGKILL; resolves when the process is gone. */
  kill(): Promise<void>;
  /** Saves everything and ends: it comes back by `start`, on its port, with all it ever answered. */
  shutDown(): Promise<void>;
  start(): Promise<void>;
  /**
   * Starts it again on its port, as a new server process: with all its data, or with none but those of
   * `snapshot`, an RDB file that `SAVE` once wrote.
   */
  restart(options: { keepData: boolean; snapshot?: string }): Promise<void>;
}

/** A user of the tests alone, so that a test may change passwords and `cli` still gets in. */
const TESTER = { username: "tester", password: "tester" };

/** A port of 127.0.0.1 that nobody listens on just now. */
export const freePort = async (): Promise<number> => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  return address !== null && typeof address === "object" ? address.port : 0;
};

const textOf = (reply: unknown): string =>
  Array.isArray(reply) ? reply.map(textOf).join("\n") : `${(reply ?? "") as string | number}`;

/** One command over a connection of its own, by a client that shares nothing with the shipped one. */
const command = async (port: number, words: readonly string[]): Promise<string> => {
  const client = new Redis(port, "127.0.0.1", {
    lazyConnect: true,
    retryStrategy: null,
    enableReadyCheck: false,
    disableClientInfo: true,
    commandTimeout: 10_000,
    protocol: 2,
    ...TESTER,
  });
  client.on("error", () => undefined);
  try {
    await client.connect();
    const [name = "", ...rest] = words;
    return textOf(await client.call(name, rest));
  } finally {
    client.disconnect();
  }
};

/** Waits until PING is answered; false: the process has ended. */
const answers = async (child: ChildProcess, port: number): Promise<boolean> => {
  for (let tries = 0; tries < 400; tries += 1) {
    if (child.exitCode !== null) return false;
    const reply = await command(port, ["PING"]).catch(() => "");
    // On a port that another server took meanwhile, that one answers and ours ends.
    if (reply === "PONG") return child.exitCode === null;
    await sleep(25);
  }
  child.kill("SIGKILL");
  throw new Error("redis-server does not answer");
};

const end = async (child: ChildProcess): Promise<void> => {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, "exit");
  child.kill("SIGKILL");
  await gone;
};

/** Writes everything to the disk; a save of the server's own, for a replica, may have to end first. */
const save = async (cli: RedisServer["cli"]): Promise<void> => {
  while ((await cli("INFO", "persistence")).includes("rdb_bgsave_in_progress:1")) await sleep(25);
  await cli("SAVE");
};

const launch = async (
  port: number,
  { args, directory }: { args: readonly string[]; directory: string },
): Promise<ChildProcess | null> => {
  const place = ["--port", String(port), "--bind", "127.0.0.1", "--dir", directory];
  const quiet = ["--save", "", "--appendonly", "no", "--daemonize", "no"];
  const swift = ["--repl-diskless-sync-delay", "0"];
  const user = ["--user", TESTER.username, "on", `>${TESTER.password}`, "~*", "&*", "+@all"];
  const words = [...place, ...quiet, ...swift, ...user, ...args];
  const child = spawn("redis-server", words, { stdio: "ignore" }).on("error", () => undefined);
  if (child.pid === undefined) throw new Error("redis-server is not installed");
  return (await answers(child, port)) ? child : null;
};

/** Starts on the port, or on free ones until one is still free when the server wants it. */
const launchSomewhere = async (
  wanted: number | undefined,
  place: { args: readonly string[]; directory: string },
): Promise<{ child: ChildProcess; port: number }> => {
  for (let tries = 0; tries < 5; tries += 1) {
    const port = wanted ?? (await freePort());
    const child = await launch(port, place);
    if (child !== null) return { child, port };
  }
  throw new Error("redis-server ended at once; run it by hand to see why");
};

/** Starts a server that keeps everything in memory. Throws when none comes up within 10 seconds. */
export const startRedis = async (options: RedisServerOptions = {}): Promise<RedisServer> => {
  const own = options.directory === undefined;
  const directory = options.directory ?? mkdtempSync(join(tmpdir(), "signalpost-redis-"));
  const place = { args: options.args ?? [], directory };
  const remove = (): void => {
    if (own) rmSync(directory, { recursive: true, force: true });
  };
  const started = await launchSomewhere(options.port, place).catch((error: unknown) => {
    remove();
    throw error;
  });
  const { port } = started;
  let { child } = started;
  const endHard = (): void => void child.kill("SIGKILL");
  process.once("exit", endHard);
  const cli = (...words: string[]): Promise<string> => command(port, words);
  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    get pid() {
      return child.pid ?? 0;
    },
    directory,
    cli,
    pause: () => void child.kill("SIGSTOP"),
    resume: () => void child.kill("SIGCONT"),
    kill: () => end(child),
    shutDown: async () => {
      const gone = once(child, "exit");
      // The answer is the end of the connection.
      await cli("SHUTDOWN", "SAVE").catch(() => undefined);
      await gone;
    },
    start: async () => {
      ({ child } = await launchSomewhere(port, place));
    },
    restart: async ({ keepData, snapshot }) => {
      if (keepData) await save(cli);
      await end(child);
      const dump = join(directory, "dump.rdb");
      if (!keepData) rmSync(dump, { force: true });
      if (snapshot !== undefined) copyFileSync(snapshot, dump);
      ({ child } = await launchSomewhere(port, place));
    },
    [Symbol.asyncDispose]: async () => {
      process.off("exit", endHard);
      await end(child);
      remove();
    },
  };
};

/** Starts a replica of a server and waits until it holds what the other holds. */
export const startReplica = async (
  of: RedisServer,
  options: RedisServerOptions = {},
): Promise<RedisServer> => {
  const args = ["--replicaof", "127.0.0.1", String(of.port), ...(options.args ?? [])];
  const replica = await startRedis({ ...options, args });
  for (let tries = 0; tries < 400; tries += 1) {
    if ((await replica.cli("INFO", "replication")).includes("master_link_status:up")) {
      return replica;
    }
    await sleep(25);
  }
  await replica[Symbol.asyncDispose]();
  throw new Error("the replica does not follow");
};
