// The rules of the house as tests: who may import whom, how large things get, what every file owes its
// reader, and that the runbook knows every name the program prints. CONTRIBUTING.md explains the rules.
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { EVENTS } from "../src/app-logging/events.ts";
import { createMetrics } from "../src/app-logging/metrics.ts";
import { STEPS } from "../src/app-logging/step-timings.ts";
import { EXIT } from "../src/cli/terminal.ts";
import {
  ROOT,
  importsOf,
  isTest,
  projectFiles,
  readText,
  resolveImport,
} from "./support/source-tree.ts";

const RANKS: Readonly<Record<string, number>> = {
  core: 0,
  "app-logging": 1,
  resilience: 1,
  redis: 1,
  net: 2,
  store: 2,
  lock: 3,
  config: 3,
  mail: 3,
  rules: 3,
  webhook: 3,
  offload: 3,
  orchestrator: 4,
  poller: 4,
  http: 5,
  daemon: 6,
  cli: 7,
};

const OUTSIDE =
  /^(node:)?(fs|net|tls|dns|http|https|http2|dgram|child_process|cluster|worker_threads|sqlite|timers|perf_hooks|os|process|zlib|module|vm|v8|readline|inspector|async_hooks)(\/|$)|^(imapflow|undici|koffi|fastify|pino|ioredis|hoodiecrow-imap|mailparser|@zone-eu|@aws-sdk)(\/|$)/;

const MAX_LINES = 400;
const MAX_FILES = 10;

const files = projectFiles();
const typescript = files.filter((path) => path.endsWith(".ts"));
const sources = typescript.filter((path) => path.startsWith("src/"));
const shipped = sources.filter((path) => !isTest(path));
const tests = typescript.filter(isTest);
const markdown = files.filter((path) => /^([^/]+|docs\/.*)\.md$/.test(path));

/** `path:line: the line` for every line of these files that matches. */
const linesLike = (paths: readonly string[], pattern: RegExp): string[] =>
  paths.flatMap((path) =>
    readText(path)
      .split("\n")
      .flatMap((line, index) =>
        pattern.test(line) ? [`${path}:${index + 1}: ${line.trim()}`] : [],
      ),
  );

