// Joins the nodes that share a Redis: opens the connections, judges the server, routes each mailbox's
// state, watches the others and keeps the journal. Called by open-state.ts once, when redis_url is set.
import type { Log } from "../../app-logging/logger.ts";
import type { Metrics } from "../../app-logging/metrics.ts";
import type { LoadedSettings } from "../../config/load.ts";
import type { Clock } from "../../core/clock.ts";
import { ConfigError, errorCode } from "../../core/errors.ts";
import { lockPathFor } from "../../lock/poller-lock.ts";
import { redisIdOf } from "../../redis/keys.ts";
import { RedisError } from "../../redis/redis.ts";
import { createRedisStore } from "../../store/redis.ts";
import { isOtherHostKnown, markOtherHost, markOwnHost } from "../../store/shared/host-facts.ts";
import { type WatchedFolder, meetRedis } from "../../store/shared/meet-redis.ts";
import { type PublishDeps, publishMailbox } from "../../store/shared/publish.ts";
import { createRoutedStore } from "../../store/shared/routed-store.ts";
import type { SharedStore } from "../../store/shared/shared-store.ts";
import type { Store } from "../../store/store.ts";
import type { OwnStore } from "../state/open-store.ts";
import type { Ports } from "../ports.ts";
import type { Timing } from "./cluster.ts";
import type { Clustered } from "./clustered.ts";
import { judgeServer } from "./judge-server.ts";
import { keepJournal } from "./keep-journal.ts";
import { startClusterWatch } from "./watch-cluster.ts";

/** A commit of 8 MiB over a slow line takes its time; the locks have a connection of their own. */
const STORE_TIMEOUT_MS = 5000;

/** A journal that cannot be written is told of so often. */
const JOURNAL_WARNING_MS = 60_000;

/** What joining takes. */
export interface JoinDeps {
  ports: Pick<Ports, "clock" | "random" | "openRedis" | "takeLocalLock">;
  log: Log;
  metrics: Metrics;
  initial: LoadedSettings;
  redisUrl: string;
  /** The store in this node's data directory; the joined one closes it. */
  own: OwnStore;
  node: string;
  host: string;
  timing: Timing;
  /** What this node is configured for, now. */
  configured(): readonly WatchedFolder[];
}

/** A node among others. */
export interface Joined {
  /** Shared state, or this node's own for a mailbox that it polls alone. */
  store: Store;
  clustered: Clustered;
  /** Offers itself for no mailbox any more: the others take what it gives back. */
  retire(): void;
  /** Leaves the others: to be called when nothing is polled any more, before the store is closed. */
  leave(): Promise<void>;
}

/** Refuses a server that answers and must not keep our state. */
const checkServer = async (shared: SharedStore, { lineOf }: LoadedSettings): Promise<void> => {
  let message: string | null = null;
  try {
    message = judgeServer(await shared.readServer());
  } catch (error) {
    // A server that cannot be asked is no reason not to start: mail waits until it can.
    if (!(error instanceof RedisError)) throw error;
  }
  const key = "redis_url";
  if (message !== null) throw new ConfigError([{ key, line: lineOf(key), message }]);
};

/** Meeting, entering and deciding, over this node's stores. */
const createEntrance = (
  { ports, own, redisUrl, configured, log }: JoinDeps,
  publishing: PublishDeps,
): Pick<Clustered, "enter" | "decide" | "isOtherHostKnown"> & {
  meet(): Promise<void>;
  leveled(): Promise<void>;
} => {
  const redisId = redisIdOf(redisUrl);
  const { journal, shared } = publishing;
  const { clock, random } = ports;
  const meeting = () => meetRedis({ shared, journal, local: own.store, random, redisId });
  return {
    meet: async () => void (await meeting()),
    leveled: async () => void (await (await meeting()).settleMarker(configured())),
    decide: async (watched) => (await meeting()).decide(watched),
    enter: async (mailbox) => {
      await meeting();
      const count = await publishMailbox(publishing, mailbox);
      if (count > 0) log("redis.deliveries_lost", { mailbox, count });
      await journal.markHeld(mailbox, redisId);
    },
    isOtherHostKnown: () => isOtherHostKnown(journal, clock.wallMs()),
  };
};

