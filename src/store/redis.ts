// The Redis store: puts its parts (redis/) together behind the contract of a store that several hosts
// share. Every write is one script or nothing, and no stale holder of a mailbox can make one. Built by
// daemon/ and by the commands.
import type { Clock } from "../core/clock.ts";
import type { Random } from "../core/random.ts";
import type { Redis } from "../redis/redis.ts";
import { createDocuments, createWatches } from "./redis/installation/documents.ts";
import { createNames, createNodes } from "./redis/installation/nodes.ts";
import { createMeeting } from "./redis/installation/server.ts";
import { createHousekeeping } from "./redis/housekeeping.ts";
import { createKeys, type Parts } from "./redis/keys.ts";
import { createCommit } from "./redis/mailbox/commit.ts";
import { createFolders } from "./redis/mailbox/folders.ts";
import { createReceiptReads, createTodos } from "./redis/mailbox/receipts.ts";
import {
  createAdoptions,
  createFences,
  createRedeliveries,
  createRuns,
} from "./redis/mailbox/runs.ts";
import { createSharedState } from "./redis/mailbox/shared-state.ts";
import { createOpener } from "./redis/spool/opener.ts";
import { createDueReads, createEntryReads, createWaitingReads } from "./redis/spool/spool-reads.ts";
import { createSpoolViews } from "./redis/spool/spool-views.ts";
import { createSpoolDecisions, createSpoolUpdates } from "./redis/spool/spool-writes.ts";
import { createTransactions } from "./redis/transaction.ts";
import type { SharedStore } from "./shared/shared-store.ts";
import { createSpoolCipher } from "./spool-cipher.ts";

/** What the store is built on. */
export interface RedisStoreDeps {
  redis: Redis;
  clock: Clock;
  random: Random;
  /** Base64 of 32 bytes each: the first seals payloads, all open them; empty: stored plain. */
  spoolKeys: readonly string[];
  /** The lock key of the mailbox `default`; the state of every mailbox hangs on its lock key. */
  lockKey: string;
}

/**
 * A store on a connection, which it owns from here on; nothing is sent yet. Throws an AppError
 * `store/spool-key`. Every method may reject with `RedisError`; what was being written then may have
 * been written, and may be written again.
 */
export const createRedisStore = (deps: RedisStoreDeps): SharedStore => {
  const { redis, clock, random, spoolKeys, lockKey } = deps;
  const parts: Parts = {
    ...{ redis, clock, cipher: createSpoolCipher(spoolKeys, random), keysOf: createKeys(lockKey) },
    ...createTransactions(redis),
  };
  const opener = createOpener(parts);
  const { trim, ...nodes } = createNodes(parts);
  const { stopAll, watch } = createWatches(parts);
  return {
    ...createMeeting(parts),
    ...createDocuments(parts),
    ...nodes,
    ...createNames(parts),
    ...createFences(parts),
    ...createFolders(parts),
    ...createCommit(parts),
    ...createSharedState(parts),
    ...createRuns(parts),
    ...createRedeliveries(parts),
    ...createAdoptions(parts),
    ...createReceiptReads(parts),
    ...createTodos(parts),
    ...createDueReads(parts, opener),
    ...createWaitingReads(parts, opener),
    ...createEntryReads(parts, opener),
    ...createSpoolViews(parts),
    ...createSpoolUpdates(parts),
    ...createSpoolDecisions(parts),
    ...createHousekeeping(parts, trim),
    watch,
    close: async () => {
      await stopAll();
      await redis.close();
    },
  };
};
