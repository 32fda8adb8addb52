// The program as a process: its streams and exit code, and a reader that goes away. Each test runs the
// entry file in a child that ends by itself.
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import packageJson from "../../package.json" with { type: "json" };

const MAIN = fileURLToPath(new URL("main.ts", import.meta.url));
const runFile = promisify(execFile);

describe("main", () => {
  test("prints the version of package.json to standard output and ends with 0", async () => {
    const { stdout, stderr } = await runFile(process.execPath, [MAIN, "version", "--json"]);
    expect(JSON.parse(stdout)).toEqual({ version: packageJson.version, node: process.version });
    expect(stderr).toBe("");
  });

  test("tells a usage error on standard error and ends with 64", async () => {
    await expect(runFile(process.execPath, [MAIN, "bogus"])).rejects.toMatchObject({
      code: 64,
      stdout: "",
      stderr: "signalpost: Unknown command 'bogus'. See 'signalpost help'.\n",
    });
  });

  test("ends with 0 when nobody reads its output", async () => {
    const child = spawn(process.execPath, [MAIN, "help"], { stdio: ["ignore", "pipe", "inherit"] });
    child.stdout.destroy();
    const [code] = (await once(child, "exit")) as [number | null];
    expect(code).toBe(0);
  });
});
