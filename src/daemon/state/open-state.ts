// Where the state is: on this host alone, or shared by all that use the same Redis. Called by build.ts at
// the start, once.
import type { Log } from "../../app-logging/logger.ts";
import type { Metrics } from "../../app-logging/metrics.ts";
import type { LoadedSettings } from "../../config/load.ts";
import { ConfigError } from "../../core/errors.ts";
import { mustRefuseWithoutRedis } from "../../store/shared/host-facts.ts";
import type { WatchedFolder } from "../../store/shared/meet-redis.ts";
import type { Store } from "../../store/store.ts";
import type { DaemonConfig } from "../build.ts";
import type { Clustered } from "../cluster/clustered.ts";
import { joinCluster } from "../cluster/join-cluster.ts";
import type { Ports } from "../ports.ts";
import { type OwnStore, openStore } from "./open-store.ts";

/** The opened state; the caller closes the store after it left. */
export interface OpenedState {
  store: Store;
  /** Null: this host alone. */
  clustered: Clustered | null;
  /** The process is about to stop: others may take what it gives back. */
  retire(): void;
  /** To be called when nothing is polled any more. */
  leave(): Promise<void>;
}

/** What was shared goes on at the other nodes: this directory alone would send mail again, or never. */
const refuseAfterRedis = async (own: OwnStore, { lineOf }: LoadedSettings): Promise<void> => {
  if (!mustRefuseWithoutRedis(await own.journal.facts())) return;
  const message =
    "this data_dir was used with Redis; write its redis_url again, or lock.fallback: file to go on with this host's lock and what this directory remembers";
  throw new ConfigError([{ key: "redis_url", line: lineOf("redis_url"), message }]);
};

/**
 * Opens the state. Rejects with `ConfigError` when the data directory cannot be used, when it belongs to
 * a Redis that is not configured any more, and when the configured Redis must not keep our state.
 */
export const openState = async (
  config: DaemonConfig,
  ports: Ports,
  made: { log: Log; metrics: Metrics; configured: () => readonly WatchedFolder[] },
): Promise<OpenedState> => {
  const { initial, node, host, timing } = config;
  const { redisUrl, lock } = initial.settings;
  const own = await openStore(config, ports);
  try {
    if (redisUrl !== null) {
      return await joinCluster({ ports, ...made, initial, redisUrl, own, node, host, timing });
    }
    if (lock.fallback !== "file") await refuseAfterRedis(own, initial);
    return {
      store: own.store,
      clustered: null,
      retire: () => undefined,
      leave: async () => undefined,
    };
  } catch (error) {
    await own.store.close();
    throw error;
  }
};
