// The events that a write is about: receipt and spool rows of each, as they were read and as they shall
// be. From the difference follow the commands that keep every index, sum and count right, so that no
// other file has to think of them. Used by commits, publications and all that changes the spool.
import type { RedisReply } from "../../../redis/redis.ts";
import type { Receipt, SpoolEntry, SpoolRow } from "../../store.ts";
import type { SpoolCipher } from "../../spool-cipher.ts";
import { isEnded } from "../../spool-rules.ts";
import { type Command, textsOf } from "../../../redis/commands.ts";
import type { Writes } from "../writes.ts";
import type { MailboxKeys } from "../keys.ts";
import type { Transaction } from "../transaction.ts";

/** A row, with what is known of its payload without loading it. */
export interface StoredRow extends SpoolRow {
  /** Payload bytes as they are sealed. */
  sizeBytes: number;
  /** Null: plain. */
  keyId: string | null;
}

/** One event. Receipt and rows are replaced, never changed. */
export interface EventRecord {
  eventId: string;
  receipt: Receipt | null;
  /** By destination. */
  rows: Map<string, StoredRow>;
  /** Payloads that are new, by destination, as they are stored. */
  payloads: Map<string, string>;
}

/** The events of one transaction. */
export interface EventTable {
  /** Reads those that were not read yet. */
  load(eventIds: readonly string[]): Promise<void>;
  /** Reads them at one instant with other commands, whose answers it resolves with. */
  loadWith(eventIds: readonly string[], others: readonly Command[]): Promise<readonly RedisReply[]>;
  /** One that was read. */
  get(eventId: string): EventRecord;
  /** Says what was changed. */
  write(writes: Writes): void;
}

/** The field of a payload, and the member of a parked pair; event ids have no spaces. */
export const pairName = (eventId: string, destination: string): string =>
  `${eventId} ${destination}`;

/** The waiting rows of one destination that one key opens, or that are plain. */
export const laneOf = ({ keyId, destination }: Pick<StoredRow, "keyId" | "destination">): string =>
  `${keyId ?? "-"} ${destination}`;

type KeptRow = Omit<StoredRow, "eventId" | "mailbox" | "destination">;

/** The rows of an event from their JSON. */
export const parseRows = (
  { mailbox }: MailboxKeys,
  eventId: string,
  text: string | null | undefined,
): ReadonlyMap<string, StoredRow> => {
  const kept = (text === null || text === undefined ? {} : JSON.parse(text)) as Record<
    string,
    KeptRow
  >;
  return new Map(
    Object.entries(kept).map(([destination, row]) => [
      destination,
      { ...row, eventId, mailbox, destination },
    ]),
  );
};

const rowsText = (rows: ReadonlyMap<string, StoredRow>): string => {
  const kept: Record<string, KeptRow> = {};
  for (const [destination, { eventId: _e, mailbox: _m, destination: _d, ...row }] of rows) {
    kept[destination] = row;
  }
  return JSON.stringify(kept);
};

/** A receipt from its JSON. */
export const parseReceipt = (
  { mailbox }: MailboxKeys,
  eventId: string,
  text: string | null | undefined,
): Receipt | null => {
  if (text === null || text === undefined) return null;
  return { ...(JSON.parse(text) as Omit<Receipt, "eventId" | "mailbox">), eventId, mailbox };
};

const receiptText = ({ eventId: _e, mailbox: _m, ...kept }: Receipt): string =>
  JSON.stringify(kept);

/** Places what is owed by UID: above 0 once it is delivered, below while it is not; null: nothing is. */
const owedScore = (receipt: Receipt | null): number | null => {
  if (receipt === null || !receipt.todo) return null;
  return receipt.outcome === "delivered" ? receipt.uid : -receipt.uid;
};

const countReceipt = (
  keys: MailboxKeys,
  writes: Writes,
  {
    receipt,
    by,
  }: {
    receipt: Receipt;
    by: 1 | -1;
  },
): void => {
  writes.hincr(keys.state, `count:${receipt.outcome}`, by);
  if (receipt.reduced) writes.hincr(keys.state, "count:reduced", by);
};

const writeReceipt = (
  keys: MailboxKeys,
  writes: Writes,
  { before, after }: { before: Receipt | null; after: Receipt },
): void => {
  const { eventId } = after;
  writes.hset(keys.receipts, eventId, receiptText(after));
  if (before?.settledMs !== after.settledMs) {
    writes.zadd(keys.receiptsByAge, after.settledMs, eventId);
  }
  const [owed, owes] = [owedScore(before), owedScore(after)];
  if (owes === null && owed !== null) writes.zrem(keys.todos, eventId);
  if (owes !== null && owes !== owed) writes.zadd(keys.todos, owes, eventId);
  if (before !== null) countReceipt(keys, writes, { receipt: before, by: -1 });
  countReceipt(keys, writes, { receipt: after, by: 1 });
};

