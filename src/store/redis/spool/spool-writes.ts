// What becomes of the rows of the spool: the results of attempts, and the decisions of operators from any
// process and without a lease. A row and the receipt of its message always move in one write. Called by
// the spool's worker and by the commands for parked deliveries.
import type { PairState } from "../../../core/outcome.ts";
import { afterAttempt, pairOfRow, parkedAs, replayed, withPair } from "../../spool-rules.ts";
import type { PairSelector, SpoolUpdate, Store } from "../../store.ts";
import { ask, inPages, mapOf, namesOf, textsOf } from "../../../redis/commands.ts";
import { askEach, type MailboxKeys, type Parts } from "../keys.ts";
import {
  createEventTable,
  type EventRecord,
  laneOf,
  parseRows,
  type StoredRow,
} from "../mailbox/events.ts";
import { CHANGES_KEY } from "../transaction.ts";
import { parseLanes, readLanes } from "./lanes.ts";
import { readParked } from "./spool-views.ts";

/** Rows that one write changes, so that no write keeps the locks waiting. */
const DECISION_ROWS = 100;
const DUE_ROWS = 500;

/** A row by its name, in a known mailbox. */
type RowName = Pick<StoredRow, "mailbox" | "eventId" | "destination">;

const movePair = (record: EventRecord, destination: string, state: PairState): void => {
  if (record.receipt !== null) record.receipt = withPair(record.receipt, destination, state);
};

/** Puts a row into the place of the one of its pair, and says so in the receipt. */
const moveRow = (record: EventRecord, row: StoredRow): void => {
  record.rows.set(row.destination, row);
  movePair(record, row.destination, pairOfRow(row));
};

/** Takes a row away, and says in the receipt how its pair ended. */
const endRow = (record: EventRecord, destination: string, end: PairState): void => {
  record.rows.delete(destination);
  movePair(record, destination, end);
};

const applyUpdate = (record: EventRecord, update: SpoolUpdate): void => {
  const { destination, attempts } = update;
  const row = record.rows.get(destination);
  // Dropped meanwhile by an operator: the result of the attempt has nothing to be written to.
  if (row === undefined) return;
  if (update.kind === "delivered") endRow(record, destination, { kind: "delivered", attempts });
  else moveRow(record, afterAttempt(row, update));
};

/** After attempts: the results of the lease's holder. */
export const createSpoolUpdates = (parts: Parts): Pick<Store, "updateSpool" | "makeDue"> => {
  const { keysOf, transact } = parts;
  /** Makes some rows of a lane due; false: none were left. */
  const makeSomeDue = (
    keys: MailboxKeys,
    { name, destination }: { name: string; destination: string },
    nowMs: number,
  ): Promise<boolean> =>
    transact(keys, null, async (transaction) => {
      const { read, writes } = transaction;
      const some = ["LIMIT", "0", String(DUE_ROWS)];
      const [ids] = await read(["ZRANGEBYSCORE", keys.due(name), `(${nowMs}`, "+inf", ...some]);
      const eventIds = namesOf(ids);
      if (eventIds.length === 0) return false;
      const events = createEventTable(keys, transaction);
      await events.load(eventIds);
      for (const eventId of eventIds) {
        const { rows } = events.get(eventId);
        const row = rows.get(destination);
        if (row?.state === "waiting" && laneOf(row) === name) {
          rows.set(destination, { ...row, nextAttemptMs: nowMs });
        } else {
          // Its row was deleted by hand; left here, it would be found for ever.
          writes.zrem(keys.due(name), eventId);
        }
      }
      events.write(writes);
      writes.incr(CHANGES_KEY);
      return true;
    });
  return {
    updateSpool: async (mailbox, fence, updates) => {
      const keys = keysOf(mailbox);
      await transact(keys, fence, async (transaction) => {
        if (updates.length === 0) return;
        const events = createEventTable(keys, transaction);
        await events.load(updates.map(({ eventId }) => eventId));
        for (const update of updates) applyUpdate(events.get(update.eventId), update);
        events.write(transaction.writes);
      });
    },
    makeDue: async (destination, nowMs) => {
      for (const { keys, replies } of await askEach(parts, ({ usage }) => [["HGETALL", usage]])) {
        for (const lane of parseLanes(mapOf(replies[0]))) {
          if (lane.destination !== destination || lane.waiting === 0) continue;
          let more = true;
          while (more) more = await makeSomeDue(keys, lane, nowMs);
        }
      }
    },
  };
};

