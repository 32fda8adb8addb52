// `signalpost run`: the daemon on the real ports, with signals and exit codes. Resolves when a signal
// asked it to stop and everything is handed back.
import { createHash } from "node:crypto";
import { createLogSink } from "../app-logging/log-sink.adapter.ts";
import { createLog } from "../app-logging/logger.ts";
import { configFileStamp, readConfigFile } from "../config/config-file.adapter.ts";
import type { Environment } from "../config/environment.ts";
import { loadSettings } from "../config/load.ts";
import type { Clock } from "../core/clock.ts";
import { DeadlineError, errorCode } from "../core/errors.ts";
import { uuid } from "../core/random.ts";
import { withDeadline } from "../resilience/deadline.ts";
import { type Daemon, type DaemonConfig, startDaemon } from "./build.ts";
import type { Timing } from "./cluster/cluster.ts";
import { withCrashPoint } from "./crash-points.ts";
import { createSystemPorts } from "./system-ports.ts";
import {
  hostId,
  keepCompiled,
  killProcess,
  onSignals,
  onUncaught,
  systemClock,
  systemRandom,
} from "./system.adapter.ts";

/** Where the configuration is, and the environment that lies over it. */
export interface RunOptions {
  configPath: string | null;
  env: Environment;
  version: string;
  timing: Timing;
}

/** A supervisor was promised an end within 10 s of its signal; what hangs by then is left behind. */
const STOP_LIMIT_MS = 9000;

/** Runs `end`, and no longer than a stop may take. Rejects as `end` does. */
export const endInTime = async (clock: Clock, end: () => Promise<void>): Promise<void> => {
  try {
    await withDeadline(clock, { ms: STOP_LIMIT_MS, what: "the stop" }, end);
  } catch (error) {
    if (!(error instanceof DeadlineError)) throw error;
  }
};

/** Tells hosts apart without naming them. */
const hostName = (host: string): string =>
  createHash("sha256").update(host).digest("hex").slice(0, 8);

const daemonConfig = ({ configPath: path, env, version, timing }: RunOptions): DaemonConfig => {
  const load = () => loadSettings({ path, env, readConfigFile });
  return {
    initial: load(),
    load,
    stamp: () => (path === null ? null : configFileStamp(path)),
    version,
    node: uuid(systemRandom),
    host: hostName(hostId()),
    timing,
  };
};

/**
 * Runs until SIGTERM or SIGINT; SIGHUP re-reads the configuration. Ends with exit code 0, within 9 s of
 * the signal even if something hangs. Rejects with `ConfigError` when it cannot start (exit 78). A
 * wedged event loop ends the process with 70, work that outlives a lost lease with 75 (DESIGN
 * section 10).
 */
export const runDaemon = async (options: RunOptions): Promise<number> => {
  const config = daemonConfig(options);
  let dropped = 0;
  const sink = createLogSink({ onDropped: () => (dropped += 1) });
  const log = createLog({
    clock: systemClock,
    writeLog: sink.writeLog,
    level: config.initial.settings.logLevel,
  });
  const real = createSystemPorts({
    version: options.version,
    writeLog: sink.writeLog,
    droppedLogLines: () => dropped,
  });
  const point = options.env["SIGNALPOST_CRASH_AT"];
  const isArmed = point !== undefined && point !== "";
  const ports = isArmed ? withCrashPoint(real.ports, point, killProcess) : real.ports;
  onUncaught((error) => {
    log("daemon.uncaught", { code: errorCode(error) });
    void sink.end().then(() => ports.exit(1));
  });
  let daemon: Daemon | null = null;
  try {
    const started = await startDaemon(config, ports);
    daemon = started;
    keepCompiled();
    await new Promise<void>((resolve) => {
      onSignals({
        terminate: resolve,
        reload: () => {
          started.reload().catch((error: unknown) => {
            log("config.rejected", { code: errorCode(error) });
          });
        },
      });
    });
  } finally {
    await endInTime(systemClock, async () => {
      await daemon?.stop();
      await real.close();
      await sink.end();
    });
  }
  // A log reader that is stuck would hold up any gentler way out.
  ports.exit(0);
  return 0;
};
