// Checks the system's own time, chance, signals and exit, where a test can: the clocks against Node's,
// sleeps against their signal, and exits and signals with real processes.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { describe, expect, test } from "vitest";
import { hostId, systemClock, systemRandom } from "./system.adapter.ts";

const ADAPTER = JSON.stringify(new URL("./system.adapter.ts", import.meta.url).href);

/** Runs a program that has the adapter's exports; resolves with what it printed and how it ended. */
const runProgram = async (
  program: string,
  { signals = [], env = {} }: { signals?: NodeJS.Signals[]; env?: Record<string, string> } = {},
): Promise<{ text: string; code: number | null; signal: string | null }> => {
  const source = `import * as system from ${ADAPTER};\n${program}`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", source], {
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "ignore"],
  });
  const exited = once(child, "exit");
  let text = "";
  for await (const chunk of child.stdout) {
    text += String(chunk);
    const next = signals.shift();
    if (next !== undefined) child.kill(next);
  }
  const [code, signal] = await exited;
  return { text, code, signal };
};

describe("the system's clock", () => {
  test("counts milliseconds that never go back", () => {
    let last = systemClock.monoMs();
    for (let n = 0; n < 1000; n += 1) {
      const next = systemClock.monoMs();
      expect(next).toBeGreaterThanOrEqual(last);
      last = next;
    }
  });

  test("goes on while a timer runs", async () => {
    const startedMs = systemClock.monoMs();
    await systemClock.sleep(50);
    // A timer may fire up to a millisecond early by this clock.
    expect(systemClock.monoMs() - startedMs).toBeGreaterThan(48);
  });

  test("wakes a sleeper early when its signal aborts, and does not let it lie down after", async () => {
    const controller = new AbortController();
    const sleeping = systemClock.sleep(Infinity, controller.signal);
    controller.abort();
    await sleeping;
    await systemClock.sleep(3_600_000, controller.signal);
    expect(controller.signal.aborted).toBe(true);
  });

  test("does not take a very long sleep for none", async () => {
    const controller = new AbortController();
    const sleeping = systemClock.sleep(2 ** 31 + 1000, controller.signal);
    const nap = systemClock.sleep(20);
    expect(await Promise.race([sleeping.then(() => "slept"), nap.then(() => "napped")])).toBe(
      "napped",
    );
    controller.abort();
    await sleeping;
  });
});

describe("the system's random", () => {
  test("draws whole numbers below 2^32 and bytes, not the same twice", () => {
    const draws = Array.from({ length: 100 }, () => systemRandom.u32());
    expect(draws.every((n) => Number.isInteger(n) && n >= 0 && n < 2 ** 32)).toBe(true);
    expect(new Set(draws).size).toBeGreaterThan(95);
    expect(systemRandom.bytes(32)).toHaveLength(32);
    expect(systemRandom.bytes(32)).not.toEqual(systemRandom.bytes(32));
  });
});

describe("the id of the host", () => {
  test("is the same at each call and shows no host name", () => {
    expect(hostId()).toBe(hostId());
    expect(hostId()).toMatch(/^[0-9a-f]{32}$/);
  });

  test("is the one that the environment gives", async () => {
    const { text } = await runProgram("process.stdout.write(system.hostId())", {
      env: { SIGNALPOST_HOST_ID: "node-a" },
    });
    expect(text).toBe("node-a");
  });
});

describe("the end of the process", () => {
  test("comes at once with its code, without exit handlers", async () => {
    const { text, code } = await runProgram(`
      process.on("exit", () => process.stdout.write("handler"));
      system.exitProcess(75);`);
    expect([text, code]).toEqual(["", 75]);
  });

  test("comes as by kill -9 when it is killed", async () => {
    expect(await runProgram("system.killProcess();")).toMatchObject({
      code: null,
      signal: "SIGKILL",
    });
  });
});

describe("signals and uncaught errors", () => {
  test("reach their handlers", async () => {
    const { text, code } = await runProgram(
      `
      const timer = setInterval(() => {}, 1000);
      const off = system.onSignals({
        terminate() { process.stdout.write("terminate "); off(); clearInterval(timer); },
        reload() { process.stdout.write("reload "); },
      });
      process.stdout.write("ready ");`,
      { signals: ["SIGHUP", "SIGTERM"] },
    );
    expect([text, code]).toEqual(["ready reload terminate ", 0]);
  });

  test("hand over what was thrown, and what was rejected", async () => {
    const { text } = await runProgram(`
      system.onUncaught((error) => process.stdout.write(error.message + " "));
      setImmediate(() => { throw new Error("thrown"); });
      setImmediate(() => { void Promise.reject(new Error("rejected")); });`);
    expect(text.trim().split(" ").toSorted()).toEqual(["rejected", "thrown"]);
  });
});
