// Reading the spool: what is due, what waits longest, what cannot be opened. Only lanes and rows that the
// answer may need are looked at, however many wait. A row that no configured key opens is counted and
// otherwise left alone. Called by the spool's worker, the daemon's status and the commands.
import { LONGEST_WAIT_MS } from "../../spool-rules.ts";
import type { DueQuery, SpoolEntry, Store } from "../../store.ts";
import { ask, mapOf, namesOf, textsOf } from "../../../redis/commands.ts";
import { askEach, type MailboxKeys, type Parts } from "../keys.ts";
import { parseRows, type StoredRow } from "../mailbox/events.ts";
import { type Lane, parseLanes, readLanes } from "./lanes.ts";
import type { Opener } from "./opener.ts";

/** So many due rows of a lane are put in order by their names alone; of more, most rows are due. */
const SOME_DUE = 2000;
const PAGE = 500;

/** Is a row that may be sent from `next` on due at `nowMs`? Instants may have fractions. */
const isDue = (next: number, nowMs: number): boolean =>
  next < nowMs + 1 || next > nowMs + LONGEST_WAIT_MS;

const longestFirst = (a: StoredRow, b: StoredRow): number => a.sinceMs - b.sinceMs;

/** The first rows, up to so many payload bytes, and at least one. */
const withinBytes = (rows: readonly StoredRow[], maxBytes: number): readonly StoredRow[] => {
  let bytes = 0;
  const end = rows.findIndex(({ sizeBytes }) => (bytes += sizeBytes) > maxBytes);
  return end < 0 ? rows : rows.slice(0, Math.max(end, 1));
};

/** Reads the waiting rows of these events in one lane, in their order. */
const createReadWaiting =
  ({ redis }: Parts, { isDamaged }: Opener) =>
  async (
    keys: MailboxKeys,
    lane: Lane,
    eventIds: readonly string[],
  ): Promise<readonly StoredRow[]> => {
    const [texts] = await ask(redis, [["HMGET", keys.rows, ...eventIds]]);
    const found = textsOf(texts);
    return eventIds
      .map((eventId, index) => parseRows(keys, eventId, found[index]).get(lane.destination))
      .filter((row) => row?.state === "waiting" && row.keyId === lane.keyId && !isDamaged(row))
      .filter((row) => row !== undefined);
  };

/** Finds what is due in one lane: the rows that wait longest, at most `limit`. */
const createFindDue = (parts: Parts, opener: Opener) => {
  const { redis } = parts;
  const { isDamaged } = opener;
  const readWaiting = createReadWaiting(parts, opener);

  const dueIds = async (keys: MailboxKeys, { name }: Lane, nowMs: number) => {
    const some = ["LIMIT", "0", String(SOME_DUE)];
    const replies = await ask(redis, [
      ["ZRANGEBYSCORE", keys.due(name), "-inf", `(${nowMs + 1}`, ...some],
      ["ZRANGEBYSCORE", keys.due(name), `(${nowMs + LONGEST_WAIT_MS}`, "+inf", ...some],
    ]);
    return replies.flatMap(namesOf);
  };

  /** The events among these that wait longest. */
  const longestWaiting = async (
    keys: MailboxKeys,
    { name, destination }: Lane,
    { eventIds, limit }: { eventIds: readonly string[]; limit: number },
  ): Promise<readonly string[]> => {
    const [scores] = await ask(redis, [["ZMSCORE", keys.since(name), ...eventIds]]);
    const since = textsOf(scores);
    return eventIds
      .map((eventId, index) => ({ eventId, destination, sinceMs: Number(since[index]) }))
      .filter((row) => !isDamaged({ ...row, mailbox: keys.mailbox }))
      .toSorted((a, b) => a.sinceMs - b.sinceMs)
      .slice(0, limit)
      .map(({ eventId }) => eventId);
  };

  /** Nearly every row is due: from the one that waits longest on. */
  const walk = async (
    keys: MailboxKeys,
    lane: Lane,
    { nowMs, limit }: DueQuery,
  ): Promise<readonly StoredRow[]> => {
    const due: StoredRow[] = [];
    for (let first = 0; due.length < limit; first += PAGE) {
      const range = [String(first), String(first + PAGE - 1)];
      const [ids] = await ask(redis, [["ZRANGE", keys.since(lane.name), ...range]]);
      const eventIds = namesOf(ids);
      const rows = await readWaiting(keys, lane, eventIds);
      due.push(...rows.filter(({ nextAttemptMs }) => isDue(nextAttemptMs, nowMs)));
      if (eventIds.length < PAGE) break;
    }
    return due;
  };

  return async (keys: MailboxKeys, lane: Lane, query: DueQuery): Promise<readonly StoredRow[]> => {
    const { nowMs, limit } = query;
    const eventIds = await dueIds(keys, lane, nowMs);
    if (eventIds.length === 0) return [];
    if (eventIds.length >= SOME_DUE) return walk(keys, lane, query);
    const first = await longestWaiting(keys, lane, { eventIds, limit });
    const rows = await readWaiting(keys, lane, first);
    return rows.filter(({ nextAttemptMs }) => isDue(nextAttemptMs, nowMs));
  };
};

