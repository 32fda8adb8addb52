// The store of a node that shares its state: each mailbox's calls go to the shared store or, while the node
// goes on alone for that mailbox (an island), to its own; what is written to the shared one is noted in the
// journal. Built by daemon/ and by the commands when a Redis is configured.
import { RedisError } from "../../redis/redis.ts";
import { DOCUMENTS, type DocumentName, type Store, type StoredDocument } from "../store.ts";
import { copyState } from "./copy-state.ts";
import type { Journal } from "./journal.ts";
import { createRoutedDecisions, createRoutedReads } from "./routed-views.ts";
import { type SharedStore, type StateVersion } from "./shared-store.ts";

/** What the routed store is built on; it closes both stores. */
export interface RoutedStoreDeps {
  shared: SharedStore;
  /** In the same database as the journal. */
  local: Store;
  journal: Journal;
  /** Does the node go on alone for this mailbox now? */
  isIsland(mailbox: string): boolean;
  /** Did Redis answer lately? */
  isReachable(): boolean;
  /**
   * The journal could not be written after a shared write that stands. It is copied anew with the next
   * write; until then a loss of Redis may cause duplicates.
   */
  journalFailed(error: unknown): void;
}

/** Notes shared writes in the journal; a failure is told and made good, and never fails the write. */
const createNotes = ({ shared, journal, journalFailed }: RoutedStoreDeps) => {
  /** Mailboxes with a write that the journal lacks: it must not be told of a later one alone. */
  const behind = new Set<string>();
  /** Writes of others, such as an operator's, that the journal has been told of. */
  const foreign = new Map<string, number>();
  return async (mailbox: string, note: (version: StateVersion) => Promise<void>): Promise<void> => {
    try {
      const version = shared.knownVersion(mailbox);
      const others = shared.foreignWrites(mailbox);
      // To note our own write alone would hide what another wrote before it.
      if (foreign.get(mailbox) !== others) behind.add(mailbox);
      if (behind.has(mailbox) || version === null) await copyState({ shared, journal }, mailbox);
      else await note(version);
      behind.delete(mailbox);
      foreign.set(mailbox, others);
    } catch (error) {
      behind.add(mailbox);
      journalFailed(error);
    }
  };
};

type Route = (mailbox: string) => Store;

/** The calls that concern one mailbox and need nothing but the right store. */
const createByMailbox = (route: Route) =>
  ({
    issueFence: (mailbox, wallMs) => route(mailbox).issueFence(mailbox, wallMs),
    readCursor: (mailbox, folder) => route(mailbox).readCursor(mailbox, folder),
    readTail: (mailbox, folder) => route(mailbox).readTail(mailbox, folder),
    beginRun: (mailbox, fence) => route(mailbox).beginRun(mailbox, fence),
    endRun: (mailbox, fence) => route(mailbox).endRun(mailbox, fence),
    writeSuspects: (mailbox, fence, suspects) =>
      route(mailbox).writeSuspects(mailbox, fence, suspects),
    dueEntries: (query) => route(query.mailbox).dueEntries(query),
    dueBytes: (query) => route(query.mailbox).dueBytes(query),
    waitingDestinations: (mailbox) => route(mailbox).waitingDestinations(mailbox),
    nextDueMs: (mailbox, except) => route(mailbox).nextDueMs(mailbox, except),
    oldestWaiting: (mailbox, destination) => route(mailbox).oldestWaiting(mailbox, destination),
    openTodos: (query) => route(query.mailbox).openTodos(query),
    closeTodos: (mailbox, fence, eventIds) => route(mailbox).closeTodos(mailbox, fence, eventIds),
    requestRedelivery: (mailbox, uids) => route(mailbox).requestRedelivery(mailbox, uids),
    readRedeliveries: (mailbox) => route(mailbox).readRedeliveries(mailbox),
    clearRedeliveries: (mailbox, fence, uids) =>
      route(mailbox).clearRedeliveries(mailbox, fence, uids),
  }) satisfies Partial<Store>;

/** Commits and spool updates. */
const createWrites = (deps: RoutedStoreDeps): Pick<Store, "commit" | "updateSpool"> => {
  const { shared, local, journal, isIsland } = deps;
  const note = createNotes(deps);
  return {
    commit: async (commit) => {
      const { mailbox } = commit;
      if (isIsland(mailbox)) return await local.commit(commit);
      const result = await shared.commit(commit);
      await note(mailbox, (version) => journal.record(commit, version));
      return result;
    },
    updateSpool: async (mailbox, fence, updates) => {
      const delivered = updates.filter(({ kind }) => kind === "delivered");
      if (isIsland(mailbox)) {
        await local.updateSpool(mailbox, fence, updates);
        // Begun before the node was alone: the row lies where nobody can be told now.
        if (delivered.length > 0) await journal.endAlone(mailbox, delivered);
        return;
      }
      await shared.updateSpool(mailbox, fence, updates);
      if (delivered.length === 0) return;
      await note(mailbox, (version) => journal.close(mailbox, delivered, version));
    },
  };
};

