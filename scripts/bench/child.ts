// Children of the bench that are Node scripts of ours: started with `fork`, spoken to in one question
// and one answer, ended by their own handle. The receiver and the user's loop run in one each, so that
// neither shares an event loop with what is measured.
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

/** A child that has told that it is ready. */
export interface BenchChild<Answer> extends AsyncDisposable {
  readonly pid: number;
  /** What it told when it was ready. */
  readonly greeting: Answer;
  /** Sends a question and resolves with the next message that comes back. */
  ask(question: unknown): Promise<Answer>;
}

const nextMessage = async (child: ChildProcess): Promise<unknown> => {
  const ended = once(child, "exit").then(() => {
    throw new Error("a child of the bench ended before it answered");
  });
  const [answer] = (await Promise.race([once(child, "message"), ended])) as unknown[];
  return answer;
};

/** Starts `scripts/bench/<name>` and waits until it is ready; `Answer` is what it answers. */
export const startChild = async <Answer>(
  name: string,
  args: readonly string[] = [],
): Promise<BenchChild<Answer>> => {
  const child = fork(fileURLToPath(new URL(name, import.meta.url)), args);
  const greeting = (await nextMessage(child)) as Answer;
  return {
    pid: child.pid ?? 0,
    greeting,
    ask: async (question) => {
      const answer = nextMessage(child);
      child.send(question as object);
      return (await answer) as Answer;
    },
    async [Symbol.asyncDispose]() {
      const exit = once(child, "exit");
      if (child.exitCode === null && child.kill("SIGKILL")) await exit;
    },
  };
};
