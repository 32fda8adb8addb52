// Throughput on one mailbox: Signalpost, the loop that a user would write, and the wire, in interleaved
// pairs on the same server, mail and receiver. Signalpost is timed from the line that says it runs
// (before log-in) until its store has settled every message; the loop from before log-in to its last
// answer. CPU and memory are those of the whole process from its first instruction.
import { startTestDaemon } from "../../test/support/daemon.ts";
import { startDovecot } from "../../test/support/dovecot.ts";
import { cpuSeconds, peakRssMiB } from "../support/process-cost.ts";
import { waitUntilSettled } from "../support/receipts.ts";
import { type BenchChild, startChild } from "./child.ts";
import { benchMessages } from "./mailbox.ts";
import type { ReceiverReport } from "./receiver-process.ts";
import { type Section, median, number, table } from "./report.ts";
import type { LoopReport } from "./user-loop.ts";
import { readWire } from "./wire.ts";

const PAIRS = 3;
const USER = "bench";
const STALL_MS = 30_000;

interface Setup {
  port: number;
  password: string;
  messages: number;
  receiver: BenchChild<ReceiverReport>;
}

interface Run {
  perSecond: number;
  cpuSeconds: number;
  peakRssMiB: number;
  /** What is wrong with it, if anything. */
  problem: string | null;
}

const webhookUrl = ({ receiver }: Setup): string =>
  `http://127.0.0.1:${receiver.greeting.port}/hook`;

/** Was every message received exactly once? Clears the receiver for the next run. */
const problemOf = async (setup: Setup, done: number): Promise<string | null> => {
  const { messages, receiver } = setup;
  const { requests, ids } = await receiver.ask("report");
  if (done === messages && requests === messages && ids === messages) return null;
  return `of ${messages} messages ${done} were done, ${requests} webhooks came in with ${ids} ids`;
};

const runSignalpost = async (setup: Setup): Promise<Run> => {
  const { port, password, messages } = setup;
  await using daemon = await startTestDaemon({
    mailboxes: [{ port, user: USER, password, start_from: "beginning" }],
    webhook: { url: webhookUrl(setup) },
    polling: { interval_seconds: 30 },
    logLevel: "info",
  });
  const startMs = performance.now();
  const settled = await waitUntilSettled(daemon.dataDir, messages, STALL_MS);
  const seconds = (performance.now() - startMs) / 1000;
  const cost = { cpuSeconds: cpuSeconds(daemon.pid), peakRssMiB: peakRssMiB(daemon.pid) };
  const problem = await problemOf(setup, settled);
  return { perSecond: settled / seconds, ...cost, problem };
};

const runLoop = async (setup: Setup): Promise<Run> => {
  const args = [String(setup.port), USER, setup.password, webhookUrl(setup)];
  await using loop = await startChild<LoopReport>("user-loop.ts", args);
  const { seconds, messages } = await loop.ask("go");
  const cost = { cpuSeconds: cpuSeconds(loop.pid), peakRssMiB: peakRssMiB(loop.pid) };
  return { perSecond: messages / seconds, ...cost, problem: await problemOf(setup, messages) };
};

const runWire = async ({ port, password, messages }: Setup): Promise<number> => {
  const { seconds } = await readWire({ port, user: USER, password });
  return messages / seconds;
};

const runPairs = async (setup: Setup) => {
  const ours: Run[] = [];
  const loops: Run[] = [];
  const wires: number[] = [];
  // Once before anything counts, so that the server has read and indexed its files.
  await runWire(setup);
  for (let pair = 0; pair < PAIRS; pair += 1) {
    if (pair % 2 === 0) ours.push(await runSignalpost(setup));
    loops.push(await runLoop(setup));
    if (pair % 2 === 1) ours.push(await runSignalpost(setup));
    wires.push(await runWire(setup));
  }
  return { ours, loops, wires };
};

const rowOf = (name: string, runs: readonly Run[]): string[] => [
  name,
  ...runs.map(({ perSecond }) => number(perSecond)),
  number(median(runs.map(({ perSecond }) => perSecond))),
  runs.map((run) => number(run.cpuSeconds, 1)).join(" / "),
  runs.map((run) => number(run.peakRssMiB)).join(" / "),
];

/** Measures `messages` messages; fails when one was not received exactly once. */
export const benchThroughput = async (messages: number): Promise<Section> => {
  await using dovecot = await startDovecot();
  await dovecot.deliver(USER, benchMessages(messages));
  await using receiver = await startChild<ReceiverReport>("receiver-process.ts");
  const { port, password } = dovecot;
  const { ours, loops, wires } = await runPairs({ port, password, messages, receiver });
  const ratio = (others: readonly number[]): string =>
    number(median(ours.map(({ perSecond }, pair) => perSecond / (others[pair] ?? NaN))), 2);
  const pairs = ours.map((_, pair) => `pair ${pair + 1}`);
  const lines = [
    `Throughput, one mailbox of ${messages} messages (messages per second)`,
    "",
    ...table(
      ["", ...pairs, "median", "CPU seconds", "peak RSS, MiB"],
      [
        rowOf("(a) Signalpost", ours),
        rowOf("(b) imapflow + mailparser + fetch", loops),
        ["(c) the wire", ...wires.map((one) => number(one)), number(median(wires)), "", ""],
      ],
    ),
    "",
    `Median of the pairs: (a)/(b) = ${ratio(loops.map(({ perSecond }) => perSecond))}, (a)/(c) = ${ratio(wires)}`,
  ];
  const problems = [...ours, ...loops].flatMap(({ problem }) => problem ?? []);
  return { lines, problems };
};
