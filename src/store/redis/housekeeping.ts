// The store's upkeep: trims what is past its keep, a limited number at a time, so that no write keeps the
// locks waiting. Every node does it; what one has trimmed the others do not find. Called once a minute by
// the daemon.
import type { Store } from "../store.ts";
import { namesOf, textsOf } from "../../redis/commands.ts";
import { askEach, type MailboxKeys, type Parts } from "./keys.ts";
import { folderNames, TAIL_MAX_ROWS } from "./mailbox/folders.ts";

const TAIL_KEEP_MS = 48 * 3_600_000;
const TAIL_MIN_ROWS = 1000;

/** Over all mailboxes. */
const RECEIPT_KEEP_ROWS = 100_000;
const RECEIPT_KEEP_MS = 30 * 86_400_000;

/** One trim is short; what is over goes at the next one. */
const TRIM_ROWS = 5000;
/** Of receipts that must stay this many are passed by. */
const LOOK_ROWS = 20_000;
const PAGE = 500;

/** What leaves a tail: what is old, but for the newest thousand; and what is over the maximum. */
const createTrimTails =
  ({ transact }: Parts) =>
  (keys: MailboxKeys, nowMs: number): Promise<void> =>
    transact(keys, null, async ({ read, writes }) => {
      const [fields] = await read(["HKEYS", keys.state]);
      const tails = folderNames(namesOf(fields)).map((name) => keys.tail(name));
      const counts = await read(
        ...tails.flatMap((key): ["ZCARD" | "ZCOUNT", string, ...string[]][] => [
          ["ZCARD", key],
          ["ZCOUNT", key, "-inf", `(${nowMs - TAIL_KEEP_MS}`],
        ]),
      );
      for (const [index, key] of tails.entries()) {
        const [all, old] = [Number(counts[2 * index]), Number(counts[2 * index + 1])];
        const over = Math.max(Math.min(old, all - TAIL_MIN_ROWS), all - TAIL_MAX_ROWS);
        if (over > 0) writes.zremLowest(key, Math.min(over, TRIM_ROWS));
      }
    });

const createTrimClaims =
  ({ transact }: Parts) =>
  (keys: MailboxKeys, nowMs: number): Promise<void> =>
    transact(keys, null, async ({ read, writes }) => {
      const some = ["LIMIT", "0", String(TRIM_ROWS)];
      const [ended] = await read([
        "ZRANGEBYSCORE",
        keys.claimsByEnd,
        "-inf",
        String(nowMs),
        ...some,
      ]);
      for (const claim of namesOf(ended)) {
        writes.hdel(keys.claims, claim);
        writes.zrem(keys.claimsByEnd, claim);
      }
    });

/** Trims receipts settled before an instant, the oldest first, but none on which something depends. */
const createTrimReceipts = ({ transact }: Parts) => {
  const trimPage = (
    keys: MailboxKeys,
    { before, skip, most }: { before: string; skip: number; most: number },
  ): Promise<{ found: number; gone: number }> =>
    transact(keys, null, async ({ read, writes }) => {
      const page = ["LIMIT", String(skip), String(PAGE)];
      const [ids] = await read(["ZRANGEBYSCORE", keys.receiptsByAge, "-inf", before, ...page]);
      const eventIds = namesOf(ids);
      const [rows, todos] = await read(
        ["HMGET", keys.rows, ...eventIds],
        ["ZMSCORE", keys.todos, ...eventIds],
      );
      const [hasRows, isOwed] = [textsOf(rows), textsOf(todos)];
      const free = (_: string, index: number): boolean =>
        (hasRows[index] ?? null) === null && (isOwed[index] ?? null) === null;
      const gone = eventIds.filter(free).slice(0, most);
      for (const eventId of gone) {
        writes.free(keys.receipts, eventId);
        writes.zrem(keys.receiptsByAge, eventId);
      }
      return { found: eventIds.length, gone: gone.length };
    });
  return async (keys: MailboxKeys, before: string, limit: number): Promise<void> => {
    let [skip, left] = [0, limit];
    while (left > 0 && skip < LOOK_ROWS) {
      const { found, gone } = await trimPage(keys, { before, skip, most: left });
      skip += found - gone;
      left -= gone;
      if (found < PAGE) return;
    }
  };
};

/** The `housekeep` of the contract; `others` is trimmed along. */
export const createHousekeeping = (
  parts: Parts,
  others: (nowMs: number) => Promise<void>,
): Pick<Store, "housekeep"> => {
  const trimTails = createTrimTails(parts);
  const trimClaims = createTrimClaims(parts);
  const trimReceipts = createTrimReceipts(parts);
  return {
    housekeep: async (nowMs) => {
      await others(nowMs);
      const before = `(${nowMs - RECEIPT_KEEP_MS}`;
      for (const { keys } of await askEach(parts, () => [])) {
        await trimTails(keys, nowMs);
        await trimClaims(keys, nowMs);
        await trimReceipts(keys, before, TRIM_ROWS);
      }
      const counted = await askEach(parts, ({ receiptsByAge }) => [["ZCARD", receiptsByAge]]);
      const kept = counted.map(({ keys, replies }) => ({ keys, count: Number(replies[0]) }));
      let over = kept.reduce((sum, { count }) => sum + count, 0) - RECEIPT_KEEP_ROWS;
      // A mailbox gives up only what it has above its even share.
      const share = Math.floor(RECEIPT_KEEP_ROWS / Math.max(1, kept.length));
      for (const { keys, count } of kept) {
        const most = Math.min(over, count - share, TRIM_ROWS);
        if (most <= 0) continue;
        await trimReceipts(keys, "+inf", most);
        over -= most;
      }
    },
  };
};
