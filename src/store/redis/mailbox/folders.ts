// What is known of a folder and of subject groups: the cursor, the tail that survives a UIDVALIDITY
// change, and the claims, in the form in which they are stored. Written by commits and publications,
// read at the start of a cycle.
import { RedisError } from "../../../redis/redis.ts";
import type { Claim, CursorRecord, Store, TailEntry, TailRecord } from "../../store.ts";
import { ask, mapOf, textOf, textsOf } from "../../../redis/commands.ts";
import type { Writes } from "../writes.ts";
import { askEach, folderName, type MailboxKeys, type Parts } from "../keys.ts";

/** No more than so many entries of a tail are read or kept. */
export const TAIL_MAX_ROWS = 20_000;

const CURSOR = "cursor:";

/** The field of a folder's cursor in the state hash. */
export const cursorField = (folder: string): string => CURSOR + folderName(folder);

/** The names of the folders that have a cursor, from the fields of the state hash. */
export const folderNames = (fields: Iterable<string>): readonly string[] =>
  [...fields]
    .filter((field) => field.startsWith(CURSOR))
    .map((field) => field.slice(CURSOR.length));

/** A cursor from its JSON. Throws `RedisError` `wrong_type` for what we did not write. */
export const parseCursor = (
  mailbox: string,
  text: string | null | undefined,
): CursorRecord | null => {
  if (text === null || text === undefined) return null;
  try {
    return { ...(JSON.parse(text) as Omit<CursorRecord, "mailbox">), mailbox };
  } catch {
    throw new RedisError("wrong_type");
  }
};

/** All cursors of a state hash. */
export const cursorsOf = (
  mailbox: string,
  state: ReadonlyMap<string, string>,
): readonly CursorRecord[] =>
  folderNames(state.keys())
    .map((name) => parseCursor(mailbox, state.get(CURSOR + name)))
    .filter((cursor) => cursor !== null);

/** Replaces the cursor of its folder. */
export const putCursor = (writes: Writes, keys: MailboxKeys, cursor: CursorRecord): void => {
  const { mailbox: _, ...kept } = cursor;
  writes.hset(keys.state, cursorField(cursor.folder), JSON.stringify(kept));
};

/** An entry of the tail without its age, which is its score. */
const tailMember = (uidvalidity: string, { uid, internalDateMs, hash }: TailEntry): string =>
  `${uidvalidity} ${uid} ${internalDateMs} ${hash}`;

const parseTailMember = (member: string, settledMs: number): TailRecord => {
  const [uidvalidity = "", uid, internalDateMs, ...hash] = member.split(" ");
  return {
    uid: Number(uid),
    uidvalidity,
    internalDateMs: Number(internalDateMs),
    hash: hash.join(" "),
    settledMs,
  };
};

/** Adds to the tail what is not there yet. */
export const addToTail = (
  writes: Writes,
  key: string,
  { uidvalidity, entries }: { uidvalidity: string; entries: readonly TailEntry[] },
): void => {
  for (const entry of entries) {
    writes.zaddNew(key, entry.settledMs, tailMember(uidvalidity, entry));
  }
};

/**
 * Takes one entry of an older UIDVALIDITY away for each hash. An entry of this very commit that is there
 * already took its own when the commit was made before and its answer lost.
 */
export const takeMatched = (
  writes: Writes,
  tail: { key: string; members: readonly string[] },
  matched: { hashes: readonly string[]; uidvalidity: string; entries: readonly TailEntry[] },
): void => {
  const { hashes, uidvalidity, entries } = matched;
  const wanted = new Map<string, number>();
  for (const hash of hashes) wanted.set(hash, (wanted.get(hash) ?? 0) + 1);
  const there = new Set(tail.members);
  for (const entry of entries) {
    const { hash } = entry;
    if (there.has(tailMember(uidvalidity, entry))) wanted.set(hash, (wanted.get(hash) ?? 0) - 1);
  }
  for (const member of tail.members) {
    const old = parseTailMember(member, 0);
    const left = wanted.get(old.hash) ?? 0;
    if (left <= 0 || old.uidvalidity === uidvalidity) continue;
    wanted.set(old.hash, left - 1);
    writes.zrem(tail.key, member);
  }
};

/** A claim from what is stored under its key: when it ends, and who made it. */
const parseClaim = (text: string): Pick<Claim, "eventId" | "expiresMs"> => {
  const space = text.indexOf(" ");
  return { expiresMs: Number(text.slice(0, space)), eventId: text.slice(space + 1) };
};

/** Claims what is free at `nowMs`; `stored` is what is there of these claims, in their order. */
export const putClaims = (
  writes: Writes,
  keys: MailboxKeys,
  {
    claims,
    stored,
    nowMs,
  }: { claims: readonly Claim[]; stored: readonly (string | null)[]; nowMs: number },
): void => {
  const taken = new Map(claims.map(({ key }, index) => [key, stored[index] ?? null]));
  for (const { key, eventId, expiresMs } of claims) {
    const text = taken.get(key) ?? null;
    const holder = text === null ? null : parseClaim(text);
    if (holder !== null && holder.expiresMs > nowMs && holder.eventId !== eventId) continue;
    const claim = `${expiresMs} ${eventId}`;
    taken.set(key, claim);
    writes.hset(keys.claims, key, claim);
    writes.zadd(keys.claimsByEnd, expiresMs, key);
  }
};

/** Reads cursors, tails and claims. */
export const createFolders = (
  parts: Parts,
): Pick<Store, "readCursor" | "readTail" | "readClaims"> => {
  const { redis, keysOf } = parts;
  return {
    readCursor: async (mailbox, folder) => {
      const { state } = keysOf(mailbox);
      const [reply] = await ask(redis, [["HGET", state, cursorField(folder)]]);
      return parseCursor(mailbox, textOf(reply));
    },
    readTail: async (mailbox, folder) => {
      const key = keysOf(mailbox).tail(folderName(folder));
      const last = String(TAIL_MAX_ROWS - 1);
      const [reply] = await ask(redis, [["ZREVRANGE", key, "0", last, "WITHSCORES"]]);
      return [...mapOf(reply)].map(([member, score]) => parseTailMember(member, Number(score)));
    },
    readClaims: async (wanted, nowMs) => {
      const found = new Map<string, string>();
      for (const { replies } of await askEach(parts, ({ claims }) => [
        ["HMGET", claims, ...wanted],
      ])) {
        const stored = textsOf(replies[0]);
        for (const [index, key] of wanted.entries()) {
          const text = stored[index] ?? null;
          const claim = text === null ? null : parseClaim(text);
          if (claim !== null && claim.expiresMs > nowMs) found.set(key, claim.eventId);
        }
      }
      return found;
    },
  };
};