const writeOf = (stored: StoredDocument | null): string =>
  stored === null ? "-" : `${stored.version}/${stored.updatedMs}`;

/** The journal never steps back: what Redis lost must be known until it stands there again. */
const newest = (
  shared: Readonly<Record<DocumentName, StoredDocument | null>>,
  known: Readonly<Record<DocumentName, StoredDocument | null>>,
): Record<DocumentName, StoredDocument | null> => {
  const merged = { ...known };
  for (const name of DOCUMENTS) {
    const [theirs, ours] = [shared[name], known[name]];
    if (theirs === null || theirs.version === 0) continue;
    if (ours === null || theirs.updatedMs >= ours.updatedMs) merged[name] = theirs;
  }
  return merged;
};

/** The documents: shared, or as this node saw them last. */
const createDocuments = (deps: RoutedStoreDeps): Pick<Store, "readDocuments" | "writeDocument"> => {
  const { shared, journal, isReachable, journalFailed } = deps;
  let copied = "";
  const read: Store["readDocuments"] = async () => {
    const documents = await shared.readDocuments();
    const versions = DOCUMENTS.map((name) => writeOf(documents[name])).join(" ");
    if (versions === copied) return documents;
    try {
      await journal.copyDocuments(newest(documents, await journal.documents()));
      copied = versions;
    } catch (error) {
      journalFailed(error);
    }
    return documents;
  };
  return {
    readDocuments: async () => {
      let failure: RedisError | null = null;
      try {
        if (isReachable()) return await read();
      } catch (error) {
        if (!(error instanceof RedisError)) throw error;
        failure = error;
      }
      const documents = await journal.documents();
      if (DOCUMENTS.some((name) => documents[name] !== null)) return documents;
      if (failure !== null) throw failure;
      return await read();
    },
    writeDocument: (name, document, options) => shared.writeDocument(name, document, options),
  };
};

/** What the processes tell of themselves. */
const createLiving = ({
  shared,
  local,
  isReachable,
}: RoutedStoreDeps): Pick<Store, "writeNode" | "readNodes" | "nameMailboxes" | "lastNamedMs"> => {
  const present = (): Store => (isReachable() ? shared : local);
  return {
    writeNode: (node, live, wallMs) => present().writeNode(node, live, wallMs),
    readNodes: () => present().readNodes(),
    nameMailboxes: async (mailboxes, wallMs) => {
      // Here as well, so that rows from a time alone are not taken for those of a removed mailbox.
      await local.nameMailboxes(mailboxes, wallMs);
      if (isReachable()) await shared.nameMailboxes(mailboxes, wallMs);
    },
    lastNamedMs: (mailbox) => present().lastNamedMs(mailbox),
  };
};

/**
 * The store of a node that shares its state. Calls for a mailbox on an island are answered by the node's
 * own store, all others by the shared one, which may reject with `RedisError`.
 */
export const createRoutedStore = (deps: RoutedStoreDeps): Store => {
  const { shared, local, isIsland, isReachable } = deps;
  return {
    ...createByMailbox((mailbox) => (isIsland(mailbox) ? local : shared)),
    ...createWrites(deps),
    ...createRoutedReads(deps),
    ...createRoutedDecisions(deps),
    ...createDocuments(deps),
    ...createLiving(deps),
    // The own store knows the shared key since it met Redis, and answers without it.
    hmacKey: () => local.hmacKey(),
    redeliveryMailboxes: async () => {
      const own = (await local.redeliveryMailboxes()).filter(isIsland);
      if (!isReachable()) return own;
      const others = await shared.redeliveryMailboxes();
      return [...own, ...others.filter((mailbox) => !isIsland(mailbox))].toSorted();
    },
    adopt: (mailbox, startFrom) => shared.adopt(mailbox, startFrom),
    readAdoption: (mailbox) => shared.readAdoption(mailbox),
    watch: (changed) => {
      const stops = [local.watch(changed), shared.watch(changed)];
      return () => {
        for (const stop of stops) stop();
      };
    },
    close: async () => {
      await shared.close();
      await local.close();
    },
  };
};
