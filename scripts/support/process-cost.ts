// What a process costs, as the kernel counts it: CPU seconds and memory, read from /proc while the
// process lives (a daemon that ends by `_exit` tells nothing at its end). Linux only; called by the
// bench.
import { readFileSync } from "node:fs";

/** Ticks a second of the fields in /proc/PID/stat; the same on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;

const statusMiB = (pid: number, field: string): number => {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const kib = new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(status)?.[1];
  if (kib === undefined) throw new Error(`/proc/${pid}/status has no ${field}`);
  return Number(kib) / 1024;
};

/** CPU seconds of all threads since the process began, user and system together. */
export const cpuSeconds = (pid: number): number => {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  // The name, in brackets, may contain spaces; the fields after it may not.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
};

/** The largest resident size that the process ever had, in MiB. */
export const peakRssMiB = (pid: number): number => statusMiB(pid, "VmHWM");

/** The resident size now, in MiB. */
export const rssMiB = (pid: number): number => statusMiB(pid, "VmRSS");
