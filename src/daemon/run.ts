// `signalpost run`: the daemon on the real ports, with signals and exit codes. Resolves when a signal
// asked it to stop and everything is handed back.
import { createHash } from "node:crypto";
import { createLogSink } from "../app-logging/log-sink.adapter.ts";
import { createLog } from "../app-logging/logger.ts";
import { configFileStamp, readConfigFile } from "../config/config-file.adapter.ts";
import type { Environment } from "../config/environment.ts";
import { loadSettings } from "../config/load.ts";
import { errorCode } from "../core/errors.ts";
import { uuid } from "../core/random.ts";
import { type DaemonConfig, startDaemon } from "./build.ts";
import { withCrashPoint } from "./crash-points.ts";
import { createSystemPorts } from "./system-ports.ts";
import {
  hostId,
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
}

/** Tells hosts and processes apart without naming the host. */
const nodeName = (host: string): string => {
  const hash = createHash("sha256").update(host).digest("hex").slice(0, 8);
  return `${hash}-${uuid(systemRandom).slice(0, 8)}`;
};

const daemonConfig = ({ configPath: path, env, version }: RunOptions): DaemonConfig => {
  const load = () => loadSettings({ path, env, readConfigFile });
  return {
    initial: load(),
    load,
    stamp: () => (path === null ? null : configFileStamp(path)),
    version,
    node: nodeName(hostId()),
  };
};

/**
 * Runs until SIGTERM or SIGINT; SIGHUP re-reads the configuration. Returns exit code 0. Rejects with
 * `ConfigError` when it cannot start (exit 78). A wedged event loop ends the process with 70, work that
 * outlives a lost lease with 75 (DESIGN section 10).
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
  try {
    const daemon = await startDaemon(config, ports);
    await new Promise<void>((resolve) => {
      onSignals({
        terminate: resolve,
        reload: () => {
          daemon.reload().catch((error: unknown) => {
            log("config.rejected", { code: errorCode(error) });
          });
        },
      });
    });
    await daemon.stop();
  } finally {
    await real.close();
    await sink.end();
  }
  // A log reader that is stuck would hold up any gentler way out.
  ports.exit(0);
  return 0;
};
