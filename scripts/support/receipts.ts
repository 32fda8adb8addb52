// The receipts of a daemon that runs, read beside it straight from its database, so that looking costs
// the daemon nothing. Called by the scripts that measure it.
import path from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import { DATABASE_FILE } from "../../src/store/sqlite.adapter.ts";

const LOOK_EVERY_MS = 25;

const read = (dataDir: string, sql: string): Record<string, unknown>[] => {
  const options = { readOnly: true, timeout: 5000 };
  const database = new DatabaseSync(path.join(dataDir, DATABASE_FILE), options);
  try {
    return database.prepare(sql).all();
  } finally {
    database.close();
  }
};

/** Every settled message with its outcome. */
export const readReceipts = (dataDir: string): { uid: number; outcome: string }[] =>
  read(dataDir, "SELECT uid, outcome FROM receipts").map((row) => ({
    uid: Number(row["uid"]),
    outcome: String(row["outcome"]),
  }));

/** How many messages are settled. */
const countSettled = (dataDir: string): number =>
  Number(read(dataDir, "SELECT count(*) AS settled FROM receipts")[0]?.["settled"]);

/** What was seen of messages being settled. */
export interface Settling {
  settled: number;
  /** From the first look that found any to the last; NaN when there was one such look alone. */
  perSecond: number;
}

/** Looks until `count` messages are settled by what `look` tells, or nothing has moved for `stallMs`. */
export const watchSettling = async (
  look: () => number | Promise<number>,
  { count, stallMs }: { count: number; stallMs: number },
): Promise<Settling> => {
  let first: { settled: number; atMs: number } | null = null;
  let settled = 0;
  for (let movedMs = performance.now(); performance.now() - movedMs < stallMs;) {
    const now = await look();
    if (now !== settled) movedMs = performance.now();
    settled = now;
    if (settled > 0) first ??= { settled, atMs: movedMs };
    if (settled >= count) break;
    await sleep(LOOK_EVERY_MS);
  }
  const seconds = (performance.now() - (first?.atMs ?? 0)) / 1000;
  return { settled, perSecond: (settled - (first?.settled ?? NaN)) / seconds };
};

/** As {@link watchSettling}, of a daemon that keeps its state itself. */
export const watchOwnReceipts = (
  dataDir: string,
  wait: { count: number; stallMs: number },
): Promise<Settling> => watchSettling(() => countSettled(dataDir), wait);

/**
 * Waits until `count` messages are settled, or until nothing has moved for `stallMs`; returns how many
 * were settled then.
 */
export const waitUntilSettled = async (
  dataDir: string,
  count: number,
  stallMs: number,
): Promise<number> => (await watchOwnReceipts(dataDir, { count, stallMs })).settled;
