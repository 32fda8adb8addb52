// Drives real processes that contend for a lock file: lock-holder.ts, which is our own lock, and Python's
// fcntl.flock, which is the lock of the service that this one replaces. Whoever starts one ends it.
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

/** A process that contends for a lock. */
export interface Contender {
  /** Sends one command and resolves with its answer. */
  ask(command: "acquire" | "assert" | "release"): Promise<Record<string, unknown>>;
  /** Sends a signal; with SIGKILL it resolves when the process is gone. */
  kill(signal: "SIGKILL" | "SIGSTOP" | "SIGCONT"): Promise<void>;
}

const contend = (child: ChildProcessWithoutNullStreams): Contender => {
  const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const gone = once(child, "exit");
  return {
    async ask(command) {
      child.stdin.write(`${command}\n`);
      const { value, done } = await answers.next();
      if (done === true) throw new Error("the contender ended without an answer");
      return JSON.parse(value) as Record<string, unknown>;
    },
    async kill(signal) {
      child.kill(signal);
      if (signal === "SIGKILL") await gone;
    },
  };
};

const HOLDER = fileURLToPath(new URL("./lock-holder.ts", import.meta.url));

/** Our own lock on `path`, in a process of its own. */
export const startContender = (path: string): Contender =>
  contend(spawn(process.execPath, [HOLDER, path]));

// As the Python service does it: open for writing, LOCK_EX | LOCK_NB, kept until the file is closed.
const PYTHON = `
import fcntl, json, sys
held = None
for line in sys.stdin:
    command = line.strip()
    if command == "acquire":
        handle = open(sys.argv[1], "a+")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held, answer = handle, {"kind": "held"}
        except BlockingIOError:
            handle.close()
            answer = {"kind": "refused"}
    else:
        if held: held.close()
        held, answer = None, {"kind": "released"}
    print(json.dumps(answer), flush=True)
`;

/** Python's lock on `path`, in a process of its own. */
export const startPythonContender = (path: string): Contender =>
  contend(spawn("python3", ["-c", PYTHON, path]));
