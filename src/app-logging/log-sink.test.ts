// Checks the log sink against real pipes, in child processes: a reader that keeps up gets every line, one
// that is stuck or gone costs lines and never the event loop, and the end is never held up.
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { describe, expect, test } from "vitest";

const url = (path: string): string => JSON.stringify(new URL(path, import.meta.url).href);

/** Runs a program with the sink in scope as `sink` and the count as `dropped`; tells by file 3. */
const start = (program: string): ChildProcess => {
  const source = `
    import { writeSync } from "node:fs";
    import { createLogSink } from ${url("./log-sink.adapter.ts")};
    import { exitProcess } from ${url("../daemon/system.adapter.ts")};
    let dropped = 0;
    const sink = createLogSink({ onDropped: () => { dropped += 1; } });
    const tell = (value) => writeSync(3, JSON.stringify(value));
    ${program}`;
  return spawn(process.execPath, ["--input-type=module", "-e", source], {
    stdio: ["ignore", "pipe", "inherit", "pipe"],
  });
};

const readAll = async (child: ChildProcess, fd: 1 | 3): Promise<string> => {
  let text = "";
  for await (const chunk of child.stdio[fd] as AsyncIterable<Buffer>) text += chunk.toString();
  return text;
};

const exitCode = async (child: ChildProcess): Promise<unknown> => (await once(child, "exit"))[0];

describe("the log sink", () => {
  test("writes every line to a reader that keeps up, before the end resolves", async () => {
    const child = start(`
      for (let n = 0; n < 5000; n += 1) sink.writeLog('{"n":' + n + "}");
      await sink.end();
      tell(dropped);
      exitProcess(0);`);
    const [out, dropped, code] = await Promise.all([
      readAll(child, 1),
      readAll(child, 3),
      exitCode(child),
    ]);
    expect(
      out
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line).n),
    ).toEqual(Array.from({ length: 5000 }, (_, n) => n));
    expect([dropped, code]).toEqual(["0", 0]);
  });

  test("drops and counts lines while its reader is stuck; the loop goes on and the end comes", async () => {
    const child = start(`
      const line = "x".repeat(1023);
      let turns = 0;
      for (; turns < 50; turns += 1) {
        for (let n = 0; n < 100; n += 1) sink.writeLog(line);
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
      await sink.end();
      tell({ turns, dropped });
      exitProcess(7);`);
    const [told, code] = await Promise.all([readAll(child, 3), exitCode(child)]);
    child.stdout?.destroy();
    const { turns, dropped } = JSON.parse(told);
    expect([turns, code]).toEqual([50, 7]);
    // 5,000 KiB were written; the buffer holds 1,024 and the pipe and its reader's stream some more.
    expect(dropped).toBeGreaterThan(3000);
    expect(dropped).toBeLessThan(4000);
  });

  test("writes again once its reader is back", async () => {
    const child = start(`
      const line = "x".repeat(1023);
      for (let n = 0; n < 3000; n += 1) sink.writeLog(line);
      tell(dropped);
      let before;
      do {
        await new Promise((resolve) => setTimeout(resolve, 5));
        before = dropped;
        sink.writeLog("back");
      } while (dropped > before);
      await sink.end();
      exitProcess(0);`);
    // Nothing is read before the child has told how much it had to drop.
    const [told] = await once(child.stdio[3] as NodeJS.ReadableStream, "data");
    const [out, code] = await Promise.all([readAll(child, 1), exitCode(child)]);
    expect(Number(told)).toBeGreaterThan(0);
    expect(code).toBe(0);
    expect(out.trimEnd().split("\n").at(-1)).toBe("back");
  });

  test("outlives a reader that is gone", async () => {
    const child = start(`
      for (let n = 0; n < 20; n += 1) {
        sink.writeLog("{}");
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      await sink.end();
      tell(dropped);
      exitProcess(0);`);
    child.stdout?.destroy();
    const [told, code] = await Promise.all([readAll(child, 3), exitCode(child)]);
    expect(code).toBe(0);
    expect(JSON.parse(told)).toBeGreaterThan(0);
  });

  test("ends at once when nothing was written, and takes no line afterwards", async () => {
    const child = start(`
      await sink.end();
      await sink.end();
      sink.writeLog("{}");
      tell(dropped);
      exitProcess(0);`);
    const [out, told, code] = await Promise.all([
      readAll(child, 1),
      readAll(child, 3),
      exitCode(child),
    ]);
    expect([out, told, code]).toEqual(["", "1", 0]);
  });
});
