// The daemon on the fake world, with the faults that a test of recovery wants: a state that refuses some
// statements, a lock file that is replaced, several processes over one state. All under one virtual clock.
import { TIMING } from "../../src/daemon/cluster/cluster.ts";
import { loadSettings } from "../../src/config/load.ts";
import { type Daemon, startDaemon } from "../../src/daemon/build.ts";
import type { Ports } from "../../src/daemon/ports.ts";
import type { SqlDatabase, SqlStatement } from "../../src/store/sqlite-database.ts";
import { openSqliteMemory } from "../../src/store/sqlite.adapter.ts";
import { createFakePorts, createFakeReceiver, createFakeServer } from "./fake-world.ts";
import { createSeededRandom } from "./seeded-random.ts";
import { createVirtualClock } from "./virtual-clock.ts";

/** What `node:sqlite` throws for the SQLite result code `errcode`. */
export const sqliteError = (errcode: number): Error =>
  Object.assign(new Error("refused by the test"), { code: "ERR_SQLITE_ERROR", errcode });

/** A configuration of these mailboxes; `user` tells accounts apart. */
export const configOf = (mailboxes: readonly string[], user = "someone"): string => `
enable_background_tasks: true
http: null
mailboxes:
${mailboxes
  .map(
    (id) => `  - id: ${id}
    imap: { host: imap.fake.test, port: 993, tls: implicit, user: ${user}, password: secret-word }
    start_from: beginning`,
  )
  .join("\n")}
webhook:
  url: https://hooks.fake.test/in
  secret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw
`;

/** One state for all processes; it outlives them, and refuses what the test says. */
const createSharedState = () => {
  const file = openSqliteMemory();
  let refuses: (sql: string) => boolean = () => false;
  const watchers = new Set<() => void>();
  const guarded = (sql: string): SqlStatement => {
    const statement = file.prepare(sql);
    const look = (): void => {
      if (refuses(sql)) throw sqliteError(10);
    };
    return {
      run: (...values) => (look(), statement.run(...values)),
      get: (...values) => (look(), statement.get(...values)),
      all: (...values) => (look(), statement.all(...values)),
    };
  };
  const open = (): SqlDatabase => ({
    exec: (sql) => file.exec(sql),
    prepare: guarded,
    watch: (changed) => {
      watchers.add(changed);
      return () => watchers.delete(changed);
    },
    inPlace: () => true,
    close: () => undefined,
  });
  return {
    open,
    /** Each statement for which `next` holds throws. */
    refuse: (next: (sql: string) => boolean): void => {
      refuses = next;
    },
    /** As if another process had written. */
    changed: (): void => {
      for (const watcher of watchers) watcher();
    },
    all: (sql: string) => file.prepare(sql).all(),
  };
};

/** A world in which daemons are started; `change` replaces some of its ports. */
export const createDaemonWorld = (change: (ports: Ports) => Partial<Ports> = () => ({})) => {
  const clock = createVirtualClock();
  const server = createFakeServer(clock);
  const receiver = createFakeReceiver();
  const state = createSharedState();
  let replaced = false;
  const random = createSeededRandom(7);
  const fakes = createFakePorts({
    clock,
    random,
    openSession: server.openSession,
    sendHttp: receiver.sendHttp,
  });
  const base: Ports = {
    ...fakes.ports,
    openSqlite: state.open,
    takeLocalLock: (path) => {
      const answer = fakes.ports.takeLocalLock(path);
      if (answer.kind !== "held") return answer;
      replaced = false;
      const { release } = answer.lock;
      return { kind: "held", lock: { stillInPlace: () => !replaced, release } };
    },
  };
  const changed: Ports = { ...base, ...change(base) };
  const users: string[] = [];
  const ports: Ports = {
    ...changed,
    openSession: (request, signal) => {
      users.push(request.imap.user);
      return changed.openSession(request, signal);
    },
  };
  const config = { text: configOf(["default"]) };
  /** Starts a process by the present configuration; a reload reads the one of then. */
  const start = (node = "node-a", own: { text: string } = config): Promise<Daemon> => {
    const load = () =>
      loadSettings({
        path: "signalpost.yaml",
        env: {},
        readConfigFile: () => ({ stamp: "1", text: own.text }),
      });
    const about = { version: "0", node, host: "host-a", timing: TIMING };
    return startDaemon({ initial: load(), load, stamp: () => "1", ...about }, ports);
  };
  const settled = async <T>(promise: Promise<T>): Promise<T> => {
    let isOver = false;
    const over = (): void => {
      isOver = true;
    };
    promise.then(over, over);
    await clock.runUntil(() => isOver, 60_000);
    return await promise;
  };
  return {
    ...{ clock, server, receiver, state, config, start, settled, ports },
    /** Who logged in, or tried to, in order. */
    users,
    lines: fakes.lines,
    exits: fakes.exits,
    stop: (daemon: Daemon): Promise<void> => settled(daemon.stop()),
    eventsOf: (name: string) => fakes.lines.filter(({ event }) => event === name),
    /** Somebody deletes the lock file, or puts another in its place. */
    replaceLockFile: (): void => {
      replaced = true;
    },
  };
};
