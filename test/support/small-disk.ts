// A disk that is easily full: a small tmpfs on a directory of its own, and a ballast file that takes the
// rest of it. Needs root. Whoever makes one disposes it, after every process on it has ended.
import { execFileSync } from "node:child_process";
import {
  closeSync,
  mkdtempSync,
  openSync,
  rmSync,
  rmdirSync,
  statfsSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A small file system. */
export interface SmallDisk extends Disposable {
  readonly dir: string;
  /** Takes all the space that is left. */
  fill(): void;
  /** Gives it back. */
  free(): void;
}

const PAGE = Buffer.alloc(4096, "x");

/** Mounts `sizeBytes` of tmpfs; throws when this process may not mount. */
export const mountSmallDisk = (sizeBytes: number): SmallDisk => {
  const dir = mkdtempSync(join(tmpdir(), "signalpost-disk-"));
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${sizeBytes}`, "tmpfs", dir], {
      stdio: ["ignore", "ignore", "pipe"],
    });
  } catch (cause) {
    rmdirSync(dir);
    throw new Error("this test mounts a tmpfs: run it as root, where mounting is permitted", {
      cause,
    });
  }
  const ballast = join(dir, "ballast");
  return {
    dir,
    fill() {
      const file = openSync(ballast, "a");
      try {
        while (statfsSync(dir).bavail > 0) writeSync(file, PAGE);
      } finally {
        closeSync(file);
      }
    },
    free: () => rmSync(ballast, { force: true }),
    [Symbol.dispose]() {
      execFileSync("umount", [dir]);
      rmdirSync(dir);
    },
  };
};