/** The anchors of a Markdown page's headings, as GitHub makes them. */
const anchorsOf = (page: string): string[] => {
  const seen = new Map<string, number>();
  return [...page.replaceAll(/^```[\s\S]*?^```/gm, "").matchAll(/^#{1,6} +(.+?)\s*$/gm)].map(
    ([, heading = ""]) => {
      const words = heading.toLowerCase().replaceAll(/[^\p{L}\p{N}_ -]/gu, "");
      const anchor = words.replaceAll(" ", "-");
      const times = seen.get(anchor) ?? 0;
      seen.set(anchor, times + 1);
      return times === 0 ? anchor : `${anchor}-${times}`;
    },
  );
};

const folderOf = (path: string): string => path.split("/")[1] ?? "";

const repeated = (names: readonly string[]): string[] =>
  names.filter((name, index) => names.indexOf(name) !== index);

describe("imports", () => {
  test("every form of import is seen", () => {
    const text = [
      'import { a,\n  b } from "./a.ts";',
      'import type { C } from "../c/c.ts";',
      'import "node:fs";',
      'export { d } from "d";',
      'const e = await import("e");',
    ].join("\n");
    expect(importsOf(text).toSorted()).toEqual(["../c/c.ts", "./a.ts", "d", "e", "node:fs"]);
  });

  test("every folder of src has a rank", () => {
    expect(sources.length).toBeGreaterThan(20);
    expect(sources.filter((path) => !(folderOf(path) in RANKS))).toEqual([]);
  });

  test("a folder imports only from lower ranks", () => {
    const rank = (path: string): number => RANKS[folderOf(path)] ?? Infinity;
    const wrong = sources.flatMap((path) =>
      importsOf(readText(path)).flatMap((specifier) => {
        const target = resolveImport(path, specifier);
        if (target === null || folderOf(target) === folderOf(path)) return [];
        if (!target.startsWith("src/")) return isTest(path) ? [] : [`${path} -> ${target}`];
        return rank(target) < rank(path) ? [] : [`${path} -> ${target}`];
      }),
    );
    expect(wrong).toEqual([]);
  });

  test("core imports nothing but itself and node:crypto", () => {
    const wrong = shipped
      .filter((path) => folderOf(path) === "core")
      .flatMap((path) => importsOf(readText(path)).map((specifier) => `${path} -> ${specifier}`))
      .filter((line) => !/ -> (\.\/[^/]+|node:crypto)$/.test(line));
    expect(wrong).toEqual([]);
  });

  test("only adapters reach the outside", () => {
    const wrong = shipped
      .filter((path) => !path.endsWith(".adapter.ts"))
      .flatMap((path) =>
        importsOf(readText(path))
          .filter((specifier) => OUTSIDE.test(specifier))
          .map((specifier) => `${path} -> ${specifier}`),
      );
    expect(wrong).toEqual([]);
  });

  test("only adapters format the present day", () => {
    const pure = shipped.filter((path) => !path.endsWith(".adapter.ts"));
    expect(linesLike(pure, /\.(format|formatToParts|toLocale\w*String)\(\s*\)/)).toEqual([]);
  });
});

describe("sizes", () => {
  test("no file is longer than the ceiling", () => {
    const long = typescript
      .map((path) => ({ path, lines: readText(path).trimEnd().split("\n").length }))
      .filter(({ lines }) => lines > MAX_LINES);
    expect(long).toEqual([]);
  });

  test("no folder holds more source files than the ceiling", () => {
    const counts = Map.groupBy(shipped, (path) => dirname(path));
    const full = [...counts].filter(([, inside]) => inside.length > MAX_FILES);
    expect(full.map(([folder, inside]) => `${folder}: ${inside.length}`)).toEqual([]);
  });
});

describe("what a file owes its reader", () => {
  test("every file begins with a comment about itself", () => {
    expect(typescript.filter((path) => !/^(#!.*\n)?\/[/*]/.test(readText(path)))).toEqual([]);
  });

  test("every script for Redis begins with a comment about itself", () => {
    const scripts = files.filter((path) => path.endsWith(".lua"));
    expect(scripts.length).toBeGreaterThan(0);
    expect(scripts.filter((path) => !readText(path).startsWith("-- "))).toEqual([]);
  });

  test("every export has a docblock", () => {
    const bare = shipped.flatMap((path) => {
      const lines = readText(path).split("\n");
      return lines.flatMap((line, index) =>
        /^export (?!\{|\*|type \{)/.test(line) && !lines[index - 1]?.trimEnd().endsWith("*/")
          ? [`${path}:${index + 1}: ${line}`]
          : [],
      );
    });
    expect(bare).toEqual([]);
  });

  test("no file re-exports another's names", () => {
    const reExport = /^export\s+(type\s+)?(\*|\{[^}]*\})[^;]*?\sfrom\s/m;
    expect(shipped.filter((path) => reExport.test(readText(path)))).toEqual([]);
  });

  test("no test title stands twice in a file", () => {
    const title = /\b(?:test|it)(?:\.[a-z]+)?\(\s*("(?:\\.|[^"\\])*"|`(?:\\.|[^`\\])*`)/g;
    const twice = tests.flatMap((path) =>
      repeated([...readText(path).matchAll(title)].map(([, text = ""]) => text)).map(
        (text) => `${path}: ${text}`,
      ),
    );
    expect(twice).toEqual([]);
  });

  test("nothing is unfinished, skipped or silenced", () => {
    const unfinished = /\b(TO[D]O|FIX[M]E|XX[X])\b/;
    const skipped = /\b(test|it|describe|suite|context|ctx)\.(skip|only|todo|fails|skipIf|runIf)\b/;
    const silenced = /@ts-(ignore|expect-error|nocheck)|(ox|es)lint-(disable)|v8 ignor[e]/;
    const scripts = files.filter((path) => /^(bin|scripts|\.ci)\//.test(path));
    expect(linesLike([...typescript, ...markdown, ...scripts], unfinished)).toEqual([]);
    expect(linesLike(typescript, skipped)).toEqual([]);
    expect(linesLike(typescript, silenced)).toEqual([]);
  });

  test("no file names a path of one machine or a package registry", () => {
    const local =
      /(^|[^\w.~])\/(work|root|home|Users)\/|registry\.npmjs|registry\.yarnpkg|deb\.debian/;
    const own = files.filter((path) => path !== "package-lock.json");
    expect(linesLike(own, local)).toEqual([]);
  });
});

describe("documentation", () => {
  const links = markdown.flatMap((path) =>
    [...readText(path).matchAll(/\]\(([^)\s]+)\)/g)]
      .map(([, target = ""]) => target)
      .filter((target) => !/^[a-z]+:/.test(target))
      .map((target) => {
        const [file = "", anchor = ""] = target.split("#");
        return { from: path, to: file === "" ? path : join(dirname(path), file), anchor };
      }),
  );

  test("every relative link leads to a file", () => {
    expect(links.length).toBeGreaterThan(20);
    const dead = links.filter(({ to }) => !existsSync(join(ROOT, to)));
    expect(dead.map(({ from, to }) => `${from} -> ${to}`)).toEqual([]);
  });

  test("a heading is linked to by its words in lower case, joined by hyphens", () => {
    const page =
      "# Words of `/readyz`\n```sh\n# a comment\n```\n## A, b\n## A, b\n### The Élan_1\n";
    expect(anchorsOf(page)).toEqual(["words-of-readyz", "a-b", "a-b-1", "the-élan_1"]);
  });

  test("every link into a page leads to a heading of it", () => {
    const inside = links.filter(({ anchor }) => anchor !== "");
    expect(inside.length).toBeGreaterThan(5);
    const dead = inside.filter(({ to, anchor }) => !anchorsOf(readText(to)).includes(anchor));
    expect(dead.map(({ from, to, anchor }) => `${from} -> ${to}#${anchor}`)).toEqual([]);
  });

  const rowFor = (name: string): boolean =>
    readText("docs/operations.md")
      .split("\n")
      .some((line) => line.startsWith(`| \`${name}\``));

  test("the runbook has a line for every log event", () => {
    expect(Object.keys(EVENTS).filter((name) => !rowFor(name))).toEqual([]);
  });

  test("the runbook has a line for every metric", async () => {
    const page = await createMetrics().render();
    const names = [...page.matchAll(/^# TYPE (\S+)/gm)].map(([, name = ""]) => name);
    expect(names).toContain("signalpost_cycles_total");
    expect(names.filter((name) => !rowFor(name))).toEqual([]);
  });

  test("the runbook has a line for every step of a cycle", () => {
    expect(STEPS.filter((name) => !rowFor(name))).toEqual([]);
  });

  test("every step of a cycle is timed somewhere", () => {
    const callers = shipped.filter((path) => !path.startsWith("src/app-logging/"));
    const calls = callers.flatMap((path) => [
      ...readText(path).matchAll(/\b(?:time|stepSeconds)\(\s*"(\w+)"/g),
    ]);
    const timed = new Set(calls.map(([, step]) => step));
    expect(STEPS.filter((step) => !timed.has(step))).toEqual([]);
  });

  test("the runbook has a line for every exit code", () => {
    // 70 (wedged) and 75 (lease lost) are the daemon's own; no command returns them.
    const codes = [...Object.values(EXIT), 70, 75].map(String);
    expect(codes.filter((code) => !rowFor(code))).toEqual([]);
  });
});