/** Lists rows by an operator's word, and all that wait in a mailbox. */
const createLists = (parts: Parts) => {
  const { redis, keysOf } = parts;
  return {
    select: async (selector: PairSelector): Promise<readonly RowName[]> => {
      if (selector === "all") return readParked(parts);
      const { eventId, destination } = selector;
      const answers = await askEach(parts, ({ rows }) => [["HMGET", rows, eventId]]);
      return answers
        .flatMap(({ keys, replies }) => [
          ...parseRows(keys, eventId, textsOf(replies[0])[0]).values(),
        ])
        .filter((row) => destination === null || row.destination === destination);
    },
    waitingIn: async (mailbox: string): Promise<readonly RowName[]> => {
      const keys = keysOf(mailbox);
      const lanes = (await readLanes(parts, keys)).filter(({ waiting }) => waiting > 0);
      const replies = await ask(
        redis,
        lanes.map(({ name }) => ["ZRANGE", keys.since(name), "0", "-1"]),
      );
      return lanes.flatMap(({ destination }, index) =>
        namesOf(replies[index]).map((eventId) => ({ mailbox, eventId, destination })),
      );
    },
  };
};

/** A change of one row that is in a certain state. */
interface Change {
  from: StoredRow["state"];
  apply(record: EventRecord, row: StoredRow): void;
}

/** Changes rows of one mailbox in one write; resolves with how many were still as the change wants. */
const changeSome = (
  { keysOf, transact }: Parts,
  rows: readonly RowName[],
  { from, apply }: Change,
): Promise<number> => {
  const keys = keysOf(rows[0]?.mailbox ?? "");
  return transact(keys, null, async (transaction) => {
    const events = createEventTable(keys, transaction);
    await events.load(rows.map(({ eventId }) => eventId));
    let count = 0;
    for (const { eventId, destination } of rows) {
      const record = events.get(eventId);
      // Read again inside: the daemon may have changed the row since the list was made.
      const row = record.rows.get(destination);
      if (row?.state !== from) continue;
      apply(record, row);
      count += 1;
    }
    events.write(transaction.writes);
    if (count > 0) transaction.writes.incr(CHANGES_KEY);
    return count;
  });
};

/** What operators do: replay, drop, park for good. */
export const createSpoolDecisions = (
  parts: Parts,
): Pick<Store, "replay" | "drop" | "parkMailbox"> => {
  const { select, waitingIn } = createLists(parts);
  const change = async (rows: readonly RowName[], how: Change): Promise<number> => {
    let changed = 0;
    for (const [, ofMailbox] of Map.groupBy(rows, ({ mailbox }) => mailbox)) {
      for (const some of inPages(ofMailbox, DECISION_ROWS)) {
        changed += await changeSome(parts, some, how);
      }
    }
    return changed;
  };
  return {
    replay: async (selector, nowMs) =>
      change(await select(selector), {
        from: "parked",
        apply: (record, row) => moveRow(record, replayed(row, nowMs)),
      }),
    drop: async (selector) =>
      change(await select(selector), {
        from: "parked",
        apply: (record, row) =>
          endRow(record, row.destination, { kind: "dropped", attempts: row.attempts }),
      }),
    parkMailbox: async (mailbox, reason, nowMs) =>
      change(await waitingIn(mailbox), {
        from: "waiting",
        apply: (record, row) => moveRow(record, parkedAs(row, reason, nowMs)),
      }),
  };
};
