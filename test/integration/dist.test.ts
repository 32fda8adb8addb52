// The build for publishing: what `npm run build` emits must run from a package that holds no TypeScript
// (Node refuses to strip types inside node_modules). Builds into a folder of its own and starts it.
import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ROOT } from "../support/source-tree.ts";

const { version } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as {
  version: string;
};

let box = "";

beforeAll(() => {
  box = mkdtempSync(join(tmpdir(), "signalpost-dist-"));
  cpSync(join(ROOT, "package.json"), join(box, "package.json"));
  cpSync(join(ROOT, "bin"), join(box, "bin"), { recursive: true });
  symlinkSync(join(ROOT, "node_modules"), join(box, "node_modules"));
  const tsc = join(ROOT, "node_modules/.bin/tsc");
  const built = spawnSync(tsc, ["-p", "tsconfig.build.json", "--outDir", join(box, "dist")], {
    cwd: ROOT,
    encoding: "utf8",
  });
  if (built.status !== 0) throw new Error(`tsc did not build:\n${built.stdout}${built.stderr}`);
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
