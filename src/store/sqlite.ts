// The SQLite store: puts its parts (sqlite/) together behind the contract of store.ts. Every write is
// one durable transaction or nothing, and no stale holder of a mailbox can make one. Built by daemon/ and
// by the commands, on a file; by tests and the simulator, on memory.
import type { Random } from "../core/random.ts";
import type { SqlDatabase } from "./sqlite-database.ts";
import { createCommit } from "./sqlite/commit.ts";
import { createAdoptions, createDocuments } from "./sqlite/documents.ts";
import { createFencedTransaction, createFences, createTransaction } from "./sqlite/fence.ts";
import { createClaims, createCursors, createTail } from "./sqlite/folders.ts";
import { createHousekeeping } from "./sqlite/housekeeping.ts";
import { createReceiptReads, createReceiptWrites, createTodos } from "./sqlite/receipts.ts";
import {
  createForgetUids,
  createNames,
  createNodes,
  createRedeliveries,
  createRuns,
} from "./sqlite/runs.ts";
import { prepareSchema } from "./sqlite/schema.ts";
import { createSpoolCipher } from "./spool-cipher.ts";
import { createSpoolEntries, createSpoolViews } from "./sqlite/spool-reads.ts";
import { createSpoolDecisions, createSpoolUpdates, createSpoolWrites } from "./sqlite/spool.ts";
import type { Store } from "./store.ts";

/** What the store is built on. */
export interface SqliteStoreDeps {
  database: SqlDatabase;
  random: Random;
  /** Base64 of 32 bytes each: the first seals payloads, all open them; empty: stored plain. */
  spoolKeys: readonly string[];
}

/** The key that several nodes share, once this one knows it: their hashes must agree. */
const createHmacKey = (database: SqlDatabase): Pick<Store, "hmacKey"> => {
  const read = database.prepare(
    `SELECT value FROM meta WHERE name IN ('hmac_key', 'shared_hmac_key')
     ORDER BY name = 'shared_hmac_key' DESC LIMIT 1`,
  );
  return { hmacKey: async () => read.get()?.["value"] as Uint8Array };
};

/**
 * A store on an open database, which it owns from here on. Throws an AppError `store/newer-schema` or
 * `store/spool-key`, and errors of the medium as they are.
 */
export const createSqliteStore = ({ database, random, spoolKeys }: SqliteStoreDeps): Store => {
  const transaction = createTransaction(database);
  const cipher = createSpoolCipher(spoolKeys, random);
  prepareSchema(database, transaction, random);
  const fenced = createFencedTransaction(database, transaction);
  const cursors = createCursors(database);
  const tail = createTail(database);
  const claims = createClaims(database);
  const receipts = createReceiptWrites(database);
  const spool = createSpoolWrites(database, cipher);
  const spoolParts = { database, transaction, fenced, cipher, receipts };
  const { trim: trimNodes, ...nodes } = createNodes(database);
  const forgetUids = createForgetUids(database);
  const { dropAll, ...todos } = createTodos(database, fenced);
  const { carriedOut, ...adoptions } = createAdoptions(database);
  const trims = [receipts.trim, tail.trim, claims.trim, trimNodes];
  let open = true;
  return {
    ...createHmacKey(database),
    readCursor: cursors.readCursor,
    readTail: tail.readTail,
    readClaims: claims.readClaims,
    ...createFences(database, transaction),
    ...createCommit({
      ...{ fenced, cursors, tail, claims, receipts, spool, forgetUids },
      todos: { dropAll },
      adoptions: { carriedOut },
    }),
    ...createRuns(database, fenced),
    ...createRedeliveries(database, { transaction, fenced }),
    ...createSpoolEntries(database, cipher),
    ...createSpoolViews(database),
    ...createSpoolUpdates(spoolParts, spool),
    ...createSpoolDecisions(spoolParts, spool),
    ...createReceiptReads(database, receipts),
    ...todos,
    ...createDocuments(database, transaction),
    ...adoptions,
    watch: (changed) => database.watch(changed),
    ...nodes,
    ...createNames(database, transaction),
    ...createHousekeeping(database, transaction, trims),
    close: async () => {
      if (open) database.close();
      open = false;
    },
  };
};
