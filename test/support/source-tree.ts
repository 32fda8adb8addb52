// The project's own files as text, for the tests that hold the house rules. Walks the disk, so that a
// file counts before it is committed; leaves out what .gitignore leaves out.
import { readFileSync, readdirSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

/** The root of the checkout, absolute. */
export const ROOT = fileURLToPath(new URL("../..", import.meta.url));

const LEFT_OUT = new Set([".git", "node_modules", "dist", "data"]);

const walk = (folder: string): string[] =>
  readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    if (LEFT_OUT.has(entry.name)) return [];
    const path = join(folder, entry.name);
    return entry.isDirectory() ? walk(path) : [relative(ROOT, path)];
  });

/** Every file of the project, relative to {@link ROOT}, sorted. */
export const projectFiles = (): string[] => walk(ROOT).toSorted();

/** The text of a file named relative to {@link ROOT}. */
export const readText = (path: string): string => readFileSync(join(ROOT, path), "utf8");

/** Is it a test, or a suite that tests call? */
export const isTest = (path: string): boolean => /\.(test|contract)\.ts$/.test(path);

const IMPORTS = [
  /^(?:import|export)\s[^;"'`]*?from\s+["']([^"']+)["']/gm,
  /^import\s+["']([^"']+)["']/gm,
  /\bimport\(\s*["'`]([^"'`]+)["'`]/g,
];

/** What a TypeScript text imports or re-exports, in any of the forms there are. */
export const importsOf = (text: string): string[] =>
  IMPORTS.flatMap((form) => [...text.matchAll(form)].map(([, specifier = ""]) => specifier));

/** A relative specifier in `path` as a path from {@link ROOT}; null for a package. */
export const resolveImport = (path: string, specifier: string): string | null =>
  specifier.startsWith(".") ? join(dirname(path), specifier) : null;
