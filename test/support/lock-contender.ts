// Drives real processes that contend for a lock: lock-holder.ts, which is our own, and Python's
// fcntl.flock and SET NX, which are those of the service that this one replaces. Whoever starts one ends
// it.
import { type ChildProcessWithoutNullStreams, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

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

/** Our own lock on `path`, and on a Redis under the name of `owner`, in a process of its own. */
export const startContender = (path: string, redis?: { url: string; owner: string }): Contender => {
  const more = redis === undefined ? [] : [redis.url, redis.owner];
  return contend(spawn(process.execPath, [HOLDER, path, ...more]));
};

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

// SET … NX EX 300, as its client sends it.
const PYTHON_SET = `
import socket, sys
words = ["SET", "render_signal:poller_lock", "pid=123", "NX", "EX", "300"]
body = "".join("$%d\\r\\n%s\\r\\n" % (len(word), word) for word in words)
with socket.create_connection(("127.0.0.1", int(sys.argv[1])), 10) as connection:
    connection.sendall(("*%d\\r\\n%s" % (len(words), body)).encode())
    print(connection.recv(64).decode().strip())
`;

/** The Python service asks the Redis on this port for the lock; resolves with whether it got it. */
export const acquireAsPython = async (port: number): Promise<boolean> => {
  const words = ["-c", PYTHON_SET, String(port)];
  const { stdout } = await promisify(execFile)("python3", words);
  const reply = stdout.trim();
  if (reply !== "+OK" && reply !== "$-1") throw new Error(`Redis answered ${reply}`);
  return reply === "+OK";
};
