// The state of a mailbox as a whole: how new it is and what it holds, and what a node puts into it that
// Redis lost or never had. Called by whoever compares shared state with a journal.
import type { PairState } from "../../../core/outcome.ts";
import type { OpenPair, Publication, SharedState, SharedStore } from "../../shared/shared-store.ts";
import type { SpoolCipher } from "../../spool-cipher.ts";
import { isEnded, keepPairs, settledAgain, withPair } from "../../spool-rules.ts";
import type { Receipt } from "../../store.ts";
import { ask, mapOf } from "../../../redis/commands.ts";
import { folderName, type MailboxKeys, type Parts } from "../keys.ts";
import { type Transaction, versionOf } from "../transaction.ts";
import { createEventTable, type EventRecord, parseRows, putEntry } from "./events.ts";
import { addToTail, cursorsOf, putCursor } from "./folders.ts";

const openPairs = (keys: MailboxKeys, rows: ReadonlyMap<string, string>): readonly OpenPair[] =>
  [...rows].flatMap(([eventId, text]) =>
    [...parseRows(keys, eventId, text).values()].map(({ destination, uid }) => ({
      eventId,
      destination,
      uid,
    })),
  );

/**
 * Puts a receipt into the place of what is stored. Pairs that ended here stay so, and what was done after
 * delivery on either side is done.
 */
const putReceipt = (record: EventRecord, receipt: Receipt): void => {
  const before = record.receipt;
  const merged =
    before === null
      ? receipt
      : {
          ...keepPairs(
            before,
            settledAgain(before, receipt, new Set(record.rows.keys())),
            (_, former) => isEnded(former),
          ),
          todo: receipt.todo && before.todo,
        };
  record.receipt = merged;
  for (const [destination, pair] of Object.entries(merged.pairs)) {
    if (isEnded(pair)) record.rows.delete(destination);
  }
};

/**
 * A delivery that ended since this state was saved, nobody remembers how. Nothing more is owed for it: an
 * action after delivery must not meet a message that an operator dropped.
 */
const closePair = (record: EventRecord, { destination }: OpenPair): void => {
  const row = record.rows.get(destination);
  if (row === undefined) return;
  record.rows.delete(destination);
  if (record.receipt === null) return;
  const delivered: PairState = { kind: "delivered", attempts: row.attempts };
  record.receipt = { ...withPair(record.receipt, destination, delivered), todo: false };
};

const sameVersion = (a: Publication["expected"], b: Publication["expected"]): boolean =>
  a?.fence === b?.fence && a?.revision === b?.revision;

/** The state has the version that was expected: writes the publication. */
const writePublication = async (
  keys: MailboxKeys,
  transaction: Transaction,
  { publication, cipher }: { publication: Publication; cipher: SpoolCipher },
): Promise<void> => {
  const { cursors, tail, spool, receipts, closed, version } = publication;
  const { writes } = transaction;
  const events = createEventTable(keys, transaction);
  await events.load([...spool, ...receipts, ...closed].map(({ eventId }) => eventId));
  for (const cursor of cursors) putCursor(writes, keys, cursor);
  if (cursors.length > 0) {
    writes.hdel(keys.state, "adoption");
    // A holder that lives has another cursor in memory: it must not write that over this one.
    writes.hincr(keys.state, "__count", 1);
  }
  for (const { folder, uidvalidity, ...entry } of tail) {
    addToTail(writes, keys.tail(folderName(folder)), { uidvalidity, entries: [entry] });
  }
  for (const pair of closed) closePair(events.get(pair.eventId), pair);
  for (const receipt of receipts) putReceipt(events.get(receipt.eventId), receipt);
  for (const entry of spool) putEntry(events.get(entry.eventId), entry, cipher);
  events.write(writes);
  transaction.raise(version);
};

/** The state of mailboxes as a whole. */
export const createSharedState = ({
  redis,
  keysOf,
  transact,
  knownVersion,
  foreignWrites,
  note,
  cipher,
}: Parts): Pick<SharedStore, "knownVersion" | "foreignWrites" | "readState" | "publish"> => ({
  knownVersion,
  foreignWrites,
  readState: async (mailbox): Promise<SharedState> => {
    const keys = keysOf(mailbox);
    const replies = await ask(redis, [
      ["HGETALL", keys.state],
      ["HGETALL", keys.rows],
    ]);
    const [state, rows] = replies.map(mapOf);
    const fields = state ?? new Map<string, string>();
    const version = versionOf(fields.get("__fence"), fields.get("__rev"));
    note(mailbox, version);
    return {
      version,
      cursors: cursorsOf(mailbox, fields),
      open: openPairs(keys, rows ?? new Map<string, string>()),
    };
  },
  publish: async (publication) => {
    const keys = keysOf(publication.mailbox);
    return transact(keys, null, async (transaction) => {
      await transaction.read();
      const { expected, version } = publication;
      if (!sameVersion(transaction.version(), expected)) return null;
      await writePublication(keys, transaction, { publication, cipher });
      const fence = Math.max(expected?.fence ?? 0, version.fence);
      return { fence, revision: Math.max(transaction.revision(), version.revision) + 1 };
    });
  },
});
