// The fenced commit: cursor, tail, claims, receipts and spool rows in one script. After it, the messages
// it names are settled for good; before it, nothing of them is. Called by the cycle.
import { AppError } from "../../../core/errors.ts";
import { settledAgain } from "../../spool-rules.ts";
import type { Commit, CommitResult, CursorRecord, Receipt, Store } from "../../store.ts";
import { namesOf, textsOf } from "../../../redis/commands.ts";
import { folderName, type MailboxKeys, type Parts } from "../keys.ts";
import type { Transaction } from "../transaction.ts";
import { createEventTable, type EventRecord, type EventTable, putEntry } from "./events.ts";
import {
  addToTail,
  cursorField,
  parseCursor,
  putClaims,
  putCursor,
  takeMatched,
} from "./folders.ts";

/** A commit that is being worked out. */
interface Work {
  keys: MailboxKeys;
  transaction: Transaction;
  events: EventTable;
}

/** Replaces the receipt of an event; pairs that the new one calls delivered leave the spool. */
const putReceipt = (record: EventRecord, receipt: Receipt): void => {
  const before = record.receipt;
  const inSpool = new Set(record.rows.keys());
  record.receipt = before === null ? receipt : settledAgain(before, receipt, inSpool);
  for (const [destination, { kind }] of Object.entries(record.receipt.pairs)) {
    if (kind === "delivered") record.rows.delete(destination);
  }
};

const isRenumbered = (stored: CursorRecord | null, cursor: CursorRecord): boolean =>
  stored !== null &&
  (stored.uidvalidity !== cursor.uidvalidity || stored.accountHash !== cursor.accountHash);

/** What was kept by UID is forgotten when this commit renumbers its folder. */
const forgetNumbers = async (
  { keys, transaction, events }: Work,
  folder: string,
): Promise<number> => {
  const { read, writes } = transaction;
  writes.del(keys.suspects);
  writes.del(keys.redeliveries);
  const [owed] = await read(["ZRANGE", keys.todos, "0", "-1"]);
  const eventIds = namesOf(owed);
  await events.load(eventIds);
  let dropped = 0;
  for (const record of eventIds.map((eventId) => events.get(eventId))) {
    if (record.receipt?.todo !== true || record.receipt.folder !== folder) continue;
    record.receipt = { ...record.receipt, todo: false };
    dropped += 1;
  }
  return dropped;
};

const forgetUids = ({ keys, transaction }: Work, receipts: readonly Receipt[]): void => {
  for (const { uid } of receipts) {
    transaction.writes.hdel(keys.suspects, String(uid));
    transaction.writes.zrem(keys.redeliveries, String(uid));
  }
};

const writeTail = async (
  { keys, transaction }: Work,
  { folder, uidvalidity }: CursorRecord,
  { tail = [], tailMatched = [] }: Commit,
): Promise<void> => {
  const key = keys.tail(folderName(folder));
  const { read, writes } = transaction;
  if (tailMatched.length > 0) {
    const [members] = await read(["ZRANGE", key, "0", "-1"]);
    const matched = { hashes: tailMatched, uidvalidity, entries: tail };
    takeMatched(writes, { key, members: namesOf(members) }, matched);
  }
  addToTail(writes, key, { uidvalidity, entries: tail });
};

const checkTail = ({ cursor, tail = [], tailMatched = [] }: Commit): void => {
  if (cursor !== undefined || tail.length + tailMatched.length === 0) return;
  throw new AppError("store/no-cursor", "a commit with tail entries must carry the cursor", {
    hint: "this is a bug of signalpost; please report it with this message",
  });
};

/** The `commit` of the contract. */
export const createCommit = ({ transact, keysOf, cipher }: Parts): Pick<Store, "commit"> => {
  const work = async (commit: Commit, transaction: Transaction): Promise<CommitResult> => {
    const { mailbox, cursor, receipts = [], claims = [], spool = [] } = commit;
    const keys = keysOf(mailbox);
    const { writes } = transaction;
    const events = createEventTable(keys, transaction);
    const parts = { keys, transaction, events };
    const fields = cursor === undefined ? [] : [cursorField(cursor.folder), "adoption"];
    const [state, claimed] = await events.loadWith(
      [...receipts, ...spool].map(({ eventId }) => eventId),
      [
        ["HMGET", keys.state, ...fields],
        ["HMGET", keys.claims, ...claims.map(({ key }) => key)],
      ],
    );
    let droppedTodos = 0;
    if (cursor !== undefined) {
      const [stored, adoption] = textsOf(state);
      const renumbered = isRenumbered(parseCursor(mailbox, stored), cursor);
      // Before the receipts of this commit, which belong to the new numbering.
      if (renumbered) droppedTodos = await forgetNumbers(parts, cursor.folder);
      putCursor(writes, keys, cursor);
      if (adoption !== null) writes.hdel(keys.state, "adoption");
      await writeTail(parts, cursor, commit);
    }
    const nowMs = Math.max(0, ...receipts.map(({ settledMs }) => settledMs));
    putClaims(writes, keys, { claims, stored: textsOf(claimed), nowMs });
    for (const receipt of receipts) putReceipt(events.get(receipt.eventId), receipt);
    forgetUids(parts, receipts);
    for (const entry of spool) putEntry(events.get(entry.eventId), entry, cipher);
    events.write(writes);
    return { droppedTodos };
  };
  return {
    commit: async (commit) => {
      checkTail(commit);
      const { mailbox, fence, cursor, receipts = [], claims = [], spool = [] } = commit;
      const isEmpty = cursor === undefined && receipts.length + claims.length + spool.length === 0;
      return transact(keysOf(mailbox), fence, async (transaction) =>
        isEmpty ? { droppedTodos: 0 } : work(commit, transaction),
      );
    },
  };
};
