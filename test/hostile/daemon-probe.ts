// What a daemon costs, looked at from outside: its longest turn, and its memory above what it needs when
// it has nothing to do. Before each case its garbage is collected, so that what is left of one case hides
// nothing of the next. The parent calls `daemonProbe`; the child runs the half at the end.
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { isMainThread } from "node:worker_threads";
import { turnProbe } from "../../scripts/support/turn-probe.ts";
import type { TestDaemon } from "../support/daemon.ts";

/** Says that this process is the child. */
const VARIABLE = "COLLECTS_GARBAGE";

/** A signal that does nothing otherwise. */
const COLLECT = "SIGWINCH";

/** Long enough for a collection, and for a daemon to come to rest. */
const REST_MS = 250;

/** What may be left above idle of the case before; the system takes memory back when it likes. */
const LEFT_BYTES = 60_000_000;
const MAX_RESTS = 12;

/** A probe for one daemon. */
export interface DaemonProbe {
  /** Variables of the daemon's environment that put the probe into it. */
  env: Readonly<Record<string, string>>;
  /** What counts begins now, with the daemon at rest. */
  begin(daemon: TestDaemon): Promise<void>;
  /** Since `begin`: the highest memory above idle, the longest turn, and all octets that were read. */
  figures(daemon: TestDaemon): { peakBytes: number; turnMs: number; readBytes: number };
}

/** Octets that the process has read by any call, from sockets and from files. */
const readBytesOf = (pid: number): number =>
  Number(/^rchar: (\d+)$/m.exec(readFileSync(`/proc/${pid}/io`, "utf8"))?.[1]);

/** A probe that tells of turns through `file`. */
export const daemonProbe = (file: string): DaemonProbe => {
  const turns = turnProbe(file);
  let firstIdleBytes: number | null = null;
  let idleBytes = 0;
  let readBefore = 0;
  return {
    env: {
      ...turns.env,
      NODE_OPTIONS: `${turns.env["NODE_OPTIONS"]} --import=${import.meta.url}`,
      [VARIABLE]: "yes",
    },
    async begin(daemon) {
      for (let rests = 0; rests < MAX_RESTS; rests += 1) {
        process.kill(daemon.pid, COLLECT);
        await sleep(REST_MS);
        idleBytes = daemon.rssBytes();
        firstIdleBytes ??= idleBytes;
        if (idleBytes <= firstIdleBytes + LEFT_BYTES) break;
      }
      // What it never gives back counts.
      idleBytes = Math.min(idleBytes, (firstIdleBytes ?? idleBytes) + LEFT_BYTES);
      daemon.resetPeak();
      turns.begin(daemon.pid);
      readBefore = readBytesOf(daemon.pid);
      // The signal is taken between two turns.
      await sleep(50);
    },
    figures: (daemon) => ({
      peakBytes: daemon.peakRssBytes() - idleBytes,
      turnMs: turns.largestMs() ?? Infinity,
      readBytes: readBytesOf(daemon.pid) - readBefore,
    }),
  };
};

const collectOnSignal = (): void => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as (options: object) => void;
  process.on(COLLECT, () => collect({ type: "major", execution: "sync", flavor: "last-resort" }));
};

if (process.env[VARIABLE] !== undefined && isMainThread) collectOnSignal();
