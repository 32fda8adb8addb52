// How the rows of the spool and the receipts of their messages go together, whatever they are stored in:
// pure functions from what is there to what takes its place. Called by every store.
import { outcomeOfPairs, type PairState, type ParkReason } from "../core/outcome.ts";
import type { Receipt, SpoolRow, SpoolUpdate } from "./store.ts";

/**
 * Nobody waits longer than a day for anything. A row that is due later was written when the clock was
 * wrong, and is due now.
 */
export const LONGEST_WAIT_MS = 25 * 3_600_000;

/** What a row says of its pair. */
export const pairOfRow = (
  row: Pick<SpoolRow, "state" | "attempts" | "errorClass" | "reason">,
): PairState =>
  row.state === "waiting"
    ? { kind: "waiting", attempts: row.attempts, errorClass: row.errorClass }
    : {
        kind: "parked",
        attempts: row.attempts,
        reason: row.reason ?? row.errorClass ?? "attempts_exhausted",
      };

/** A receipt in which one pair has another state. */
export const withPair = (receipt: Receipt, destination: string, state: PairState): Receipt => {
  const pairs = { ...receipt.pairs, [destination]: state };
  // With a pair dropped the message is never wholly delivered: nothing is owed any more.
  const todo = receipt.todo && state.kind !== "dropped";
  return { ...receipt, pairs, todo, outcome: outcomeOfPairs(Object.values(pairs)) };
};

/** Did the pair come to its end? */
export const isEnded = ({ kind }: PairState): boolean => kind === "delivered" || kind === "dropped";

/** A receipt with some of the pairs of a former one, which stands beside it or in the place of its own. */
export const keepPairs = (
  before: Receipt,
  receipt: Receipt,
  isKept: (destination: string, former: PairState) => boolean,
): Receipt => {
  const kept = Object.entries(before.pairs).filter(([id, former]) => isKept(id, former));
  if (kept.length === 0) return receipt;
  const pairs = { ...receipt.pairs, ...Object.fromEntries(kept) };
  return { ...receipt, pairs, outcome: outcomeOfPairs(Object.values(pairs)) };
};

/**
 * The receipt of a message that is settled once more, because it was sent again or because the answer to
 * its first commit was lost. Pairs of the former receipt that are still in the spool, for a destination
 * no rule names any more, stay with it; so do those that ended since, with more attempts than it knows.
 */
export const settledAgain = (
  before: Receipt,
  receipt: Receipt,
  inSpool: ReadonlySet<string>,
): Receipt =>
  keepPairs(before, receipt, (destination, former) => {
    const present = receipt.pairs[destination];
    if (present === undefined) return inSpool.has(destination);
    // An operator dropped it while the answer was lost: the same commit again must not bring it back.
    if (former.kind === "dropped" && former.attempts >= present.attempts) return true;
    return isEnded(former) && former.attempts > present.attempts;
  });

/** What a failed attempt makes of a row. */
export const afterAttempt = <Row extends SpoolRow>(
  row: Row,
  update: Exclude<SpoolUpdate, { kind: "delivered" }>,
): Row => {
  const { attempts } = update;
  if (update.kind === "waiting") {
    const { counted, nextAttemptMs, errorClass } = update;
    return { ...row, state: "waiting", attempts, counted, nextAttemptMs, errorClass };
  }
  const { reason, parkedMs } = update;
  return { ...row, state: "parked", attempts, reason, parkedMs };
};

/** A parked row that waits again, is due at `nowMs` and counts its attempts anew. */
export const replayed = <Row extends SpoolRow>(row: Row, nowMs: number): Row => ({
  ...row,
  state: "waiting",
  counted: 0,
  sinceMs: nowMs,
  nextAttemptMs: nowMs,
  reason: null,
  parkedMs: null,
});

/** A row that is parked without another attempt. */
export const parkedAs = <Row extends SpoolRow>(
  row: Row,
  reason: ParkReason,
  parkedMs: number,
): Row => ({ ...row, state: "parked", reason, parkedMs });
