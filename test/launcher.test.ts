// The launcher: whose Node it becomes, and what it says when there is none. It is copied into a place of
// its own with small scripts that pretend to be Node, so that nothing depends on what this host has.
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ROOT } from "./support/source-tree.ts";

let place = "";

beforeEach(() => {
  place = mkdtempSync(join(tmpdir(), "signalpost-launcher-"));
  for (const folder of ["app/bin", "app/src/cli", "host"])
    mkdirSync(join(place, folder), { recursive: true });
  cpSync(join(ROOT, "bin/signalpost"), join(place, "app/bin/signalpost"));
  writeFileSync(join(place, "app/src/cli/main.ts"), "");
  for (const tool of ["sh", "dirname", "readlink"])
    symlinkSync(
      execFileSync("which", [tool], { encoding: "utf8" }).trim(),
      join(place, "host", tool),
    );
});

afterEach(() => rmSync(place, { recursive: true }));

/** A Node that is new enough or not, and otherwise tells its name and what it was given. */
const pretend = (path: string, isNew: boolean): void => {
  const file = join(place, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(
    file,
    `#!/bin/sh\n[ "$1" = -e ] && exit ${isNew ? 0 : 1}\necho ${path}\nfor one in "$@"; do echo "$one"; done\n`,
  );
  chmodSync(file, 0o755);
};

const launch = (env: Readonly<Record<string, string>> = {}): string[] =>
  execFileSync(join(place, "app/bin/signalpost"), ["run", "a b"], {
    env: { PATH: join(place, "host"), ...env },
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
  })
    .trimEnd()
    .split("\n");

const HOST = "host/node";
const OWN = "app/node_modules/node/bin/node";

describe("the launcher", () => {
  test.each([
    ["the host's Node when it is new enough", { host: true, own: true }, HOST],
    ["the project's own copy when the host's is older", { host: false, own: true }, OWN],
    ["the host's Node when the project has no copy that works", { host: true, own: false }, HOST],
  ])("becomes %s", (_, isNew, expected) => {
    pretend(HOST, isNew.host);
    pretend(OWN, isNew.own);
    const [who, ...args] = launch();
    expect(who).toBe(expected);
    expect(args.slice(-3)).toEqual([join(place, "app/src/cli/main.ts"), "run", "a b"]);
  });

  test("becomes the project's own copy when the host has none", () => {
    pretend(OWN, true);
    expect(launch()[0]).toBe(OWN);
  });

  test("ends with 78 and advice when there is no Node that is new enough", () => {
    pretend(HOST, false);
    let failure: unknown;
    try {
      // A variable of the same name is not taken for a Node that was found.
      launch({ node: join(place, HOST) });
    } catch (error) {
      failure = error;
    }
    expect(failure).toMatchObject({ status: 78, stderr: expect.stringContaining("npm install") });
  });
});
