// The configuration file on the real disk. Reads regular files of at most 1 MiB and tells a change by
// size, time and inode; the loader and the daemon's ports use it.
import { closeSync, constants, fstatSync, openSync, readFileSync, statSync } from "node:fs";
import type { BigIntStats } from "node:fs";
import type { ReadConfigFile } from "./config-file.ts";

const MAX_BYTES = 1024 * 1024;

const stampOf = ({ size, mtimeNs, ino }: BigIntStats): string => `${size}:${mtimeNs}:${ino}`;

const isMissing = (error: unknown): boolean =>
  ["ENOENT", "ENOTDIR"].includes((error as NodeJS.ErrnoException).code ?? "");

/** A system-like error, whose code the loader tells: `EINVAL` is what a pipe or a folder gets. */
const refusal = (code: string): Error => Object.assign(new Error("not a small file"), { code });

/**
 * Reads a file and its stamp from one open descriptor, so that both belong together. Null when it does
 * not exist; throws the system's error otherwise, `EINVAL` for what is no regular file and `EFBIG` for
 * one over 1 MiB.
 */
export const readConfigFile: ReadConfigFile = (path) => {
  let descriptor: number;
  try {
    // Without waiting: the other end of a named pipe may never come.
    descriptor = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
  try {
    const stats = fstatSync(descriptor, { bigint: true });
    if (!stats.isFile()) throw refusal("EINVAL");
    if (stats.size > MAX_BYTES) throw refusal("EFBIG");
    return { stamp: stampOf(stats), text: readFileSync(descriptor, "utf8") };
  } finally {
    closeSync(descriptor);
  }
};

/** The stamp of the file now, without reading it; null when it is missing or cannot be looked at. */
export const configFileStamp = (path: string): string | null => {
  try {
    return stampOf(statSync(path, { bigint: true }));
  } catch {
    return null;
  }
};
