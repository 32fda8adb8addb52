// Measures the longest turn of another Node process from inside it, without a line in its source: the
// child is started with `--import` of this file. A turn is the main thread's CPU time between two ticks
// of a timer of 10 ms. The parent calls `turnProbe`; the child runs the half at the end.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { isMainThread } from "node:worker_threads";

const TICK_MS = 10;

/** Names the file in which the child keeps its largest turn. */
const VARIABLE = "TURN_PROBE_FILE";

/** A probe for one child. */
export interface TurnProbe {
  /** Variables of the child's environment that put the probe into it. */
  env: Readonly<Record<string, string>>;
  /** Forgets what start-up took: what counts begins now. */
  begin(pid: number): void;
  /** The largest turn since `begin`, in milliseconds of CPU; null when the child told nothing. */
  largestMs(): number | null;
}

/** A probe that tells through `file`. */
export const turnProbe = (file: string): TurnProbe => ({
  env: { NODE_OPTIONS: `--import=${import.meta.url}`, [VARIABLE]: file },
  begin: (pid) => void process.kill(pid, "SIGUSR2"),
  largestMs: () => (existsSync(file) ? Number(readFileSync(file, "utf8")) : null),
});

const measureThisProcess = (file: string): void => {
  const cpuMs = (): number => {
    const { user, system } = process.threadCpuUsage();
    return (user + system) / 1000;
  };
  let largestMs = Infinity;
  let lastMs = cpuMs();
  const tick = (): void => {
    const turnMs = cpuMs() - lastMs;
    if (turnMs > largestMs) {
      largestMs = turnMs;
      // Written at once: the process may end without running anything at its exit.
      writeFileSync(file, largestMs.toFixed(2));
    }
    lastMs = cpuMs();
  };
  setInterval(tick, TICK_MS).unref();
  process.on("SIGUSR2", () => {
    largestMs = 0;
    lastMs = cpuMs();
  });
};

const file = process.env[VARIABLE];
if (file !== undefined && isMainThread) measureThisProcess(file);
