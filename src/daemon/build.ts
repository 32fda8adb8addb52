// Builds the daemon from its configuration and its ports: the only place that chooses implementations.
// On fake ports under a virtual clock the same daemon runs in a simulator. Called by run.ts, the demo
// and the tests.
import { type Log, createLog } from "../app-logging/logger.ts";
import { type Metrics, createMetrics } from "../app-logging/metrics.ts";
import type { DocumentStore } from "../config/documents/follow-documents.ts";
import type { LoadedSettings } from "../config/load.ts";
import {
  type PollingConfigDeps,
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
import type { Timing } from "./cluster/cluster.ts";
import type { Clustered } from "./cluster/clustered.ts";
import { createHotRules } from "./hot-rules.ts";
import { createAccountSlots } from "./mailbox/account-slots.ts";
import type { RunnerParts } from "./mailbox/runner.ts";
import { type Mailboxes, createMailboxes } from "./mailbox/mailboxes.ts";
import { type NodeStatus, createNodeStatus } from "./node-status.ts";
import { parkOrphans, parkRemoved } from "./mailbox/orphans.ts";
import { type OpenedOffload, openOffload } from "./open-offload.ts";
import { type OpenedState, openState } from "./state/open-state.ts";
import type { Ports } from "./ports.ts";
import { runTicker } from "./ticker.ts";

/** What the daemon is told at its start. */
export interface DaemonConfig {
  initial: LoadedSettings;
  /** Reads file and environment again; throws `ConfigError`. */
  load: PollingConfigDeps["load"];
  /** Tells whether the file changed; null without a file. */
  stamp(): string | null;
  version: string;
  /** The uuid of this process: names it in its locks and in `status`. */
  node: string;
  /** A hash of the host's identity. */
  host: string;
  timing: Timing;
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
const runnerParts = (
  { initial, node }: DaemonConfig,
  ports: Ports,
  made: {
    log: Log;
    metrics: Metrics;
    store: Store;
    clustered: Clustered | null;
    configService: PollingConfigService;
    offloading: OpenedOffload;
  },
): Omit<RunnerParts, "wakeSpools"> => {
  const { clock, random, sendHttp, openSession, takeLocalLock } = ports;
  const { log, metrics, store, clustered, configService, offloading } = made;
  const { offload, finishPayload } = offloading;
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
    parseInWorker: ports.parseInWorker,
    deliver: createDeliver({ clock, sendHttp, destinations, finishPayload }),
    offload,
    limits,
    logMaskedText,
    accounts: createAccountSlots({ clock, openSession }),
    clustered,
    takeLocalLock,
    lockFile: lock.file,
    refreshHot: async () => hotRules.of(await configService.refresh()),
    currentHot: () => hotRules.of(configService.current()),
    exit: (code) => ports.exit(code),
  };
};

/** The documents that all nodes share, and where the Python service's screens write theirs. */
const sharedDocuments = ({ store, clustered }: OpenedState): DocumentStore | null =>
  clustered === null
    ? null
    : {
        read: () => store.readDocuments(),
        remembered: () => clustered.journal.documents(),
        write: (name, document, options) => store.writeDocument(name, document, options),
        readSeed: (name) => clustered.redis.get(`r:ss:config:${name}`),
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

/** Must its loop look at the lock before its wait is over: to give the mailbox back, or to end a time alone? */
const wantsTurn = (clustered: Clustered | null, mailbox: string): boolean => {
  if (clustered === null) return false;
  const health = clustered.watch.redis();
  const isAway = health.kind === "failing" && health.failure === "unreachable";
  const isAlone = clustered.islands.has(mailbox);
  return isAlone ? !isAway : clustered.watch.mustGiveBack(mailbox);
};

/** The heartbeat of the process; resolves to what ends it. */
const startTicker = (
  parts: Omit<RunnerParts, "wakeSpools">,
  ticked: {
    ports: Ports;
    mailboxes: Mailboxes;
    status: NodeStatus;
    /** Is this a mailbox that nobody here is configured for? */
    mayPark(mailbox: string): boolean;
  },
): (() => Promise<void>) => {
  const { ports, mailboxes, status, mayPark } = ticked;
  const ticking = new AbortController();
  const parking = new Map<string, Promise<void>>();
  const ticker = runTicker({
    ...parts,
    mailboxes,
    status,
    parkOrphans: (id) => {
      if (!mayPark(id) || parking.has(id)) return;
      // Beside the tick: the lock of a mailbox may have to be waited for.
      const work = parkOrphans(parts, id, ticking.signal).catch((error: unknown) => {
        parts.log("store.housekeeping_failed", { code: errorCode(error) });
      });
      parking.set(
        id,
        work.finally(() => parking.delete(id)),
      );
    },
    wantsTurn: (id) => wantsTurn(parts.clustered, id),
    droppedLogLines: () => ports.droppedLogLines(),
    stop: ticking.signal,
  });
  return async () => {
    ticking.abort();
    await Promise.all([ticker, ...parking.values()]);
  };
};

/** Takes the configuration as it is now; what is left of mailboxes that went is parked. */
const reload = async (
  parts: Omit<RunnerParts, "wakeSpools">,
  running: { configService: PollingConfigService; mailboxes: Mailboxes; stop: AbortSignal },
): Promise<void> => {
  const { configService, mailboxes, stop } = running;
  const before = configService.current().settings.mailboxes;
  const { settings } = await configService.reload();
  if (!settings.enableBackgroundTasks) return;
  await mailboxes.apply(settings.mailboxes);
  // What this process itself was told to drop needs no day to be sure that nobody comes back for it.
  const kept = new Set(settings.mailboxes.map(({ id }) => id));
  for (const { id } of before) if (!kept.has(id)) await parkRemoved(parts, id, stop);
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
  // The nodes tell each other which mailboxes they are for, also after a reload.
  let loaded = (): LoadedSettings => config.initial;
  const state = await openState(config, ports, {
    ...{ log, metrics },
    // A process that polls nothing must not be taken for one that could.
    configured: () => (settings.enableBackgroundTasks ? loaded().settings.mailboxes : []),
  });
  const { store, clustered } = state;
  owned.defer(() => store.close());
  owned.defer(() => state.leave());
  const documents = sharedDocuments(state);
  const configService = createPollingConfigService({ clock, log, ...config, documents });
  loaded = () => configService.current();
  const offloading = openOffload(settings.offload, { ports, log, metrics });
  owned.defer(offloading.close);
  const made = { log, metrics, store, clustered, configService, offloading };
  const parts = runnerParts(config, ports, made);
  const { destinations, bytesInFlight } = parts;
  const mailboxes = createMailboxes(parts);
  owned.defer(() => mailboxes.stop());

  const { node, host, version } = config;
  const startedMs = clock.wallMs();
  const shown = { store, mailboxes, destinations, startedMs, loaded: () => loaded() };
  const status = createNodeStatus({ clock, node, host, version, ...shown });
  metrics.bytesInFlight(() => bytesInFlight.inUse());
  metrics.eventLoopDelay(() => loopWatch.maxDelaySeconds());
  const server = await listen(config, ports, { status, metrics: () => metrics.render() });
  if (server !== null) {
    owned.defer(() => server.close());
    log("http.listening", { port: server.port });
  }

  log("daemon.started", { version, node });
  // Before the first message: documents that the nodes share win over the file.
  await configService.refresh();
  if (settings.enableBackgroundTasks) await mailboxes.apply(settings.mailboxes);
  else log("daemon.disabled");
  const stopTicker = startTicker(parts, {
    ...{ ports, mailboxes, status },
    mayPark: (id) =>
      settings.enableBackgroundTasks && !loaded().settings.mailboxes.some((one) => one.id === id),
  });
  // Together: a tick that waits for Redis must not take the time in which work is finished.
  owned.defer(async () => void (await Promise.all([mailboxes.stop(), stopTicker()])));

  const stopping = new AbortController();
  const running = owned.move();
  return {
    port: server?.port ?? null,
    reload: () => reload(parts, { configService, mailboxes, stop: stopping.signal }),
    stop: async () => {
      log("daemon.stopping");
      stopping.abort();
      state.retire();
      await running.disposeAsync();
      log("daemon.stopped");
    },
  };
};
