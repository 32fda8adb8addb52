// What the cluster's watch asks of Redis and tells it: one look at the locks, versions and members of all
// mailboxes, and the heartbeat. It knows keys and replies, and keeps nothing.
import { ask, type Command, encode, mapOf, textsOf } from "../../redis/commands.ts";
import { keyOfLock, lockKeyFor, sharedKey } from "../../redis/keys.ts";
import { type Redis, type RedisReply, RedisError } from "../../redis/redis.ts";
import { ASK_SERVER, parseServer, type RedisServer } from "../../redis/server-info.ts";
import type { StateVersion } from "../../store/shared/shared-store.ts";

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
  server: RedisServer | null;
}

/** What to look at. */
export interface LookRequest {
  /** The lock key of the mailbox `default`, see `lockKeyFor`. */
  lockKey: string;
  mailboxes: readonly string[];
  asksServer: boolean;
}

const readLocks = async (redis: Redis, keys: readonly string[], withVersions: boolean) => {
  const states = keys.map((key): Command => ["HMGET", keyOfLock(key, "state"), "__fence", "__rev"]);
  const [first = "", ...others] = keys;
  const locks: Command = ["MGET", first, ...others];
  return await ask(redis, withVersions ? [locks, ...states] : [locks]);
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
  const [fence, revision] = textsOf(reply);
  if (typeof fence !== "string" && typeof revision !== "string") return null;
  return { fence: Number(fence ?? 0), revision: Number(revision ?? 0) };
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
      locks.set(id, textsOf(values)[index] ?? null);
      const state = states[index];
      if (state !== undefined) versions.set(id, versionOf(state));
    }
  }
  // After the locks: who holds one was registered before.
  const info = asksServer ? ASK_SERVER : [];
  const [rows, ...told] = await ask(redis, [["HGETALL", MEMBERS_KEY], ...info]);
  const server = asksServer ? parseServer(told) : null;
  return { locks, versions, members: mapOf(rows), server };
};

const writeMembers = async (redis: Redis, commands: readonly Command[]): Promise<void> => {
  const keys = [MEMBERS_STATE_KEY, MEMBERS_STATE_KEY];
  const reply = await redis.script("write", keys, ["", "", "", "", ...encode(commands)]);
  if (!Array.isArray(reply) || reply[0] !== 1) throw new RedisError("other");
};

/** Writes this node's row, and deletes those of `abandoned` nodes. Rejects with `RedisError`. */
export const writeBeat = async (
  redis: Redis,
  node: string,
  { row, abandoned }: { row: string; abandoned: readonly string[] },
): Promise<void> => {
  const removal: readonly Command[] =
    abandoned.length === 0 ? [] : [["HDEL", MEMBERS_KEY, ...abandoned]];
  await writeMembers(redis, [...removal, ["HSET", MEMBERS_KEY, node, row]]);
};

/** Says goodbye: the row of this node goes. Rejects with `RedisError`. */
export const removeBeat = (redis: Redis, node: string): Promise<void> =>
  writeMembers(redis, [["HDEL", MEMBERS_KEY, node]]);
