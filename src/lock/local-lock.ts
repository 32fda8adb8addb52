// The contract of the host's own lock: flock(2) on a file, which the kernel frees with its process. The
// adapter keeps it with libc; the simulator with a table of simulated hosts.

/** A held lock. */
export interface LocalLock {
  /** Is the locked inode still the file at that path? False after somebody deleted or replaced it. */
  stillInPlace(): boolean;
  release(): void;
}

/** `error`: the file cannot be opened or locked; `code` is the system's (`EACCES`, `ELOOP`, …). */
export type LocalLockAnswer =
  | { kind: "held"; lock: LocalLock }
  | { kind: "busy" }
  | { kind: "error"; code: string };

/** Tries once, without waiting; never throws. */
export type TakeLocalLock = (path: string) => LocalLockAnswer;
