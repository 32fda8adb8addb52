// The file adapter: who can read the files of a data directory, which pragmas hold, and what escapes
// when the directory cannot be used.
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { errorCode } from "../core/errors.ts";
import { DATABASE_FILE, openSqliteFile, openSqliteMemory } from "./sqlite.adapter.ts";

const temporaryDirectory = (): { path: string } & Disposable => {
  const path = mkdtempSync(join(tmpdir(), "signalpost-adapter-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
};

const modeOf = (path: string): string => (statSync(path).mode & 0o777).toString(8);

const modesIn = (directory: string): string[] =>
  readdirSync(directory)
    .toSorted()
    .map((name) => `${name} ${modeOf(join(directory, name))}`);

const PRIVATE = ["", "-shm", "-wal"].map((end) => `${DATABASE_FILE}${end} 600`);

describe("the data directory", () => {
  test("directory and files are made for their owner alone", () => {
    using root = temporaryDirectory();
    const path = join(root.path, "deep", "data");
    const database = openSqliteFile(path);
    database.exec("CREATE TABLE t (a)");
    expect(modeOf(path)).toBe("700");
    expect(modesIn(path)).toEqual(PRIVATE);
    database.close();
  });

  test("files that others could read are closed to them", () => {
    using root = temporaryDirectory();
    const path = join(root.path, "data");
    mkdirSync(path);
    const first = openSqliteFile(path);
    first.exec("CREATE TABLE t (a)");
    for (const name of readdirSync(path)) chmodSync(join(path, name), 0o644);
    chmodSync(path, 0o755);
    const second = openSqliteFile(path);
    expect(modeOf(path)).toBe("700");
    expect(modesIn(path)).toEqual(PRIVATE);
    first.close();
    second.close();
  });

  test("a database that is deleted or replaced under its program is not in place", () => {
    using root = temporaryDirectory();
    const database = openSqliteFile(root.path);
    expect(database.inPlace()).toBe(true);
    rmSync(join(root.path, DATABASE_FILE));
    expect(database.inPlace()).toBe(false);
    writeFileSync(join(root.path, DATABASE_FILE), "");
    expect(database.inPlace()).toBe(false);
    database.close();
  });

  test("the system's error escapes when the directory cannot be made", () => {
    using root = temporaryDirectory();
    const file = join(root.path, "file");
    writeFileSync(file, "");
    let code = "none";
    try {
      openSqliteFile(join(file, "data"));
    } catch (error) {
      code = errorCode(error);
    }
    expect(code).toBe("ENOTDIR");
  });

  test("a file that is no database is refused with a code", () => {
    using root = temporaryDirectory();
    writeFileSync(join(root.path, DATABASE_FILE), "no database at all".repeat(100));
    let code = "none";
    try {
      openSqliteFile(root.path);
    } catch (error) {
      code = errorCode(error);
    }
    expect(code).toBe("ERR_SQLITE_ERROR");
  });
});

describe("pragmas", () => {
  const EXPECTED = { auto_vacuum: 2, synchronous: 2, secure_delete: 1, timeout: 100 };

  test.each(["file", "memory"])("what is durable and wiped holds on %s", (kind) => {
    using root = temporaryDirectory();
    const database = kind === "file" ? openSqliteFile(root.path) : openSqliteMemory();
    const names = ["auto_vacuum", "synchronous", "secure_delete", "busy_timeout"];
    const values = names.map((name) => database.prepare(`PRAGMA ${name}`).get());
    expect(Object.assign({}, ...values)).toEqual(EXPECTED);
    const journal = database.prepare("PRAGMA journal_mode").get()?.["journal_mode"];
    expect(journal).toBe(kind === "file" ? "wal" : "memory");
    database.close();
  });
});