/** What this node is configured for, and for which of it others may count on it. */
const createOffer = (configured: JoinDeps["configured"]) => {
  const unfit = new Set<string>();
  let isRetiring = false;
  const mailboxes = (): readonly string[] => configured().map(({ id }) => id);
  return {
    mailboxes,
    unfit,
    offered: () => (isRetiring ? [] : mailboxes().filter((id) => !unfit.has(id))),
    retire: () => {
      isRetiring = true;
    },
  };
};

/** Tells of a journal that cannot be written: a disk that is full fails every note of every mailbox. */
const createTeller = ({ clock, log }: { clock: Clock; log: Log }) => {
  let toldMs = -Infinity;
  return (error: unknown): void => {
    if (clock.monoMs() - toldMs < JOURNAL_WARNING_MS) return;
    toldMs = clock.monoMs();
    log("redis.journal_failed", { code: errorCode(error) });
  };
};

/**
 * Joins. Rejects with `ConfigError` when the server must not keep our state, and as the own store does; a
 * server that does not answer is waited for later.
 */
export const joinCluster = async (deps: JoinDeps): Promise<Joined> => {
  const { ports, log, metrics, initial, own, node, host, timing, configured, redisUrl: url } = deps;
  const { mailboxes, offered, unfit, retire } = createOffer(configured);
  const { clock, random, openRedis } = ports;
  const { lock, spoolKeys } = initial.settings;
  const { journal, rows } = own;
  await markOwnHost(journal, host, clock.wallMs());
  const shared = createRedisStore({
    redis: openRedis({ url, commandTimeoutMs: STORE_TIMEOUT_MS }),
    ...{ clock, random, spoolKeys, lockKey: lock.key },
  });
  try {
    await checkServer(shared, initial);
  } catch (error) {
    await shared.close();
    throw error;
  }
  if (spoolKeys.length === 0) log("spool.unencrypted");
  const redis = openRedis({ url, commandTimeoutMs: timing.lockTimeoutMs });
  const tellOnce = createTeller({ clock, log });
  const islands = new Set<string>();
  const watch = startClusterWatch({
    ...{ clock, random, log, metrics, redis, node, host, mailboxes, offered },
    ...{ lockKey: lock.key, constants: timing.cluster, leaseMs: timing.lease.leaseMs },
    onOtherHost: () => void markOtherHost(journal, clock.wallMs()).catch(tellOnce),
  });
  const isIsland = (mailbox: string): boolean => islands.has(mailbox);
  const publishing: PublishDeps = { shared, local: rows, journal };
  const { meet, leveled, ...entrance } = createEntrance(deps, publishing);
  const leaving = new AbortController();
  const keeping = keepJournal({
    ...publishing,
    ...{ clock, log, watch, mailboxes, isIsland, meet, leveled },
    takeHostLock: (mailbox) => {
      const answer = ports.takeLocalLock(lockPathFor(lock.file, mailbox));
      return answer.kind === "held" ? () => answer.lock.release() : null;
    },
    copyEveryMs: timing.copyEveryMs,
    stop: leaving.signal,
  });
  return {
    store: createRoutedStore({
      ...{ shared, local: own.store, journal, isIsland },
      isReachable: () => watch.redis().kind !== "failing",
      journalFailed: tellOnce,
    }),
    clustered: {
      ...{ redis, watch, journal, lock, islands, unfit, lease: timing.lease },
      redisId: redisIdOf(url),
      ...entrance,
    },
    retire,
    leave: async () => {
      leaving.abort();
      await Promise.all([keeping, watch.stop()]);
      await redis.close();
    },
  };
};
