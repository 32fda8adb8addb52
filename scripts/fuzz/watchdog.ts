// Ends a fuzz that hangs: a thread beside the main one that sees when a case does not end, prints how to
// repeat it and kills the process, which could not do so itself any more.
import { writeSync } from "node:fs";
import { Worker, isMainThread, workerData } from "node:worker_threads";

/** No case may take so long, on the slowest machine. */
const STUCK_MS = 60_000;
const LOOK_MS = 1000;

/** Which case is being run. */
export interface Progress {
  /** The cases are those of this target from now on, counted from 0. */
  enter(target: number): void;
  /** A case begins, or is tried again. */
  begin(index: number): void;
  stop(): Promise<void>;
}

interface Watched {
  /** What repeats a case of each target, but for the case. */
  repeats: readonly string[];
  /** Target, case, and how many cases have begun. */
  cells: Int32Array<SharedArrayBuffer>;
}

/** Watches this thread until it is stopped; `repeats` has a command line for each target. */
export const startWatchdog = (repeats: readonly string[]): Progress => {
  const cells = new Int32Array(new SharedArrayBuffer(12));
  const watched: Watched = { repeats, cells };
  const worker = new Worker(new URL(import.meta.url), { workerData: watched });
  return {
    enter: (target) => void Atomics.store(cells, 0, target),
    begin: (index) => {
      Atomics.store(cells, 1, index);
      Atomics.add(cells, 2, 1);
    },
    stop: async () => void (await worker.terminate()),
  };
};

const watch = ({ repeats, cells }: Watched): void => {
  let seen = -1;
  let stillMs = 0;
  setInterval(() => {
    const begun = Atomics.load(cells, 2);
    stillMs = begun === seen ? stillMs + LOOK_MS : 0;
    seen = begun;
    if (stillMs < STUCK_MS) return;
    const command = `${repeats[Atomics.load(cells, 0)]} --path ${Atomics.load(cells, 1)}`;
    writeSync(2, `FAILED: a case did not end in ${STUCK_MS / 1000} s\n  repeat: ${command}\n`);
    process.kill(process.pid, "SIGKILL");
  }, LOOK_MS);
};

if (!isMainThread) watch(workerData as Watched);
