// Builds the daemon from its configuration and its ports: the only place that chooses implementations.
// On fake ports under a virtual clock the same daemon runs in a simulator. Called by run.ts, the demo
// and the tests.
import { type Log, createLog } from "../app-logging/logger.ts";
import { type Metrics, createMetrics } from "../app-logging/metrics.ts";
import type { LoadedSettings } from "../config/load.ts";
import {
  type PollingConfigService,
  createPollingConfigService,
} from "../config/polling-config-service.ts";
import { ConfigError, errorCode } from "../core/errors.ts";
import { createRoutes } from "../http/routes.ts";
import type { HttpServer } from "../http/serve-http.ts";
import { createGate } from "../resilience/gate.ts";
import type { Store } from "../store/store.ts";
import { createDeliver } from "../webhook/deliver.ts";
import { createDestinations } from "../webhook/destinations.ts";
import { createHotRules } from "./hot-rules.ts";
import type { RunnerParts } from "./mailbox/runner.ts";
import { createMailboxes } from "./mailbox/mailboxes.ts";
import { type NodeStatus, createNodeStatus } from "./node-status.ts";
import { parkOrphans, parkRemoved } from "./mailbox/orphans.ts";
import { openStore } from "./open-store.ts";
import type { Ports } from "./ports.ts";
import { runTicker } from "./ticker.ts";

/** What the daemon is told at its start. */
export interface DaemonConfig {
  initial: LoadedSettings;
  /** Reads the configuration again; throws `ConfigError`. */
  load(): LoadedSettings;
  /** Tells whether the file changed; null without a file. */
  stamp(): string | null;
  version: string;
  /** Names this process in `status`. */
  node: string;
}

/** A daemon that runs. */
export interface Daemon {
  /** The port of the HTTP server; null when it is off. */
  port: number | null;
  /** Re-reads the configuration; mailboxes that changed start, stop or reconnect. */
  reload(): Promise<void>;
  /** Finishes or aborts what is in flight, hands everything back. */
  stop(): Promise<void>;
}

/** The watchdog ends a process whose event loop stood still for so many of its ticks of a second. */
const WEDGED_TICKS = 30;

/** The parts that every mailbox works with. */
const runnerParts = async (
  { initial, node }: DaemonConfig,
  ports: Ports,
  made: { log: Log; metrics: Metrics; store: Store; configService: PollingConfigService },
): Promise<Omit<RunnerParts, "wakeSpools">> => {
  const { clock, random, sendHttp, openSession, takeLocalLock } = ports;
  const { log, metrics, store, configService } = made;
  const { limits, lock, logMaskedText } = initial.settings;
  const destinations = createDestinations({ clock, log });
  const hotRules = createHotRules(log, ({ configuredRules }) => {
    // What was learnt of a destination that is gone must not meet a later one of the same name.
    destinations.forget(new Set(["default", ...configuredRules.map(({ id }) => `rule-${id}`)]));
  });
  return {
    node,
    clock,
    random,
    log,
    metrics,
    store,
    destinations,
    bytesInFlight: createGate(limits.bytesInFlight),
    deliver: createDeliver({ clock, sendHttp, destinations }),
    limits,
    logMaskedText,
    hmacKey: await store.hmacKey(),
    openSession,
    takeLocalLock,
    lockFile: lock.file,
    refreshHot: async () => hotRules.of(await configService.refresh()),
    currentHot: () => hotRules.of(configService.current()),
    exit: (code) => ports.exit(code),
  };
};

/** The HTTP server; null when it is off. Throws `ConfigError` when the port is in use. */
const listen = async (
  { initial }: DaemonConfig,
  ports: Ports,
  sources: { status: NodeStatus; metrics: () => Promise<string> },
): Promise<HttpServer | null> => {
  const { http } = initial.settings;
  if (http === null) return null;
  const { status, metrics } = sources;
  const routes = createRoutes({
    words: () => status.words(),
    status: () => status.report(),
    fullestDestination: () => status.fullestDestination(),
    metrics,
    token: http.token,
    host: http.host,
  });
  try {
    return await ports.serveHttp({ host: http.host, port: http.port }, routes);
  } catch (error) {
    const message = `cannot listen (${errorCode(error)}); choose another port or host, or 0 for any free port`;
    throw new ConfigError([{ key: "http.port", line: initial.lineOf("http.port"), message }]);
  }
};

/**
 * Builds and starts. Rejects with `ConfigError` when the data directory or the HTTP port cannot be
 * used; what was started by then is stopped again.
 */
export const startDaemon = async (config: DaemonConfig, ports: Ports): Promise<Daemon> => {
  const { clock } = ports;
  const { settings } = config.initial;
  await using owned = new AsyncDisposableStack();
  // First here is last to be ended: a stop that hangs is watched, too.
  const loopWatch = ports.watchEventLoop({ maxTicks: WEDGED_TICKS });
  owned.defer(() => loopWatch.stop());

  const log = createLog({ clock, writeLog: ports.writeLog, level: settings.logLevel });
  const metrics = createMetrics();
  const store = await openStore(config, ports);
  owned.defer(() => store.close());
  const configService = createPollingConfigService({ clock, log, ...config });
  const parts = await runnerParts(config, ports, { log, metrics, store, configService });
  const { destinations, bytesInFlight } = parts;
  const mailboxes = createMailboxes(parts);
  owned.defer(() => mailboxes.stop());

  const loaded = (): LoadedSettings => configService.current();
  const { node, version } = config;
  const startedMs = clock.wallMs();
  const shown = { store, mailboxes, destinations, startedMs };
  const status = createNodeStatus({ node, version, loaded, ...shown });
  metrics.bytesInFlight(() => bytesInFlight.inUse());
  metrics.eventLoopDelay(() => loopWatch.maxDelaySeconds());
  const server = await listen(config, ports, { status, metrics: () => metrics.render() });
  if (server !== null) {
    owned.defer(() => server.close());
    log("http.listening", { port: server.port });
  }

  log("daemon.started", { version, node });
  if (settings.enableBackgroundTasks) await mailboxes.apply(settings.mailboxes);
  else log("daemon.disabled");
  const ticking = new AbortController();
  const ticker = runTicker({
    ...parts,
    mailboxes,
    status,
    parkOrphans: async (id) => {
      const isConfigured = loaded().settings.mailboxes.some((mailbox) => mailbox.id === id);
      if (settings.enableBackgroundTasks && !isConfigured) await parkOrphans(parts, id);
    },
    droppedLogLines: () => ports.droppedLogLines(),
    stop: ticking.signal,
  });
  owned.defer(async () => {
    ticking.abort();
    await ticker;
  });

  const running = owned.move();
  return {
    port: server?.port ?? null,
    reload: async () => {
      const before = loaded().settings.mailboxes;
      const { mailboxes: now } = (await configService.reload()).settings;
      if (!settings.enableBackgroundTasks) return;
      await mailboxes.apply(now);
      // What this process itself was told to drop needs no day to be sure that nobody comes back for it.
      const kept = new Set(now.map(({ id }) => id));
      for (const { id } of before) if (!kept.has(id)) await parkRemoved(parts, id);
    },
    stop: async () => {
      log("daemon.stopping");
      await running.disposeAsync();
      log("daemon.stopped");
    },
  };
};
