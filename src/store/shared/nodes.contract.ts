// Nodes for the tests of this folder: each with a database and a journal of its own, all at one real Redis
// that a test may empty or set back. Every message has its real event id, because a merge asks for it.
import { Redis as Client } from "ioredis";
import { createSeededRandom } from "../../../test/support/seeded-random.ts";
import { createVirtualClock } from "../../../test/support/virtual-clock.ts";
import { eventId } from "../../core/event-id.ts";
import type { Random } from "../../core/random.ts";
import { openRedis } from "../../redis/ioredis.adapter.ts";
import type { Redis } from "../../redis/redis.ts";
import {
  cursorOf,
  entryOf,
  NOW,
  receiptOf,
  spooledReceiptOf,
  tailEntryOf,
} from "../contract/samples.contract.ts";
import { createRedisStore } from "../redis.ts";
import type { SqlDatabase } from "../sqlite-database.ts";
import { openSqliteMemory } from "../sqlite.adapter.ts";
import { createSqliteStore } from "../sqlite.ts";
import type { Commit, SpoolEntry, Store } from "../store.ts";
import type { Journal } from "./journal.ts";
import { createLocalRows, type LocalRows } from "./local-rows.ts";
import { createRoutedStore } from "./routed-store.ts";
import type { SharedStore } from "./shared-store.ts";
import { createSqliteJournal } from "./sqlite-journal.ts";

/** A node; its parts may be replaced before they are used. */
export interface TestNode extends AsyncDisposable {
  random: Random;
  database: SqlDatabase;
  own: Store;
  rows: LocalRows;
  journal: Journal;
  shared: SharedStore;
  /** The routed store over all of them. */
  store: Store;
  /** Mailboxes for which it goes on alone. */
  alone: Set<string>;
  isReachable: boolean;
  failures: unknown[];
}

const connect = async (url: string): Promise<Redis> => {
  const redis = openRedis({ url, commandTimeoutMs: 2000 });
  for (;;) {
    try {
      await redis.get("nothing");
      return redis;
    } catch {
      await new Promise((resolve) => void setTimeout(resolve, 10));
    }
  }
};

/** Opens a node at the Redis with this address. */
export const openNode = async (url: string, seed = 1): Promise<TestNode> => {
  const random = createSeededRandom(seed);
  const database = openSqliteMemory();
  const deps = { database, random, spoolKeys: [] };
  const clock = createVirtualClock({ wallMs: NOW });
  const redis = await connect(url);
  const node: TestNode = {
    ...{ random, database, own: createSqliteStore(deps), rows: createLocalRows(deps) },
    journal: createSqliteJournal(database),
    shared: createRedisStore({ redis, clock, random, spoolKeys: [], lockKey: "poller" }),
    store: createSqliteStore(deps),
    ...{ alone: new Set(), isReachable: true, failures: [] },
    [Symbol.asyncDispose]: async () => {
      await node.store.close();
    },
  };
  node.store = createRoutedStore({
    ...{ shared: node.shared, local: node.own, journal: node.journal },
    isIsland: (mailbox) => node.alone.has(mailbox),
    isReachable: () => node.isReachable,
    journalFailed: (error) => void node.failures.push(error),
  });
  return node;
};

/** The parts of a node that a publication takes. */
export const publisherOf = ({ shared, rows, journal }: TestNode) => ({
  ...{ shared, local: rows, journal },
});

/** Remembers all that a Redis has; calling the result sets it back to that. */
export const saveRedis = async (url: string): Promise<() => Promise<void>> => {
  const client = new Client(url, { protocol: 2 });
  const dumps: [string, Buffer][] = [];
  for (const key of await client.keys("*")) {
    const dump = await client.dumpBuffer(key);
    if (dump !== null) dumps.push([key, dump]);
  }
  await client.quit();
  return async () => {
    const restorer = new Client(url, { protocol: 2 });
    await restorer.flushall();
    for (const [key, dump] of dumps) await restorer.restore(key, 0, dump);
    await restorer.quit();
  };
};

/** The event id of a message of mailbox `m`, folder INBOX. */
export const idOf = (uid: number, uidvalidity = "7"): string =>
  eventId({ mailbox: "m", folder: "INBOX", uidvalidity, uid });

/** The spool row of a message. */
export const rowOf = (uid: number, fields: Partial<SpoolEntry> = {}): SpoolEntry =>
  entryOf(uid, { eventId: idOf(uid), ...fields });

/** Everything up to `upTo` is settled with this commit. */
export const settledUpTo = (upTo: number, fields: Partial<Commit> = {}): Omit<Commit, "fence"> => ({
  ...{ mailbox: "m", cursor: cursorOf({ settledUpTo: upTo, settledAbove: [] }) },
  ...{ receipts: [receiptOf(upTo, { eventId: idOf(upTo) })], tail: [tailEntryOf(upTo)] },
  ...fields,
});

/** The same, but the delivery of message `upTo` waits in the spool. */
export const spooledUpTo = (upTo: number, fields: Partial<Commit> = {}): Omit<Commit, "fence"> =>
  settledUpTo(upTo, {
    receipts: [spooledReceiptOf(upTo, { eventId: idOf(upTo) })],
    spool: [rowOf(upTo)],
    ...fields,
  });

/** The delivery of a message from the spool has succeeded. */
export const deliveredFromSpool = (uid: number) => ({
  ...{ kind: "delivered" as const, eventId: idOf(uid), destination: "default", attempts: 2 },
});
