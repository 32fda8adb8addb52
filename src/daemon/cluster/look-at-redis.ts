// What the cluster's watch asks of Redis and tells it: one look at the locks, versions and members of all
// mailboxes, and the heartbeat. It knows keys and replies, and keeps nothing.
import { keyOfLock, lockKeyFor, sharedKey } from "../../redis/keys.ts";
import { type Redis, type RedisReply, RedisError } from "../../redis/redis.ts";
import type { SharedServer, StateVersion } from "../../store/shared/shared-store.ts";
import { parseServer } from "./judge-server.ts";

/** So many mailboxes are asked for in one script, so that none holds Redis up. */
const CHUNK = 500;

const MEMBERS_KEY = sharedKey("members");

/** The script that writes wants a state record; that of the members counts the heartbeats. */
const MEMBERS_STATE_KEY = sharedKey("members-state");

/** What Redis told. */
export interface Look {
  /** By mailbox. */
  locks: ReadonlyMap<string, string | null>;
  /** By mailbox; null: there is no state. Missing: not known. */
  versions: ReadonlyMap<string, StateVersion | null>;
  /** Rows by node, see members.ts. */
  members: ReadonlyMap<string, string>;
  /** Null: not asked for. */
  server: SharedServer | null;
}

/** What to look at. */
export interface LookRequest {
  /** The lock key of the mailbox `default`, see `lockKeyFor`. */
  lockKey: string;
  mailboxes: readonly string[];
  asksServer: boolean;
}

const listOf = (reply: RedisReply | undefined): readonly RedisReply[] =>
  Array.isArray(reply) ? reply : [];

const textOf = (reply: RedisReply | undefined): string | null =>
  typeof reply === "string" ? reply : null;

/** A command as the scripts `read` and `write` take it. */
const commandOf = (...words: readonly string[]): string[] => [String(words.length), ...words];

const read = async (redis: Redis, commands: readonly string[][]): Promise<readonly RedisReply[]> =>
  listOf(await redis.script("read", [], commands.flat()));

const readLocks = async (redis: Redis, keys: readonly string[], withVersions: boolean) => {
  const states = keys.map((key) => commandOf("HMGET", keyOfLock(key, "state"), "__fence", "__rev"));
  const locks = commandOf("MGET", ...keys);
  return await read(redis, withVersions ? [locks, ...states] : [locks]);
};

/** A state of another type than ours must not hide every lock: then there are locks without versions. */
const readChunk = async (redis: Redis, keys: readonly string[]) => {
  try {
    return await readLocks(redis, keys, true);
  } catch (error) {
    if (!(error instanceof RedisError) || error.failure !== "wrong_type") throw error;
    return await readLocks(redis, keys, false);
  }
};

const versionOf = (reply: RedisReply): StateVersion | null => {
  const [fence, revision] = listOf(reply).map(textOf);
  if (typeof fence !== "string" && typeof revision !== "string") return null;
  return { fence: Number(fence ?? 0), revision: Number(revision ?? 0) };
};

const pairsOf = (reply: RedisReply | undefined): ReadonlyMap<string, string> => {
  const words = listOf(reply).map(String);
  const pairs = new Map<string, string>();
  for (let at = 0; at + 1 < words.length; at += 2) {
    pairs.set(words[at] as string, words[at + 1] as string);
  }
  return pairs;
};

/** One look; rejects with `RedisError`. */
export const lookAtRedis = async (redis: Redis, request: LookRequest): Promise<Look> => {
  const { lockKey, mailboxes, asksServer } = request;
  const locks = new Map<string, string | null>();
  const versions = new Map<string, StateVersion | null>();
  for (let from = 0; from < mailboxes.length; from += CHUNK) {
    const ids = mailboxes.slice(from, from + CHUNK);
    const keys = ids.map((id) => lockKeyFor(lockKey, id));
    const [values, ...states] = await readChunk(redis, keys);
    for (const [index, id] of ids.entries()) {
      locks.set(id, textOf(listOf(values)[index]));
      const state = states[index];
      if (state !== undefined) versions.set(id, versionOf(state));
    }
  }
  // After the locks: who holds one was registered before.
  const info = asksServer ? [commandOf("INFO", "server"), commandOf("INFO", "memory")] : [];
  const [rows, ...told] = await read(redis, [commandOf("HGETALL", MEMBERS_KEY), ...info]);
  const server = asksServer ? parseServer(told.map((text) => textOf(text) ?? "").join("\n")) : null;
  return { locks, versions, members: pairsOf(rows), server };
};

const writeMembers = async (redis: Redis, commands: readonly string[][]): Promise<void> => {
  const keys = [MEMBERS_STATE_KEY, MEMBERS_STATE_KEY];
  const reply = await redis.script("write", keys, ["", "", "", "", ...commands.flat()]);
  if (!Array.isArray(reply) || reply[0] !== 1) throw new RedisError("other");
};

/** Writes this node's row, and deletes those of `abandoned` nodes. Rejects with `RedisError`. */
export const writeBeat = async (
  redis: Redis,
  node: string,
  { row, abandoned }: { row: string; abandoned: readonly string[] },
): Promise<void> => {
  const removal = abandoned.length === 0 ? [] : [commandOf("HDEL", MEMBERS_KEY, ...abandoned)];
  await writeMembers(redis, [...removal, commandOf("HSET", MEMBERS_KEY, node, row)]);
};

/** Says goodbye: the row of this node goes. Rejects with `RedisError`. */
export const removeBeat = (redis: Redis, node: string): Promise<void> =>
  writeMembers(redis, [commandOf("HDEL", MEMBERS_KEY, node)]);
