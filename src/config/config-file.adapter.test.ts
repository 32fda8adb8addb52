// The adapter on the real disk: what is read, what is null, what throws, and that a stamp tells every
// kind of change.
import { mkdtempSync, renameSync, rmSync, truncateSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { configFileStamp, readConfigFile } from "./config-file.adapter.ts";

let folder = "";
let path = "";

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "signalpost-config-"));
  path = join(folder, "signalpost.yaml");
  writeFileSync(path, "a: é\n");
});

afterEach(() => rmSync(folder, { recursive: true }));

describe("a configuration file", () => {
  test("is read with the stamp that a look alone gives", () => {
    expect(readConfigFile(path)).toEqual({ stamp: configFileStamp(path), text: "a: é\n" });
  });

  test("is null when it or its folder is missing, or a parent is no folder", () => {
    for (const missing of [join(folder, "x"), join(folder, "x", "y"), join(path, "y")]) {
      expect(readConfigFile(missing)).toBeNull();
      expect(configFileStamp(missing)).toBeNull();
    }
  });

  test("throws the system's code for a folder, a device and a file over 1 MiB", () => {
    const codeOf = (name: string): unknown => {
      try {
        return readConfigFile(name);
      } catch (error) {
        return (error as { code?: unknown }).code;
      }
    };
    expect(codeOf(folder)).toBe("EINVAL");
    expect(codeOf("/dev/zero")).toBe("EINVAL");
    truncateSync(path, 1024 * 1024 + 1);
    expect(codeOf(path)).toBe("EFBIG");
  });
});

describe("a stamp", () => {
  test("changes with size, time and replacement, and not by itself", () => {
    utimesSync(path, 1000, 1000);
    const first = configFileStamp(path);
    expect(configFileStamp(path)).toBe(first);
    utimesSync(path, 1000, 1001);
    const touched = configFileStamp(path);
    const other = join(folder, "new");
    writeFileSync(other, "a: é\n");
    utimesSync(other, 1000, 1001);
    renameSync(other, path);
    const replaced = configFileStamp(path);
    writeFileSync(path, "a: longer\n");
    utimesSync(path, 1000, 1001);
    expect(new Set([first, touched, replaced, configFileStamp(path)]).size).toBe(4);
  });
});
