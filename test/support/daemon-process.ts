// One process of `bin/signalpost` and the JSON lines it prints, kept and searched. Knows nothing of the
// configuration; it ends its child when this process ends first. Used by daemon.ts.
import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

const LAUNCHER = fileURLToPath(new URL("../../bin/signalpost", import.meta.url));
const SCALED = fileURLToPath(new URL("scaled-daemon.ts", import.meta.url));

/** One line of the log. */
export interface LogLine {
  time: string;
  level: string;
  event: string;
  [field: string]: unknown;
}

/** How a process ended. */
export interface ProcessEnd {
  code: number | null;
  signal: NodeJS.Signals | null;
}

/** An empty log: lines as they come in, and those who wait for one. */
export const createDaemonLog = () => {
  const lines: LogLine[] = [];
  const looks = new Set<() => void>();
  let rest = "";
  const wake = (): void => {
    for (const look of looks) look();
  };
  return {
    lines,
    wake,
    /** A new process speaks: half a line of one that was killed is nothing. */
    begin(): void {
      rest = "";
    },
    take(chunk: string): void {
      const parts = (rest + chunk).split("\n");
      rest = parts.pop() ?? "";
      for (const part of parts) if (part !== "") lines.push(JSON.parse(part) as LogLine);
      wake();
    },
    /** The first line from `from` on that `isWanted`; `failure` tells why to wait no longer. */
    find(wait: {
      from: number;
      isWanted: (line: LogLine) => boolean;
      timeoutMs: number;
      failure: () => string | null;
      /** What the error says, asked for when it is too late. */
      late: () => string;
    }): Promise<LogLine> {
      return new Promise((resolve, reject) => {
        let at = wait.from;
        const end = (act: () => void): void => {
          clearTimeout(timer);
          looks.delete(look);
          act();
        };
        const look = (): void => {
          for (; at < lines.length; at += 1) {
            const line = lines[at];
            if (line !== undefined && wait.isWanted(line)) return end(() => resolve(line));
          }
          const failure = wait.failure();
          if (failure !== null) end(() => reject(new Error(failure)));
        };
        const timer = setTimeout(() => end(() => reject(new Error(wait.late()))), wait.timeoutMs);
        looks.add(look);
        look();
      });
    },
  };
};

/** One process: its handle, and its end once its output is read to the last line. */
export interface Running {
  child: ChildProcess;
  exit: Promise<ProcessEnd>;
  end: ProcessEnd | null;
}

/**
 * Starts `bin/signalpost` with `argv`; `heard` gets what it prints and its end. With a `scale` it is the
 * daemon alone, whose lease and cluster run at that scale.
 */
export const spawnSignalpost = (
  argv: readonly string[],
  where: { dir: string; env: Readonly<Record<string, string>>; scale?: number },
  heard: { out(chunk: string): void; err(chunk: string): void; ended(): void },
): Running => {
  const path = { PATH: process.env["PATH"] ?? "" };
  const { scale } = where;
  const command: [string, readonly string[]] =
    scale === undefined ? [LAUNCHER, argv] : [process.execPath, [SCALED, String(scale), ...argv]];
  const child = spawn(...command, {
    cwd: where.dir,
    env: { ...path, ...where.env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  child.stdout.setEncoding("utf8").on("data", heard.out);
  child.stderr.setEncoding("utf8").on("data", heard.err);
  const endHard = (): void => void child.kill("SIGKILL");
  process.once("exit", endHard);
  const exit = new Promise<ProcessEnd>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => {
      process.off("exit", endHard);
      running.end = { code, signal };
      resolve(running.end);
      heard.ended();
    });
  });
  const running: Running = { child, exit, end: null };
  return running;
};