/** What is due. */
export const createDueReads = (
  parts: Parts,
  opener: Opener,
): Pick<Store, "dueEntries" | "dueBytes"> => {
  const { keysOf } = parts;
  const findDue = createFindDue(parts, opener);
  const dueRows = async (query: DueQuery): Promise<readonly StoredRow[]> => {
    const keys = keysOf(query.mailbox);
    const lanes = (await readLanes(parts, keys)).filter(
      (lane) =>
        lane.waiting > 0 && opener.canOpen(lane.keyId) && !query.except.includes(lane.destination),
    );
    const rows = await Promise.all(lanes.map((lane) => findDue(keys, lane, query)));
    return withinBytes(rows.flat().toSorted(longestFirst).slice(0, query.limit), query.maxBytes);
  };
  return {
    dueEntries: async (query) => opener.openEach(keysOf(query.mailbox), await dueRows(query)),
    dueBytes: async (query) =>
      (await dueRows(query)).reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
  };
};

/** What waits, due or not, without looking at more than the first rows of each lane. */
export const createWaitingReads = (
  parts: Parts,
  opener: Opener,
): Pick<Store, "waitingDestinations" | "nextDueMs" | "oldestWaiting"> => {
  const { redis, keysOf } = parts;
  const { canOpen, damagedIn, isDamaged } = opener;
  const readWaiting = createReadWaiting(parts, opener);
  const openLanes = async (keys: MailboxKeys): Promise<readonly Lane[]> => {
    const lanes = await readLanes(parts, keys);
    return lanes.filter(({ keyId, waiting }) => canOpen(keyId) && waiting > 0);
  };
  /** The lowest of a lane's sorted set that is not damaged, and its score. */
  const lowest = async (
    keys: MailboxKeys,
    { key, destination }: { key: string; destination: string },
  ): Promise<{ eventId: string; score: number } | null> => {
    const last = String(damagedIn(keys.mailbox).length);
    const [reply] = await ask(redis, [["ZRANGE", key, "0", last, "WITHSCORES"]]);
    for (const [eventId, score] of mapOf(reply)) {
      if (isDamaged({ mailbox: keys.mailbox, eventId, destination })) continue;
      return { eventId, score: Number(score) };
    }
    return null;
  };
  return {
    waitingDestinations: async (mailbox) => {
      const keys = keysOf(mailbox);
      const lanes = await openLanes(keys);
      const found = await Promise.all(
        lanes.map(({ name, destination }) => lowest(keys, { key: keys.since(name), destination })),
      );
      const waited = lanes.filter((_, index) => found[index] !== null);
      return [...new Set(waited.map(({ destination }) => destination))].toSorted();
    },
    nextDueMs: async (mailbox, except) => {
      const keys = keysOf(mailbox);
      const lanes = (await openLanes(keys)).filter(
        ({ destination }) => !except.includes(destination),
      );
      const found = await Promise.all(
        lanes.map(({ name, destination }) => lowest(keys, { key: keys.due(name), destination })),
      );
      const due = found.filter((one) => one !== null).map(({ score }) => score);
      return due.length === 0 ? null : Math.min(...due);
    },
    oldestWaiting: async (mailbox, destination): Promise<SpoolEntry | null> => {
      const keys = keysOf(mailbox);
      const rows: StoredRow[] = [];
      for (const lane of await openLanes(keys)) {
        if (lane.destination !== destination) continue;
        const first = await lowest(keys, { key: keys.since(lane.name), destination });
        if (first !== null) rows.push(...(await readWaiting(keys, lane, [first.eventId])));
      }
      const [oldest] = rows.toSorted(longestFirst);
      return oldest === undefined ? null : ((await opener.openEach(keys, [oldest]))[0] ?? null);
    },
  };
};

/** Rows by their event, and how many cannot be opened. */
export const createEntryReads = (
  parts: Parts,
  opener: Opener,
): Pick<Store, "readEntries" | "undecryptable"> => {
  const { redis, keysOf } = parts;
  const { canOpen, damagedIn, openEach } = opener;
  const countDamaged = async (mailbox: string): Promise<number> => {
    const keys = keysOf(mailbox);
    const damaged = damagedIn(mailbox);
    const [texts] = await ask(redis, [
      ["HMGET", keys.rows, ...damaged.map(({ eventId }) => eventId)],
    ]);
    const found = textsOf(texts);
    const isThere = damaged.map(({ eventId, destination }, index) =>
      canOpen(parseRows(keys, eventId, found[index]).get(destination)?.keyId),
    );
    return isThere.filter(Boolean).length;
  };
  return {
    readEntries: async (eventId) => {
      const entries: SpoolEntry[] = [];
      for (const { keys, replies } of await askEach(parts, ({ rows }) => [
        ["HMGET", rows, eventId],
      ])) {
        const rows = [...parseRows(keys, eventId, textsOf(replies[0])[0]).values()];
        const ordered = rows.toSorted((a, b) => (a.destination < b.destination ? -1 : 1));
        entries.push(...(await openEach(keys, ordered)));
      }
      return entries;
    },
    undecryptable: async () => {
      let count = 0;
      for (const { keys, replies } of await askEach(parts, ({ usage }) => [["HGETALL", usage]])) {
        for (const { keyId, waiting, parked } of parseLanes(mapOf(replies[0]))) {
          if (!canOpen(keyId)) count += waiting + parked;
        }
        count += await countDamaged(keys.mailbox);
      }
      return count;
    },
  };
};
