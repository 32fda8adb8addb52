// Opens the state for one command and closes it after: that of the configured data directory, and with
// redis_url the shared one before it. It promises to make nothing where no daemon ever ran: then it says
// so and the command ends with 1.
import { resolve } from "node:path";
import type { LoadedSettings } from "../config/load.ts";
import { errorCode } from "../core/errors.ts";
import { systemClock, systemRandom } from "../daemon/system.adapter.ts";
import { openRedis } from "../redis/ioredis.adapter.ts";
import { RedisError } from "../redis/redis.ts";
import { createRedisStore } from "../store/redis.ts";
import { createRoutedStore } from "../store/shared/routed-store.ts";
import type { SharedStore } from "../store/shared/shared-store.ts";
import { createSqliteJournal } from "../store/shared/sqlite-journal.ts";
import { createSqliteStore } from "../store/sqlite.ts";
import { openSqliteFile } from "../store/sqlite.adapter.ts";
import type { Store } from "../store/store.ts";
import { hasDatabase } from "./data-dir.adapter.ts";
import { type Terminal, EXIT } from "./terminal.ts";
import { loadFrom, withConfigPath } from "./with-config.ts";

/** An operator waits for the answer. */
const REDIS_TIMEOUT_MS = 3000;

const openOwn = (loaded: LoadedSettings, dataDir: string) => {
  const { spoolKeys } = loaded.settings;
  const database = openSqliteFile(dataDir);
  const store = createSqliteStore({ database, random: systemRandom, spoolKeys });
  return { store, journal: createSqliteJournal(database) };
};

const openShared = (loaded: LoadedSettings, url: string): SharedStore => {
  const { spoolKeys, lock } = loaded.settings;
  return createRedisStore({
    redis: openRedis({ url, commandTimeoutMs: REDIS_TIMEOUT_MS }),
    ...{ clock: systemClock, random: systemRandom, spoolKeys, lockKey: lock.key },
  });
};

/** The shared store with the own one beside it. */
const besideOwn = async (
  shared: SharedStore,
  { loaded, dataDir }: { loaded: LoadedSettings; dataDir: string },
  terminal: Terminal,
): Promise<Store> => {
  const failure = await shared.readMarker().then(
    () => null,
    (error: unknown) => {
      if (error instanceof RedisError) return error;
      throw error;
    },
  );
  if (failure !== null) {
    terminal.err(
      `signalpost: ${errorCode(failure)}: Redis does not help (${failure.hint ?? ""}). What follows is what this node knows.`,
    );
  }
  const { store: local, journal } = openOwn(loaded, dataDir);
  return createRoutedStore({
    ...{ shared, local, journal },
    isIsland: () => failure !== null,
    isReachable: () => failure === null,
    // A command holds no mailbox: its writes need no journal.
    journalFailed: () => undefined,
  });
};

/** Shared state with what this node has alone; only the latter, said so, while Redis does not answer. */
const openRouted = async (
  loaded: LoadedSettings,
  { url, dataDir }: { url: string; dataDir: string },
  terminal: Terminal,
): Promise<Store> => {
  const shared = openShared(loaded, url);
  if (!hasDatabase(dataDir)) return shared;
  try {
    return await besideOwn(shared, { loaded, dataDir }, terminal);
  } catch (error) {
    await shared.close();
    throw error;
  }
};
/** Runs `work` on the store; rejects as the store does, or returns 78 for a bad configuration. */
export const withStore = async (
  flag: string | undefined,
  terminal: Terminal,
  work: (store: Store, loaded: LoadedSettings) => Promise<number>,
): Promise<number> =>
  await withConfigPath(flag, terminal, async (path) => {
    const loaded = loadFrom(path, terminal);
    const dataDir = resolve(terminal.cwd, loaded.settings.dataDir);
    const { redisUrl: url } = loaded.settings;
    if (url === null && !hasDatabase(dataDir)) {
      terminal.err(
        `signalpost: no database in ${dataDir}: no daemon has run with this data_dir yet. ` +
          "Start one with 'signalpost run', or name its configuration with --config.",
      );
      return EXIT.failed;
    }
    const store =
      url === null
        ? openOwn(loaded, dataDir).store
        : await openRouted(loaded, { url, dataDir }, terminal);
    try {
      return await work(store, loaded);
    } finally {
      await store.close();
    }
  });
