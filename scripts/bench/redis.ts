// What shared state costs: the throughput of one daemon that keeps its state itself and of one that keeps
// it in Redis (append-only file, written to the disk each second), in interleaved pairs on the same mail
// and receiver. Timed from the first commit to the last, because a first holder at a Redis waits out the
// lock-delay before it begins.
import { Redis } from "ioredis";
import { keyOfLock, lockKeyFor } from "../../src/redis/keys.ts";
import { startTestDaemon } from "../../test/support/daemon.ts";
import { startDovecot } from "../../test/support/dovecot.ts";
import { startRedis } from "../../test/support/redis.ts";
import { cpuSeconds, peakRssMiB } from "../support/process-cost.ts";
import { type Settling, watchOwnReceipts, watchSettling } from "../support/receipts.ts";
import { type BenchChild, startChild } from "./child.ts";
import { benchMessages } from "./mailbox.ts";
import type { ReceiverReport } from "./receiver-process.ts";
import { type Section, median, number, table } from "./report.ts";

const PAIRS = 3;
const USER = "bench";
/** More than a lock-delay. */
const STALL_MS = 40_000;
/** The least share of the daemon's own rate that it must keep with Redis. */
const LEAST_SHARE = 0.7;
const DURABLE = ["--appendonly", "yes", "--appendfsync", "everysec"];
const STATE_KEY = keyOfLock(lockKeyFor("render_signal:poller_lock", "default"), "state");

interface Setup {
  port: number;
  password: string;
  messages: number;
  receiver: BenchChild<ReceiverReport>;
}

interface Run {
  perSecond: number;
  cpuSeconds: number;
  /** Of the Redis server; 0 without one. */
  redisCpuSeconds: number;
  peakRssMiB: number;
  /** What is wrong with it, if anything. */
  problem: string | null;
}

const startDaemon = ({ port, password, receiver }: Setup, redisUrl: string | null) =>
  startTestDaemon({
    mailboxes: [{ port, user: USER, password, start_from: "beginning" }],
    webhook: { url: `http://127.0.0.1:${receiver.greeting.port}/hook` },
    polling: { interval_seconds: 30 },
    logLevel: "info",
    top: { redis_url: redisUrl },
  });

/** Was every message committed and received exactly once? Clears the receiver for the next run. */
const problemOf = async (setup: Setup, { settled }: Settling): Promise<string | null> => {
  const { messages, receiver } = setup;
  const { requests, ids } = await receiver.ask("report");
  if (settled === messages && requests === messages && ids === messages) return null;
  return `redis: of ${messages} messages ${settled} were committed, ${requests} webhooks came in with ${ids} ids`;
};

const runAlone = async (setup: Setup): Promise<Run> => {
  await using daemon = await startDaemon(setup, null);
  const wait = { count: setup.messages, stallMs: STALL_MS };
  const settling = await watchOwnReceipts(daemon.dataDir, wait);
  return {
    perSecond: settling.perSecond,
    cpuSeconds: cpuSeconds(daemon.pid),
    redisCpuSeconds: 0,
    peakRssMiB: peakRssMiB(daemon.pid),
    problem: await problemOf(setup, settling),
  };
};

const runShared = async (setup: Setup): Promise<Run> => {
  await using redis = await startRedis({ args: DURABLE });
  const client = new Redis(redis.url);
  try {
    await using daemon = await startDaemon(setup, redis.url);
    const delivered = async (): Promise<number> =>
      Number((await client.hget(STATE_KEY, "count:delivered")) ?? 0);
    const settling = await watchSettling(delivered, { count: setup.messages, stallMs: STALL_MS });
    return {
      perSecond: settling.perSecond,
      cpuSeconds: cpuSeconds(daemon.pid),
      redisCpuSeconds: cpuSeconds(redis.pid),
      peakRssMiB: peakRssMiB(daemon.pid),
      problem: await problemOf(setup, settling),
    };
  } finally {
    client.disconnect();
  }
};

const rowOf = (name: string, runs: readonly Run[]): string[] => [
  name,
  ...runs.map(({ perSecond }) => number(perSecond)),
  number(median(runs.map(({ perSecond }) => perSecond))),
  runs.map((run) => number(run.cpuSeconds, 1)).join(" / "),
  runs.map((run) => number(run.redisCpuSeconds, 1)).join(" / "),
  runs.map((run) => number(run.peakRssMiB)).join(" / "),
];

const report = (messages: number, alone: readonly Run[], shared: readonly Run[]): Section => {
  const ratio = median(
    shared.map(({ perSecond }, pair) => perSecond / (alone[pair]?.perSecond ?? NaN)),
  );
  const problems = [...alone, ...shared].flatMap(({ problem }) => problem ?? []);
  const bar = `Redis / SQLite = ${number(ratio, 2)}, at least ${number(LEAST_SHARE, 2)} is asked for`;
  if (!(ratio >= LEAST_SHARE)) problems.push(`redis: ${bar}`);
  const pairs = alone.map((_, pair) => `pair ${pair + 1}`);
  const lines = [
    `Throughput with shared state, one mailbox of ${messages} messages (messages per second)`,
    "",
    ...table(
      ["state in", ...pairs, "median", "CPU seconds", "of Redis", "peak RSS, MiB"],
      [rowOf("SQLite", alone), rowOf("Redis", shared)],
    ),
    "",
    `Median of the pairs: ${bar}`,
  ];
  return { lines, problems };
};

/** Measures both; fails when a message was not received exactly once or Redis costs too much. */
export const benchRedis = async (messages: number): Promise<Section> => {
  await using dovecot = await startDovecot();
  await dovecot.deliver(USER, benchMessages(messages));
  await using receiver = await startChild<ReceiverReport>("receiver-process.ts");
  const { port, password } = dovecot;
  const setup: Setup = { port, password, messages, receiver };
  const alone: Run[] = [];
  const shared: Run[] = [];
  for (let pair = 0; pair < PAIRS; pair += 1) {
    // Turn about, so that neither is always the first; the first run of all also warms the server.
    if (pair % 2 === 0) alone.push(await runAlone(setup));
    shared.push(await runShared(setup));
    if (pair % 2 === 1) alone.push(await runAlone(setup));
  }
  return report(messages, alone, shared);
};
