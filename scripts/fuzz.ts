// Throws generated and mutated mail at everything that reads what strangers wrote: no case may throw,
// break a promise, take a turn of more than 200 ms of CPU, or come out in two ways. `npm run fuzz --
// --cases 1000000` does more than CI; a failure prints the command that repeats it, and exits 1.
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { MAILS_ARE } from "./fuzz/mails.ts";
import { type Failure, type TargetReport, runTarget } from "./fuzz/run-target.ts";
import type { FuzzTarget } from "./fuzz/target.ts";
import { TARGETS } from "./fuzz/targets.ts";
import { startWatchdog } from "./fuzz/watchdog.ts";

/** From so many cases on a second process is worth its start. */
const CASES_FOR_TWO = 100_000;

interface Options {
  cases: number;
  seed: number;
  targets: readonly FuzzTarget[];
  path: string | null;
}

/** What one process did. */
interface Report {
  targets: TargetReport[];
  peakRssMb: number;
}

const print = (line: string): void => void process.stdout.write(`${line}\n`);

const commandOf = (target: string, seed: number): string =>
  `npm run fuzz -- --only ${target} --seed ${seed}`;

const printFailure = ({ target, seed, path, input, error }: Failure): void => {
  print(`FAILED: ${target}, seed ${seed}, path ${path}`);
  print(`  input: ${input}`);
  print(`  ${error.split("\n").slice(0, 6).join("\n  ")}`);
  print(`  repeat: ${commandOf(target, seed)} --path ${path}`);
};

/** Runs the targets in this process, each with its share of the cases. */
const runHere = async ({ cases, seed, targets, path }: Options): Promise<Report> => {
  const weights = targets.reduce((sum, { weight }) => sum + weight, 0);
  const progress = startWatchdog(targets.map(({ name }) => commandOf(name, seed)));
  const reports: TargetReport[] = [];
  for (const [index, target] of targets.entries()) {
    progress.enter(index);
    const share = Math.max(1, Math.round((cases * target.weight) / weights));
    reports.push(await runTarget(target, { seed, cases: share, path }, progress));
  }
  await progress.stop();
  return { targets: reports, peakRssMb: process.resourceUsage().maxRSS / 1024 };
};

/** This script once more, as a process that sends its report instead of printing it. */
const start = ({ cases, seed, targets }: Options): ChildProcess => {
  const only = targets.map(({ name }) => name).join(",");
  const args = ["--only", only, "--cases", String(cases), "--seed", String(seed)];
  return fork(fileURLToPath(import.meta.url), args);
};

const reportOf = async (child: ChildProcess): Promise<Report> => {
  const ended = once(child, "exit").then(() => {
    throw new Error("a process of the fuzz ended before it told anything");
  });
  const [report] = (await Promise.race([once(child, "message"), ended])) as [Report];
  return report;
};

const merged = (reports: readonly Report[]): Report => ({
  peakRssMb: Math.max(...reports.map(({ peakRssMb }) => peakRssMb)),
  targets: [
    ...Map.groupBy(
      reports.flatMap(({ targets }) => targets),
      ({ name }) => name,
    ),
  ].map(([name, same]) => ({
    name,
    cases: same.reduce((sum, one) => sum + one.cases, 0),
    seconds: same.reduce((sum, one) => sum + one.seconds, 0),
    longestTurnMs: Math.max(...same.map(({ longestTurnMs }) => longestTurnMs)),
    failure: same.find(({ failure }) => failure !== null)?.failure ?? null,
  })),
});

/** Shares the cases between two processes; when one dies, the other is ended too. */
const runInTwo = async (options: Options): Promise<Report> => {
  const half = { ...options, cases: Math.ceil(options.cases / 2) };
  const children = [start(half), start({ ...half, seed: options.seed + 1 })];
  try {
    return merged(await Promise.all(children.map(reportOf)));
  } finally {
    for (const child of children) child.kill();
  }
};

const runAll = async (options: Options): Promise<boolean> => {
  const { cases, seed, path } = options;
  const isForTwo = cases > CASES_FOR_TWO && path === null && availableParallelism() > 1;
  print(`seed ${seed}, ${cases} cases, ${MAILS_ARE}`);
  const startMs = performance.now();
  const { targets, peakRssMb } = await (isForTwo ? runInTwo(options) : runHere(options));
  const seconds = (performance.now() - startMs) / 1000;
  for (const { name, cases: ran, seconds: took, longestTurnMs } of targets) {
    const perSecond = (ran / took).toFixed(0).padStart(7);
    const turn = longestTurnMs.toFixed(0).padStart(4);
    print(
      `${name.padEnd(12)} ${String(ran).padStart(8)} cases ${perSecond}/s  longest turn ${turn} ms`,
    );
  }
  const failures = targets.flatMap(({ failure }) => failure ?? []);
  for (const failure of failures) printFailure(failure);
  const total = targets.reduce((sum, one) => sum + one.cases, 0);
  const longest = Math.max(...targets.map(({ longestTurnMs }) => longestTurnMs));
  print(
    `${total} cases, ${(total / seconds).toFixed(0)}/s in ${seconds.toFixed(1)} s, ` +
      `longest turn ${longest.toFixed(0)} ms, peak RSS ${peakRssMb.toFixed(0)} MB, ` +
      `${targets.length - failures.length} targets passed, ${failures.length} failed`,
  );
  return failures.length === 0;
};

const { values } = parseArgs({
  options: {
    cases: { type: "string", default: "20000" },
    seed: { type: "string", default: String(Date.now() % 2 ** 31) },
    only: { type: "string", default: TARGETS.map(({ name }) => name).join(",") },
    path: { type: "string" },
  },
});

const asked = values.only.split(",");
const options: Options = {
  cases: Number(values.cases),
  seed: Number(values.seed),
  targets: TARGETS.filter(({ name }) => asked.includes(name)),
  path: values.path ?? null,
};

const isWrong =
  !Number.isSafeInteger(options.cases) ||
  options.cases < 1 ||
  !Number.isSafeInteger(options.seed) ||
  asked.some((name) => !TARGETS.some((target) => target.name === name)) ||
  (options.path !== null && options.targets.length !== 1);

if (isWrong) {
  const names = TARGETS.map(({ name }) => name).join(",");
  process.stderr.write(
    `usage: npm run fuzz -- [--cases N] [--seed S] [--only ${names}] [--path P, with one target]\n`,
  );
  process.exitCode = 64;
} else if (process.send === undefined) process.exitCode = (await runAll(options)) ? 0 : 1;
else {
  process.send(await runHere(options));
  process.disconnect();
}