/** The sorted sets that a row stands in: key, score, member. */
const placesOf = (keys: MailboxKeys, row: StoredRow): readonly [string, number, string][] => {
  if (row.state === "parked") {
    return [[keys.parked, row.parkedMs ?? 0, pairName(row.eventId, row.destination)]];
  }
  const lane = laneOf(row);
  return [
    [keys.since(lane), row.sinceMs, row.eventId],
    [keys.due(lane), row.nextAttemptMs, row.eventId],
  ];
};

const sumRow = (
  keys: MailboxKeys,
  writes: Writes,
  { row, by }: { row: StoredRow; by: 1 | -1 },
): void => {
  const lane = laneOf(row);
  writes.hincr(keys.usage, `${row.state} ${lane}`, by);
  writes.hincr(keys.usage, `bytes ${lane}`, by * row.sizeBytes);
};

const writeRow = (
  keys: MailboxKeys,
  writes: Writes,
  { before, after }: { before: StoredRow | undefined; after: StoredRow | undefined },
): void => {
  const places = after === undefined ? [] : placesOf(keys, after);
  const stays = new Set(places.map(([key]) => key));
  if (before !== undefined) {
    sumRow(keys, writes, { row: before, by: -1 });
    for (const [key, , member] of placesOf(keys, before)) {
      if (!stays.has(key)) writes.zrem(key, member);
    }
    if (after === undefined)
      writes.free(keys.payloads, pairName(before.eventId, before.destination));
  }
  if (after !== undefined) sumRow(keys, writes, { row: after, by: 1 });
  for (const [key, score, member] of places) writes.zadd(key, score, member);
};

const writeEvent = (
  keys: MailboxKeys,
  writes: Writes,
  { before, after }: { before: Pick<EventRecord, "receipt" | "rows">; after: EventRecord },
): void => {
  const { eventId, receipt, rows, payloads } = after;
  if (receipt !== null && receipt !== before.receipt) {
    writeReceipt(keys, writes, { before: before.receipt, after: receipt });
  }
  const changed = [...new Set([...before.rows.keys(), ...rows.keys()])].filter(
    (destination) => before.rows.get(destination) !== rows.get(destination),
  );
  if (changed.length === 0) return;
  for (const destination of changed) {
    writeRow(keys, writes, {
      before: before.rows.get(destination),
      after: rows.get(destination),
    });
  }
  if (rows.size === 0) writes.hdel(keys.rows, eventId);
  else writes.hset(keys.rows, eventId, rowsText(rows));
  for (const [destination, payload] of payloads) {
    writes.hset(keys.payloads, pairName(eventId, destination), payload);
  }
};

/** The commands that read events, and the events that their answers tell of. */
const eventReads = (
  keys: MailboxKeys,
  eventIds: readonly string[],
): readonly [Command, Command] => [
  ["HMGET", keys.receipts, ...eventIds],
  ["HMGET", keys.rows, ...eventIds],
];

/** An empty table. */
export const createEventTable = (keys: MailboxKeys, transaction: Transaction): EventTable => {
  const before = new Map<string, Pick<EventRecord, "receipt" | "rows">>();
  const records = new Map<string, EventRecord>();
  const loadWith: EventTable["loadWith"] = async (eventIds, others) => {
    const missing = [...new Set(eventIds)].filter((eventId) => !records.has(eventId));
    const reads = eventReads(keys, missing);
    const [receipts, rows, ...answers] = await transaction.read(...reads, ...others);
    const [receiptTexts, rowTexts] = [textsOf(receipts), textsOf(rows)];
    for (const [index, eventId] of missing.entries()) {
      const receipt = parseReceipt(keys, eventId, receiptTexts[index]);
      const found = parseRows(keys, eventId, rowTexts[index]);
      before.set(eventId, { receipt, rows: new Map(found) });
      records.set(eventId, { eventId, receipt, rows: new Map(found), payloads: new Map() });
    }
    return answers;
  };
  return {
    loadWith,
    load: async (eventIds) => {
      await loadWith(eventIds, []);
    },
    get: (eventId) => {
      const record = records.get(eventId);
      if (record === undefined) throw new Error("an event was not read before it was changed");
      return record;
    },
    write: (writes) => {
      for (const after of records.values()) {
        const was = before.get(after.eventId);
        if (was !== undefined) writeEvent(keys, writes, { before: was, after });
      }
    },
  };
};

/**
 * Adds a row; a waiting row of the same pair stays as it is, a parked one is replaced. A pair that ended
 * by its receipt gets none.
 */
export const putEntry = (record: EventRecord, entry: SpoolEntry, cipher: SpoolCipher): void => {
  const { payload, ...row } = entry;
  if (record.rows.get(row.destination)?.state === "waiting") return;
  const pair = record.receipt?.pairs[row.destination];
  if (pair !== undefined && isEnded(pair)) return;
  const { keyId, bytes } = cipher.seal(row, payload);
  const stored = keyId === null ? payload : Buffer.from(bytes).toString("base64");
  record.rows.set(row.destination, { ...row, keyId, sizeBytes: bytes.length });
  record.payloads.set(row.destination, stored);
};
