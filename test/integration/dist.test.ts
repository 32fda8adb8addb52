// The build for publishing: what `npm run build` emits must run from a package that holds no TypeScript
// (Node refuses to strip types inside node_modules), with its scripts for Redis. Builds into a folder of
// its own and starts it.
import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startRedis } from "../support/redis.ts";
import { ROOT } from "../support/source-tree.ts";

const { version, scripts } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as {
  version: string;
  scripts: { build: string };
};

let box = "";

beforeAll(() => {
  box = mkdtempSync(join(tmpdir(), "signalpost-dist-"));
  cpSync(join(ROOT, "package.json"), join(box, "package.json"));
  cpSync(join(ROOT, "bin"), join(box, "bin"), { recursive: true });
  symlinkSync(join(ROOT, "node_modules"), join(box, "node_modules"));
  // The very line of package.json, but for where it writes.
  const line = scripts.build.replaceAll(/\bdist\b/g, join(box, "dist"));
  const path = `${join(ROOT, "node_modules/.bin")}:${process.env["PATH"]}`;
  const built = spawnSync("bash", ["-c", line], {
    cwd: ROOT,
    env: { ...process.env, PATH: path },
    encoding: "utf8",
  });
  if (built.status !== 0) throw new Error(`it does not build:\n${built.stdout}${built.stderr}`);
});

afterAll(() => rmSync(box, { recursive: true, force: true }));

test("the built program tells its version", () => {
  const main = join(box, "dist/cli/main.js");
  expect(execFileSync(process.execPath, [main, "version"], { encoding: "utf8" })).toContain(
    version,
  );
});

test("the launcher of a package runs the built program", () => {
  const launcher = join(box, "bin/signalpost");
  expect(execFileSync(launcher, ["version"], { cwd: tmpdir(), encoding: "utf8" })).toContain(
    version,
  );
});

test("the build holds no tests", () => {
  const emitted = readdirSync(join(box, "dist"), { recursive: true, encoding: "utf8" });
  expect(emitted).toContain("cli/main.js");
  expect(emitted.filter((path) => /\.(test|contract)\./.test(path))).toEqual([]);
});

test("the watchdog's worker starts from the built code", () => {
  const adapter = pathToFileURL(join(box, "dist/resilience/event-loop.adapter.js")).href;
  const blocked = `import { watchEventLoop } from "${adapter}";
    watchEventLoop({ maxTicks: 1 });
    setTimeout(() => { for (;;); }, 1000);`;
  const { status } = spawnSync(process.execPath, ["--input-type=module", "-e", blocked], {
    timeout: 30_000,
  });
  expect(status).toBe(70);
});

test("the thread that parses messages starts from the built code", () => {
  const adapter = pathToFileURL(join(box, "dist/mail/raw/parse-in-worker.adapter.js")).href;
  const limits = pathToFileURL(join(box, "dist/core/limits.js")).href;
  const code = `import { createParseInWorker } from "${adapter}";
    import { DEFAULT_LIMITS } from "${limits}";
    const raw = new TextEncoder().encode("Subject: x\\r\\n\\r\\nhello");
    const { signal } = new AbortController();
    const { text } = await createParseInWorker()({ raw, cut: false }, DEFAULT_LIMITS, signal);
    console.log(text);`;
  const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", code], {
    encoding: "utf8",
    timeout: 30_000,
  });
  expect([stdout, stderr]).toEqual(["hello\n", ""]);
});

test("the built code runs its scripts for Redis", { tags: ["redis"] }, async () => {
  await using server = await startRedis();
  const adapter = pathToFileURL(join(box, "dist/redis/ioredis.adapter.js")).href;
  const code = `import { openRedis } from "${adapter}";
    const redis = openRedis({ url: "${server.url}", commandTimeoutMs: 5000 });
    for (const [name, keys, args] of [
      ["acquire", ["lock", "fence", "released", "state"], ["me", "60000", "0", ""]],
      ["renew", ["lock"], ["me:1:0", "me:1:1", "60000"]],
      ["read", [], ["2", "GET", "nothing"]],
      ["write", ["fence", "state"], ["", "", "", ""]],
      ["release", ["lock", "released"], ["me:", "0", "0"]],
    ]) console.log(name, JSON.stringify(await redis.script(name, keys, args)));
    await redis.close();`;
  const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", code], {
    encoding: "utf8",
    timeout: 30_000,
  });
  expect(stderr).toBe("");
  expect(stdout.split("\n")).toEqual([
    expect.stringMatching(/^acquire \[1,"\d+",0\]$/),
    expect.stringMatching(/^renew \[0,"me:\d+:0"\]$/),
    "read [null]",
    'write [1,"1","0"]',
    "release 1",
    "",
  ]);
});
