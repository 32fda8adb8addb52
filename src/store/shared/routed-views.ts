// What is asked or decided over all mailboxes at once, of the shared store and of the node's own: rows and
// receipts lie in the own one only from a time alone, until they are published. Used by the routed store.
import type { OutcomeCounts, Receipt, SpoolUsage, Store } from "../store.ts";

/** The two stores of a node. */
export interface BothStores {
  shared: Store;
  local: Store;
  isReachable(): boolean;
}

/** Asks the own store, and the shared one unless it cannot be reached (that would cost a timeout). */
const createAskBoth =
  ({ shared, local, isReachable }: BothStores) =>
  async <T>(ask: (store: Store) => Promise<T>): Promise<readonly T[]> => {
    const own = await ask(local);
    return isReachable() ? [own, await ask(shared)] : [own];
  };

const sum = (numbers: readonly number[]): number => numbers.reduce((all, one) => all + one, 0);

const addUsage = (usages: readonly SpoolUsage[]): SpoolUsage => {
  const parts = Map.groupBy(
    usages.flatMap((usage) => usage.parts),
    ({ mailbox, destination }) => `${mailbox} ${destination}`,
  );
  const limits = usages.map(({ maxBytes }) => maxBytes).filter((limit) => limit !== null);
  return {
    rows: sum(usages.map(({ rows }) => rows)),
    bytes: sum(usages.map(({ bytes }) => bytes)),
    maxBytes: limits.length === 0 ? null : Math.min(...limits),
    parts: [...parts.values()].flatMap((same) => {
      const [first] = same;
      if (first === undefined) return [];
      const waiting = sum(same.map((part) => part.waiting));
      return [{ ...first, waiting, parked: sum(same.map((part) => part.parked)) }];
    }),
  };
};

const addCounts = (counts: readonly OutcomeCounts[]): OutcomeCounts => ({
  delivered: sum(counts.map(({ delivered }) => delivered)),
  filtered: sum(counts.map(({ filtered }) => filtered)),
  parked: sum(counts.map(({ parked }) => parked)),
  gone: sum(counts.map(({ gone }) => gone)),
  reduced: sum(counts.map(({ reduced }) => reduced)),
});

/** The first of each name: the own store is asked first, and what it has is newer. */
const firstOfEach = <T>(lists: readonly (readonly T[])[], nameOf: (item: T) => string): T[] => {
  const found = new Map<string, T>();
  for (const item of lists.flat()) {
    if (!found.has(nameOf(item))) found.set(nameOf(item), item);
  }
  return [...found.values()];
};

/** Reads over both stores. */
export const createRoutedReads = (
  stores: BothStores,
): Pick<
  Store,
  | "spoolUsage"
  | "undecryptable"
  | "listParked"
  | "readEntries"
  | "readReceipts"
  | "readReceipt"
  | "counts"
  | "readClaims"
> => {
  const askBoth = createAskBoth(stores);
  return {
    spoolUsage: async () => addUsage(await askBoth((store) => store.spoolUsage())),
    undecryptable: async () => sum(await askBoth((store) => store.undecryptable())),
    listParked: async () => {
      const lists = await askBoth((store) => store.listParked());
      return firstOfEach(lists, (row) => `${row.eventId} ${row.destination}`).toSorted(
        (a, b) => (a.parkedMs ?? 0) - (b.parkedMs ?? 0),
      );
    },
    readEntries: async (eventId) =>
      firstOfEach(await askBoth((store) => store.readEntries(eventId)), (row) => row.destination),
    readReceipts: async (query) => {
      const lists = await askBoth((store) => store.readReceipts(query));
      return firstOfEach(lists, ({ eventId }: Receipt) => eventId)
        .toSorted((a, b) => b.settledMs - a.settledMs)
        .slice(0, query.last);
    },
    readReceipt: async (eventId) => {
      const found = await askBoth((store) => store.readReceipt(eventId));
      return found.find((receipt) => receipt !== null) ?? null;
    },
    counts: async (mailbox) => addCounts(await askBoth((store) => store.counts(mailbox))),
    // A claim that was made alone is known here only; where both have one, the shared one stands.
    readClaims: async (keys, nowMs) =>
      new Map(
        (await askBoth((store) => store.readClaims(keys, nowMs))).flatMap((found) => [...found]),
      ),
  };
};

/** Decisions over both stores. */
export const createRoutedDecisions = (
  stores: BothStores,
): Pick<Store, "makeDue" | "replay" | "drop" | "parkMailbox" | "housekeep"> => {
  const { shared, local } = stores;
  const askBoth = createAskBoth(stores);
  /** An operator must learn that shared rows could not be reached, unless the rows meant were here. */
  const decide = async (
    isOneEvent: boolean,
    change: (store: Store) => Promise<number>,
  ): Promise<number> => {
    const own = await change(local);
    return isOneEvent && own > 0 ? own : own + (await change(shared));
  };
  return {
    makeDue: async (destination, nowMs) =>
      void (await askBoth((store) => store.makeDue(destination, nowMs))),
    replay: (selector, nowMs) =>
      decide(selector !== "all", (store) => store.replay(selector, nowMs)),
    drop: (selector) => decide(selector !== "all", (store) => store.drop(selector)),
    parkMailbox: async (mailbox, reason, nowMs) =>
      sum(await askBoth((store) => store.parkMailbox(mailbox, reason, nowMs))),
    housekeep: async (nowMs) => void (await askBoth((store) => store.housekeep(nowMs))),
  };
};
