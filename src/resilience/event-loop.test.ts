// Checks the watchdog on the event loop with real processes: one whose loop is stuck ends with 70, one
// that was only stopped or busy for a moment lives on.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { describe, expect, test } from "vitest";
import { watchEventLoop } from "./event-loop.adapter.ts";

const ADAPTER = JSON.stringify(new URL("./event-loop.adapter.ts", import.meta.url).href);

const start = (program: string) =>
  spawn(
    process.execPath,
    ["--input-type=module", "-e", `import { watchEventLoop } from ${ADAPTER};\n${program}`],
    { stdio: ["pipe", "pipe", "pipe"] },
  );

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
      const before = performance.now();
      while (performance.now() - before < 700);
      expect(watch.maxDelaySeconds()).toBeGreaterThan(0.4);
      expect(watch.maxDelaySeconds()).toBeLessThan(0.7);
      expect(watch.maxDelaySeconds()).toBeGreaterThanOrEqual(0);
    } finally {
      watch.stop();
    }
  });
});
