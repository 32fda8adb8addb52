// The Redis store against the contract of every store, on a real server, plain and with a spool key.
import { afterAll, beforeAll, describe } from "vitest";
import { type RedisStoreServer, startRedisStores } from "../../test/support/redis-store.ts";
import { type OpenStore, repeatableRandom } from "./contract/samples.contract.ts";
import { storeContract } from "./store.contract.ts";

describe("Redis", { tags: ["redis", "resilience"] }, () => {
  let redis: RedisStoreServer;
  beforeAll(async () => {
    redis = await startRedisStores();
  });
  afterAll(() => redis[Symbol.asyncDispose]());

  const openWith =
    (spoolKeys: readonly string[]): OpenStore =>
    async () => {
      const stores = await redis.fresh();
      const store = stores.connect({ spoolKeys });
      await store.offerHmacKey(repeatableRandom().bytes(32));
      return {
        store,
        reopen: async () => stores.connect({ spoolKeys }),
        [Symbol.asyncDispose]: () => stores[Symbol.asyncDispose](),
      };
    };

  storeContract("Redis", openWith([]));
  storeContract("Redis with a spool key", openWith([Buffer.alloc(32, 1).toString("base64")]));
});
