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

/**
 * Waits until `count` messages are settled, or until nothing has moved for `stallMs`; returns how many
 * were settled then.
 */
export const waitUntilSettled = async (
  dataDir: string,
  count: number,
  stallMs: number,
): Promise<number> => {
  let settled = 0;
  for (let movedMs = performance.now(); performance.now() - movedMs < stallMs;) {
    const [row] = read(dataDir, "SELECT count(*) AS settled FROM receipts");
    const now = Number(row?.["settled"]);
    if (now !== settled) movedMs = performance.now();
    settled = now;
    if (settled >= count) break;
    await sleep(LOOK_EVERY_MS);
  }
  return settled;
};
