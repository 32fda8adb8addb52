// The system's own time, chance, signals and exit: the one place where the program touches them. Nothing
// here is thrown; everything else in src gets these by parameter. Used by main and the daemon's build.
import { createHash, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { flushCompileCache } from "node:module";
import { hostname } from "node:os";
import koffi from "koffi";
import type { Clock } from "../core/clock.ts";
import type { Random } from "../core/random.ts";

const libc = koffi.load(null);

/** What setTimeout can hold; a longer one would fire at once. */
const MAX_TIMER_MS = 2 ** 31 - 1;

const CLOCK_BOOTTIME = 7;

/** Unlike performance.now() it goes on through suspend, so a lease cannot outlive a closed lid. */
const createBootClock = (): (() => number) => {
  const clockGetTime = libc.func("int clock_gettime(int id, void *time)") as (
    id: number,
    time: BigInt64Array,
  ) => number;
  const time = new BigInt64Array(2);
  return () => {
    clockGetTime(CLOCK_BOOTTIME, time);
    return Number(time[0]) * 1000 + Number(time[1]) / 1e6;
  };
};

const napOnce = (ms: number, signal: AbortSignal | undefined): Promise<void> =>
  new Promise((resolve) => {
    const wake = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", wake);
      resolve();
    };
    const timer = setTimeout(wake, ms);
    signal?.addEventListener("abort", wake, { once: true });
  });

/** The host's time. Sleeps of any length, also `Infinity`. */
export const systemClock: Clock = {
  monoMs: process.platform === "linux" ? createBootClock() : () => performance.now(),
  wallMs: () => Date.now(),
  async sleep(ms, signal) {
    let leftMs = Math.max(0, ms);
    do {
      if (signal?.aborted === true) return;
      const napMs = Math.min(leftMs, MAX_TIMER_MS);
      await napOnce(napMs, signal);
      leftMs -= napMs;
    } while (leftMs > 0);
  },
};

/** The host's generator, fit for keys. */
export const systemRandom: Random = {
  u32: () => randomBytes(4).readUInt32LE(),
  bytes: (count) => randomBytes(count),
};

/**
 * Ends the process at once: no exit handlers, no flush, nothing that a stuck write or a full pipe could
 * hold up.
 */
export const exitProcess: (code: number) => void = libc.func("void _exit(int code)");

/** Keeps what was compiled for the next start; the way out of a daemon would leave no time for it. */
export const keepCompiled = (): void => flushCompileCache();

/** Kills the process as `kill -9` does. */
export const killProcess = (): void => {
  process.kill(process.pid, "SIGKILL");
};

/** Calls back on SIGTERM and SIGINT (terminate) and on SIGHUP (reload); returns how to stop that. */
export const onSignals = (handlers: { terminate(): void; reload(): void }): (() => void) => {
  const { terminate, reload } = handlers;
  process.on("SIGTERM", terminate).on("SIGINT", terminate).on("SIGHUP", reload);
  return () => {
    process.off("SIGTERM", terminate).off("SIGINT", terminate).off("SIGHUP", reload);
  };
};

/** Calls back with what nobody caught, rejections included; returns how to stop that. */
export const onUncaught = (handler: (error: unknown) => void): (() => void) => {
  process.on("uncaughtException", handler);
  return () => {
    process.off("uncaughtException", handler);
  };
};

const readMachineId = (): string | null => {
  for (const path of ["/etc/machine-id", "/var/lib/dbus/machine-id"]) {
    try {
      const id = readFileSync(path, "utf8").trim();
      if (id !== "") return id;
    } catch {
      // Not every host has one; the name alone has to do then.
    }
  }
  return null;
};

/**
 * Who this host is (DESIGN section 5): SIGNALPOST_HOST_ID as it is, else a hash of machine id and host
 * name, because a machine id is not to be shown.
 */
export const hostId = (): string => {
  const given = process.env["SIGNALPOST_HOST_ID"];
  if (given !== undefined && given !== "") return given;
  const parts = ["signalpost", readMachineId() ?? "", hostname()];
  return createHash("sha256").update(parts.join("\0")).digest("hex").slice(0, 32);
};
