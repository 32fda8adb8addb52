// Plants what src must not do and asks the linter, because a ban that never fires looks like one that
// holds. Uses the project's own .oxlintrc.json on a folder of its own.
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { ROOT } from "./support/source-tree.ts";

const BANNED = [
  "export const x = Date.now();",
  "export const x = new Date();",
  "export const x = performance.now();",
  "export const x = Math.random();",
  "export const { random } = Math;",
  "export const x = crypto.randomUUID();",
  'export { randomUUID } from "node:crypto";',
  'import * as all from "node:crypto";\nexport const x = all.randomUUID();',
  "setTimeout(() => {}, 1);",
  "setInterval(() => {}, 1);",
  "setImmediate(() => {});",
  "globalThis.setTimeout(() => {}, 1);",
  "export const x = AbortSignal.timeout(1);",
  'export const x = fetch("http://localhost");',
  'console.log("x");',
  "export const x = process.env;",
  'export { readFile } from "node:fs/promises";',
  'export { readFile } from "fs/promises";',
  'export { setTimeout } from "node:timers/promises";',
  'export { lookup } from "node:dns";',
  'export const x = await import("node:os");',
  'export { ImapFlow } from "imapflow";',
  'export { Redis } from "ioredis";',
  'import type { Socket } from "node:net";\nexport type X = Socket;',
  "export const x = (a: 1, b: 1, c: 1, d: 1) => [a, b, c, d];",
];

interface Finding {
  filename: string;
}

/** Lints one file a statement, named by `nameOf`; returns the names that were found fault with. */
const lintEach = (statements: readonly string[], nameOf: (index: number) => string): string[] => {
  const folder = mkdtempSync(join(tmpdir(), "signalpost-lint-"));
  try {
    mkdirSync(join(folder, "src"));
    copyFileSync(join(ROOT, ".oxlintrc.json"), join(folder, ".oxlintrc.json"));
    for (const [index, text] of statements.entries()) {
      writeFileSync(join(folder, nameOf(index)), `${text}\n`);
    }
    const oxlint = join(ROOT, "node_modules/.bin/oxlint");
    const { stdout } = spawnSync(oxlint, ["-f", "json", "src"], { cwd: folder, encoding: "utf8" });
    const { diagnostics } = JSON.parse(stdout) as { diagnostics: readonly Finding[] };
    return [...new Set(diagnostics.map(({ filename }) => filename))];
  } finally {
    rmSync(folder, { recursive: true });
  }
};

test("lint refuses time, chance and the outside in src", () => {
  const name = (index: number): string => `src/planted-${index}.ts`;
  const found = lintEach(BANNED, name);
  expect(BANNED.filter((_, index) => !found.includes(name(index)))).toEqual([]);
});

test("lint lets adapters reach the outside, but not the console", () => {
  const name = (index: number): string => `src/planted-${index}.adapter.ts`;
  const found = lintEach(BANNED, name);
  const refused = BANNED.filter((_, index) => found.includes(name(index)));
  expect(refused).toEqual(['console.log("x");', BANNED.at(-1)]);
});
