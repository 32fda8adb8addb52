// Named points at which a test wants the process to die: `SIGNALPOST_CRASH_AT=<step>[:n]` kills it at
// the n-th time (1 by default). Only the ports are wrapped; no other file knows of it.
import { ConfigError } from "../core/errors.ts";
import type { MailSession } from "../mail/session.ts";
import type { SqlDatabase } from "../store/sqlite-database.ts";
import type { Ports } from "./ports.ts";

/** Where a process can be made to die. */
const CRASH_POINTS = [
  "after-fetch",
  "after-webhook",
  "after-spool",
  "after-commit",
  "after-flag",
] as const;

type CrashPoint = (typeof CRASH_POINTS)[number];

/** Counts down at one point; other points pass. */
type Reached = (point: CrashPoint) => void;

const parse = (text: string): { point: CrashPoint; count: number } => {
  const [name = "", times = "1"] = text.split(":");
  const point = CRASH_POINTS.find((known) => known === name);
  const count = Number(times);
  if (point === undefined || !Number.isInteger(count) || count < 1) {
    const message = `write one of ${CRASH_POINTS.join(", ")}, with :n for the n-th time`;
    throw new ConfigError([{ key: "SIGNALPOST_CRASH_AT", line: null, message }]);
  }
  return { point, count };
};

const crashingSession = (session: MailSession, reached: Reached): MailSession => ({
  ...session,
  fetchParts: async (requests, received) => {
    await session.fetchParts(requests, received);
    reached("after-fetch");
  },
  addFlag: async (uids, flag) => {
    await session.addFlag(uids, flag);
    reached("after-flag");
  },
  move: async (uids, target) => {
    await session.move(uids, target);
    reached("after-flag");
  },
});

/** The spool's rows are the last of a transaction, so the COMMIT after one is the point after it. */
const crashingDatabase = (database: SqlDatabase, reached: Reached): SqlDatabase => {
  let hasSpooled = false;
  let hasReceipts = false;
  return {
    inPlace: () => database.inPlace(),
    close: () => database.close(),
    watch: (changed) => database.watch(changed),
    prepare: (sql) => {
      const statement = database.prepare(sql);
      const isSpool = /^\s*INSERT[^(]*\bspool\b/i.test(sql);
      const isReceipt = /^\s*INSERT[^(]*\breceipts\b/i.test(sql);
      if (!isSpool && !isReceipt) return statement;
      return {
        get: (...values) => statement.get(...values),
        all: (...values) => statement.all(...values),
        run: (...values) => {
          hasSpooled ||= isSpool;
          hasReceipts ||= isReceipt;
          return statement.run(...values);
        },
      };
    },
    exec: (sql) => {
      const isCommit = /^\s*COMMIT/i.test(sql);
      if (isCommit && hasSpooled) reached("after-spool");
      database.exec(sql);
      if (isCommit && hasReceipts) reached("after-commit");
      if (isCommit || /^\s*ROLLBACK/i.test(sql)) {
        hasSpooled = false;
        hasReceipts = false;
      }
    },
  };
};

/**
 * The ports as they are, except that the process is killed at the point that `text` names. Throws
 * `ConfigError` for a text that names none.
 */
export const withCrashPoint = (ports: Ports, text: string, kill: () => void): Ports => {
  const wanted = parse(text);
  let left = wanted.count;
  const reached: Reached = (point) => {
    if (point !== wanted.point) return;
    left -= 1;
    if (left === 0) kill();
  };
  return {
    ...ports,
    openSession: async (request, signal) =>
      crashingSession(await ports.openSession(request, signal), reached),
    openSqlite: (dataDir) => crashingDatabase(ports.openSqlite(dataDir), reached),
    sendHttp: async (request) => {
      const result = await ports.sendHttp(request);
      if (result.kind === "answered") reached("after-webhook");
      return result;
    },
  };
};
