// Checks the watchdog on the event loop with real processes: one whose loop is stuck ends with 70, one
// that was only stopped or busy for a moment lives on.
import { spawn, type ChildProcessWithoutNullStreams } from "node:child_process";
import { once } from "node:events";
import { afterEach, describe, expect, test } from "vitest";
import { watchEventLoop } from "../../src/resilience/event-loop.adapter.ts";

const ADAPTER = JSON.stringify(
  new URL("../../src/resilience/event-loop.adapter.ts", import.meta.url).href,
);

const children: ChildProcessWithoutNullStreams[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
});

const start = (program: string): ChildProcessWithoutNullStreams => {
  const source = `import { watchEventLoop } from ${ADAPTER};\n${program}`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", source]);
  children.push(child);
  return child;
};

const textOf = async (stream: AsyncIterable<Buffer>): Promise<string> => {
  let text = "";
  for await (const chunk of stream) text += chunk.toString();
  return text;
};

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

describe("the watchdog on the event loop", { tags: ["resilience"] }, () => {
  test("ends a process whose loop is stuck with 70, after one line on standard error", async () => {
    const child = start(`
      watchEventLoop({ maxTicks: 2 });
      setTimeout(() => { for (;;); }, 100);`);
    const [errors, [code]] = await Promise.all([textOf(child.stderr), once(child, "exit")]);
    expect(code).toBe(70);
    const lines = errors.trimEnd().split("\n");
    expect(lines).toHaveLength(1);
    expect(JSON.parse(lines[0] ?? "")).toMatchObject({
      level: "error",
      event: "daemon.wedged",
      stillTicks: 2,
    });
  });

  test("lets a process live that was stopped for longer than the limit", async () => {
    const child = start(`
      watchEventLoop({ maxTicks: 2 });
      process.stdin.on("data", () => process.exit(0));
      setTimeout(() => process.stdout.write("ready"), 1500);`);
    await once(child.stdout, "data");
    child.kill("SIGSTOP");
    await sleep(4000);
    child.kill("SIGCONT");
    await sleep(1500);
    child.stdin.write("end");
    const [code, signal] = await once(child, "exit");
    expect([code, signal]).toEqual([0, null]);
  });

  test("keeps no process alive", async () => {
    const child = start("watchEventLoop({ maxTicks: 30 });");
    const [code] = await once(child, "exit");
    expect(code).toBe(0);
  });

  test("measures the largest delay since it was last asked", async () => {
    const watch = watchEventLoop({ maxTicks: 30 });
    try {
      await sleep(300);
      const before = performance.now();
      while (performance.now() - before < 1500);
      await sleep(300);
      const delaySeconds = watch.maxDelaySeconds();
      expect(delaySeconds).toBeGreaterThan(1);
      expect(watch.maxDelaySeconds()).toBeLessThan(delaySeconds);
    } finally {
      watch.stop();
    }
  });
});
