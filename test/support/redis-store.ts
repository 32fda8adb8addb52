// Redis stores for tests, on a real server of the test file's own: fresh state for each test, and as many
// processes on it as the test wants. It promises to close every connection that it opened.
import { openRedis } from "../../src/redis/ioredis.adapter.ts";
import type { Redis } from "../../src/redis/redis.ts";
import { repeatableRandom } from "../../src/store/contract/samples.contract.ts";
import { createRedisStore } from "../../src/store/redis.ts";
import type { SharedStore } from "../../src/store/shared/shared-store.ts";
import { type RedisServer, startRedis } from "./redis.ts";
import { createVirtualClock } from "./virtual-clock.ts";

/** The lock key of the mailbox `default` in all of these stores. */
export const LOCK_KEY = "render_signal:poller_lock";

/** How one store is opened. */
export interface RedisStoreOptions {
  spoolKeys?: readonly string[];
  /** Stands between the store and its connection. */
  wrap?: (redis: Redis) => Redis;
}

/** Stores on one state. */
export interface RedisStores extends AsyncDisposable {
  /** Another store, as another process opens it. */
  connect(options?: RedisStoreOptions): SharedStore;
  clock: ReturnType<typeof createVirtualClock>;
}

/** A server, and fresh state on it. */
export interface RedisStoreServer extends AsyncDisposable {
  server: RedisServer;
  /** Empties the server. */
  fresh(): Promise<RedisStores>;
}

/** Starts a server. */
export const startRedisStores = async (
  options?: Parameters<typeof startRedis>[0],
): Promise<RedisStoreServer> => {
  const server = await startRedis(options);
  return {
    server,
    fresh: async () => {
      await server.cli("FLUSHALL");
      const clock = createVirtualClock();
      const stores: SharedStore[] = [];
      return {
        clock,
        connect: ({ spoolKeys = [], wrap = (redis: Redis) => redis } = {}) => {
          const redis = wrap(openRedis({ url: server.url, commandTimeoutMs: 5000 }));
          const random = repeatableRandom();
          const store = createRedisStore({ redis, clock, random, spoolKeys, lockKey: LOCK_KEY });
          stores.push(store);
          return store;
        },
        [Symbol.asyncDispose]: async () => {
          await Promise.all(stores.map((store) => store.close()));
        },
      };
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
};
