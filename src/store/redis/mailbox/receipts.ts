// Receipts as they are read, the counts by present outcome, and the actions after delivery that are owed.
// Each message counts once, under its latest outcome, also after its receipt is trimmed. Read by
// commands, the API and the mailbox loop.
import type { Receipt, Store } from "../../store.ts";
import { ask, namesOf, textsOf } from "../../../redis/commands.ts";
import { askEach, type MailboxKeys, type Parts } from "../keys.ts";
import { createEventTable, parseReceipt } from "./events.ts";

const PAGE = 500;

const OUTCOMES = ["delivered", "filtered", "parked", "gone", "reduced"] as const;

/** The receipts of these events, in their order; those that are gone left out. */
const createFind =
  ({ redis }: Parts) =>
  async (keys: MailboxKeys, eventIds: readonly string[]): Promise<readonly Receipt[]> => {
    const [texts] = await ask(redis, [["HMGET", keys.receipts, ...eventIds]]);
    const found = textsOf(texts);
    return eventIds
      .map((eventId, index) => parseReceipt(keys, eventId, found[index]))
      .filter((receipt) => receipt !== null);
  };

const newestFirst = (a: Receipt, b: Receipt): number => b.settledMs - a.settledMs;

/** Reads receipts and counts. */
export const createReceiptReads = (
  parts: Parts,
): Pick<Store, "readReceipts" | "readReceipt" | "counts"> => {
  const { redis, keysOf } = parts;
  const find = createFind(parts);
  /** The newest of one mailbox, of one UID where it is given. */
  const newestOf = async (
    keys: MailboxKeys,
    { uid, last }: { uid?: number; last: number },
  ): Promise<readonly Receipt[]> => {
    const receipts: Receipt[] = [];
    const size = uid === undefined ? Math.min(last, PAGE) : PAGE;
    for (let first = 0; receipts.length < last; first += size) {
      const range = [String(first), String(first + size - 1)];
      const [ids] = await ask(redis, [["ZREVRANGE", keys.receiptsByAge, ...range]]);
      const eventIds = namesOf(ids);
      const found = await find(keys, eventIds);
      receipts.push(...found.filter((receipt) => uid === undefined || receipt.uid === uid));
      if (eventIds.length < size) break;
    }
    return receipts.slice(0, last);
  };
  return {
    readReceipts: async ({ mailbox, ...query }) => {
      const all =
        mailbox === undefined
          ? (await askEach(parts, () => [])).map(({ keys }) => keys)
          : [keysOf(mailbox)];
      const receipts: Receipt[] = [];
      for (const keys of all) receipts.push(...(await newestOf(keys, query)));
      return receipts.toSorted(newestFirst).slice(0, query.last);
    },
    readReceipt: async (eventId) => {
      const answers = await askEach(parts, ({ receipts }) => [["HMGET", receipts, eventId]]);
      for (const { keys, replies } of answers) {
        const receipt = parseReceipt(keys, eventId, textsOf(replies[0])[0]);
        if (receipt !== null) return receipt;
      }
      return null;
    },
    counts: async (mailbox) => {
      const fields = OUTCOMES.map((outcome) => `count:${outcome}`);
      const [texts] = await ask(redis, [["HMGET", keysOf(mailbox).state, ...fields]]);
      const found = textsOf(texts);
      const [delivered = 0, filtered = 0, parked = 0, gone = 0, reduced = 0] = found.map(Number);
      return { delivered, filtered, parked, gone, reduced };
    },
  };
};

/** What is owed after delivery. */
export const createTodos = (parts: Parts): Pick<Store, "openTodos" | "closeTodos"> => {
  const { redis, keysOf, transact } = parts;
  const find = createFind(parts);
  return {
    openTodos: async ({ mailbox, folder, uidvalidity, limit }) => {
      const keys = keysOf(mailbox);
      const open: { eventId: string; uid: number }[] = [];
      for (let first = 0; open.length < limit; first += PAGE) {
        const page = ["1", "+inf", "LIMIT", String(first), String(PAGE)];
        const [ids] = await ask(redis, [["ZRANGEBYSCORE", keys.todos, ...page]]);
        const eventIds = namesOf(ids);
        for (const receipt of await find(keys, eventIds)) {
          const isOfFolder = receipt.folder === folder && receipt.uidvalidity === uidvalidity;
          if (isOfFolder) open.push({ eventId: receipt.eventId, uid: receipt.uid });
        }
        if (eventIds.length < PAGE) break;
      }
      return open.slice(0, limit);
    },
    closeTodos: async (mailbox, fence, eventIds) =>
      transact(keysOf(mailbox), fence, async (transaction) => {
        if (eventIds.length === 0) return;
        const events = createEventTable(keysOf(mailbox), transaction);
        await events.load(eventIds);
        for (const record of eventIds.map((eventId) => events.get(eventId))) {
          if (record.receipt?.todo === true) record.receipt = { ...record.receipt, todo: false };
        }
        events.write(transaction.writes);
      }),
  };
};
