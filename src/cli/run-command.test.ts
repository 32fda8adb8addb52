// The dispatch: commands, help, usage errors and what an error looks like. Every command is reached
// through it, as the program does.
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { CONFIG, withWorkspace } from "../../test/support/cli-workspace.ts";
import { HELP } from "./commands/help.ts";

describe("runCommand", () => {
  test("prints the versions", async () => {
    await withWorkspace(async ({ run }) => {
      expect(await run("version")).toEqual({
        code: 0,
        out: "signalpost 1.2.3 (Node v24.0.0)",
        err: "",
      });
      const json = await run("--version", "--json");
      expect(JSON.parse(json.out)).toEqual({ version: "1.2.3", node: "v24.0.0" });
    });
  });

  test("names every command in its help", async () => {
    await withWorkspace(async ({ run }) => {
      const { code, out } = await run("--help");
      expect(code).toBe(0);
      for (const name of Object.keys(HELP)) expect(out).toContain(`\n  ${name} `);
    });
  });

  test("gives the same help to `help NAME` and `NAME --help`", async () => {
    await withWorkspace(async ({ run }) => {
      for (const name of Object.keys(HELP)) {
        const asked = await run("help", name);
        expect(asked.out).toContain(`usage: signalpost ${name}`);
        expect(await run(name, "--help")).toEqual(asked);
      }
    });
  });

  test.each([
    "",
    "bogus",
    "help bogus",
    "status --bogus",
    "status extra",
    "status --config",
    "parked",
    "parked bogus",
    "parked show",
    "parked drop",
    "parked drop evt_1 --all",
    "parked replay --all --destination default",
    "receipts --last 0",
    "receipts --uid 4294967296",
    "redeliver",
    "redeliver default",
    "redeliver default 1:5",
  ])("answers `signalpost %s` with 64 and one line", async (line) => {
    await withWorkspace(async ({ run, dataDir }) => {
      const { code, out, err } = await run(...line.split(" "));
      expect({ code, out }).toEqual({ code: 64, out: "" });
      expect(err).toMatch(/^signalpost: .+ See 'signalpost help[ a-z]*'\.$/);
      expect(existsSync(dataDir)).toBe(false);
    });
  });

  test("prints every problem of a bad configuration where it stands, and ends with 78", async () => {
    await withWorkspace(async ({ run, writeConfig }) => {
      writeConfig(CONFIG.replace("  url:", "  bogus: 1\n  url:").replace("host:", "hast:"));
      const { code, out, err } = await run("status");
      expect({ code, out }).toEqual({ code: 78, out: "" });
      expect(err.split("\n").length).toBeGreaterThan(1);
      expect(err).toMatch(/^signalpost\.yaml:8: webhook\.bogus: ./m);
      expect(err).not.toContain("pass-word-secret");
    });
  });

  test("reads the file that --config names, then SIGNALPOST_CONFIG, then the working directory's", async () => {
    await withWorkspace(async ({ run, env, dir, writeConfig }) => {
      writeConfig("mailboxes: 1\n");
      env["SIGNALPOST_CONFIG"] = "named-by-environment.yaml";
      const flagged = await run("status", "--config", "named-by-flag.yaml");
      expect(flagged.err).toMatch(/^named-by-flag\.yaml: ./);
      expect((await run("status")).err).toMatch(/^named-by-environment\.yaml: ./);
      env["SIGNALPOST_CONFIG"] = "";
      expect((await run("status")).err).toMatch(/^signalpost\.yaml:2: mailboxes: ./m);
      rmSync(join(dir, "signalpost.yaml"));
      expect((await run("status")).err).toMatch(/^environment: ./);
    });
  });

  test("prints a JSON Schema that describes the sections", async () => {
    await withWorkspace(async ({ run }) => {
      const { code, out } = await run("schema");
      expect(code).toBe(0);
      expect(JSON.parse(out)).toMatchObject({ properties: { mailboxes: {}, webhook: {} } });
    });
  });
});
