// The spool as a whole, without payloads: what is parked, and how full it is over all mailboxes, told by
// sums that each write keeps. Called by the daemon before it fetches, by status and by the commands.
import type { SpoolUsage, Store } from "../../store.ts";
import { ask, mapOf, namesOf, textsOf } from "../../../redis/commands.ts";
import { askEach, type Parts } from "../keys.ts";
import { parseRows, type StoredRow } from "../mailbox/events.ts";
import { ASK_SERVER, parseServer } from "../../../redis/server-info.ts";
import { parseLanes } from "./lanes.ts";

/** Of a Redis that many share the spool takes no more than this, whatever it may hold. */
const MAX_BYTES = 128 * 1024 * 1024;
const MAX_SHARE = 0.25;
const ASK_EVERY_MS = 60_000;

/** Sealed payloads are stored as base64, and rows count the bytes before that. */
const BYTES_OF_TEXT = 3 / 4;

/** The most that the spool takes, asked from time to time. */
const createMaxBytes = ({ redis, clock, cipher }: Parts): (() => Promise<number>) => {
  let known: { bytes: number; atMs: number } | null = null;
  return async () => {
    const nowMs = clock.monoMs();
    if (known === null || nowMs - known.atMs >= ASK_EVERY_MS) {
      const maxMemory = parseServer(await ask(redis, ASK_SERVER)).maxMemoryBytes ?? 0;
      const share = maxMemory > 0 ? Math.floor(maxMemory * MAX_SHARE) : MAX_BYTES;
      const bytes = Math.min(MAX_BYTES, share);
      const isSealed = cipher.keyIds.length > 0;
      known = { bytes: isSealed ? Math.floor(bytes * BYTES_OF_TEXT) : bytes, atMs: nowMs };
    }
    return known.bytes;
  };
};

const usageOf = (
  mailbox: string,
  usage: ReadonlyMap<string, string>,
): { bytes: number; parts: SpoolUsage["parts"] } => {
  const lanes = parseLanes(usage);
  const byDestination = Map.groupBy(lanes, ({ destination }) => destination);
  const sum = (of: readonly { waiting: number; parked: number }[], what: "waiting" | "parked") =>
    of.reduce((total, lane) => total + lane[what], 0);
  return {
    bytes: lanes.reduce((total, lane) => total + lane.bytes, 0),
    parts: [...byDestination].map(([destination, of]) => ({
      mailbox,
      destination,
      waiting: sum(of, "waiting"),
      parked: sum(of, "parked"),
    })),
  };
};

/** Every parked row, those parked first in front. */
export const readParked = async (parts: Parts): Promise<readonly StoredRow[]> => {
  const rows: StoredRow[] = [];
  for (const { keys, replies } of await askEach(parts, ({ parked }) => [
    ["ZRANGE", parked, "0", "-1"],
  ])) {
    const pairs = namesOf(replies[0]).map((pair) => pair.split(" ") as [string, string]);
    const [texts] = await ask(parts.redis, [
      ["HMGET", keys.rows, ...pairs.map(([eventId]) => eventId)],
    ]);
    const found = textsOf(texts);
    for (const [index, [eventId, destination]] of pairs.entries()) {
      const row = parseRows(keys, eventId, found[index]).get(destination);
      if (row?.state === "parked") rows.push(row);
    }
  }
  return rows.toSorted((a, b) => (a.parkedMs ?? 0) - (b.parkedMs ?? 0));
};

/** Rows without payloads. */
export const createSpoolViews = (parts: Parts): Pick<Store, "listParked" | "spoolUsage"> => {
  const maxBytes = createMaxBytes(parts);
  return {
    listParked: async () =>
      (await readParked(parts)).map(({ sizeBytes: _s, keyId: _k, ...row }) => row),
    spoolUsage: async () => {
      const answers = await askEach(parts, ({ usage }) => [["HGETALL", usage]]);
      const usages = answers.map(({ keys, replies }) => usageOf(keys.mailbox, mapOf(replies[0])));
      const all = usages.flatMap((usage) => usage.parts);
      return {
        rows: all.reduce((total, { waiting, parked }) => total + waiting + parked, 0),
        bytes: usages.reduce((total, { bytes }) => total + bytes, 0),
        maxBytes: await maxBytes(),
        parts: all,
      };
    },
  };
};
