// The host's lock: flock(2) through libc, the very lock that Python's fcntl.flock takes, so that the two
// exclude each other. Opens for reading only, which is all that flock needs and all that a foreign file
// in a sticky /tmp allows. Used by poller-lock.ts through the port TakeLocalLock.
import { closeSync, constants, fstatSync, lstatSync, openSync, type BigIntStats } from "node:fs";
import { getSystemErrorName } from "node:util";
import koffi from "koffi";
import { errorCode } from "../core/errors.ts";
import type { LocalLock, TakeLocalLock } from "./local-lock.ts";

const LOCK_EX = 2;
const LOCK_NB = 4;

// The process's own symbols: the C library has another file name on Alpine.
const flock = koffi.load(null).func("int flock(int fd, int operation)") as (
  fd: number,
  operation: number,
) => number;

// Node adds O_CLOEXEC to every open. O_NONBLOCK: a fifo at that path must not stop the event loop.
const FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** Opens the file, and makes it (0644) only when there is none; never truncates, never follows a link. */
const openLockFile = (path: string): number => {
  try {
    return openSync(path, FLAGS);
  } catch (error) {
    if (errorCode(error) !== "ENOENT") throw error;
  }
  try {
    return openSync(path, FLAGS | constants.O_CREAT | constants.O_EXCL, 0o644);
  } catch (error) {
    if (errorCode(error) !== "EEXIST") throw error;
    return openSync(path, FLAGS);
  }
};

const isSameFile = (a: BigIntStats, b: BigIntStats | undefined): boolean =>
  b !== undefined && a.dev === b.dev && a.ino === b.ino;

const heldLock = (fd: number, path: string): LocalLock => {
  const locked = fstatSync(fd, { bigint: true });
  let isOpen = true;
  return {
    stillInPlace() {
      try {
        return isSameFile(locked, lstatSync(path, { bigint: true, throwIfNoEntry: false }));
      } catch {
        return false;
      }
    },
    release() {
      if (isOpen) closeSync(fd);
      isOpen = false;
    },
  };
};

const takeOn = (fd: number, path: string): ReturnType<TakeLocalLock> => {
  if (!fstatSync(fd).isFile()) return { kind: "error", code: "EINVAL" };
  if (flock(fd, LOCK_EX | LOCK_NB) !== 0) {
    const errno = koffi.errno();
    if (errno === koffi.os.errno["EWOULDBLOCK"]) return { kind: "busy" };
    return { kind: "error", code: getSystemErrorName(-errno) };
  }
  const lock = heldLock(fd, path);
  // Deleted between open and lock: others lock the new file, so this one is worth nothing.
  return lock.stillInPlace() ? { kind: "held", lock } : { kind: "busy" };
};

/** Tries flock once on the file at `path`. Codes are the system's; `EINVAL`: not a regular file. */
export const takeFlock: TakeLocalLock = (path) => {
  let fd: number | null = null;
  try {
    fd = openLockFile(path);
    const answer = takeOn(fd, path);
    if (answer.kind !== "held") closeSync(fd);
    return answer;
  } catch (error) {
    if (fd !== null) closeSync(fd);
    return { kind: "error", code: errorCode(error) };
  }
};
