// Commands for Redis as plain words: how many of them go through one script, how their answers are taken
// apart, and a collector of writes that says the same in few commands. No command is longer than a Lua
// script can pass on. Used by every part of the Redis store.
import type { Redis, RedisReply } from "../../redis/redis.ts";

/** A command: its name, its one key (of INFO: the section), the rest of its words. */
export type Command = readonly [name: string, key: string, ...words: string[]];

/** Members, fields or pairs of one command; a Lua script passes on some 7,000 words. */
const PER_COMMAND = 500;

/** A list of things in lists of at most so many. */
export const inPages = <T>(items: readonly T[], size: number): readonly (readonly T[])[] =>
  Array.from({ length: Math.ceil(items.length / size) }, (_, page) =>
    items.slice(page * size, (page + 1) * size),
  );

/** Commands as the scripts `read` and `write` take them: each after the number of its words. */
export const encode = (commands: readonly Command[]): string[] => {
  const words: string[] = [];
  for (const command of commands) words.push(String(command.length), ...command);
  return words;
};

/** A reading command that answers for each of its words, in pieces; none of it without such words. */
const piecesOf = (command: Command): readonly Command[] => {
  const [name, key, ...words] = command;
  if (name !== "HMGET" && name !== "ZMSCORE") return [command];
  return inPages(words, PER_COMMAND).map((some): Command => [name, key, ...some]);
};

/** The items of an answer that is a list. */
export const listOf = (reply: RedisReply | undefined): readonly RedisReply[] =>
  Array.isArray(reply) ? (reply as readonly RedisReply[]) : [];

/** Asks all at one instant; one answer for each command, however long it is. */
export const ask = async (
  redis: Redis,
  commands: readonly Command[],
): Promise<readonly RedisReply[]> => {
  const pieces = commands.map(piecesOf);
  const all = pieces.flat();
  if (all.length === 0) return commands.map(() => []);
  const replies = listOf(await redis.script("read", [], encode(all)));
  let next = 0;
  return pieces.map((piece) => {
    const own = replies.slice(next, (next += piece.length));
    return piece.length === 1 ? (own[0] ?? null) : own.flatMap(listOf);
  });
};

/** An answer as text; null: nothing there. */
export const textOf = (reply: RedisReply | undefined): string | null =>
  typeof reply === "string" ? reply : typeof reply === "number" ? String(reply) : null;

/** A list of texts, null for each that is not there. */
export const textsOf = (reply: RedisReply | undefined): readonly (string | null)[] =>
  listOf(reply).map(textOf);

/** A list of names, none of them missing. */
export const namesOf = (reply: RedisReply | undefined): readonly string[] =>
  textsOf(reply).filter((text) => text !== null);

/** The answer of HGETALL, or of a range with scores. */
export const mapOf = (reply: RedisReply | undefined): ReadonlyMap<string, string> => {
  const words = namesOf(reply);
  const map = new Map<string, string>();
  for (let at = 0; at + 1 < words.length; at += 2) map.set(words[at] ?? "", words[at + 1] ?? "");
  return map;
};

/** Collects writes; what is said to one key by one command's name goes out together. */
export interface Writes {
  set(key: string, value: string): void;
  del(key: string): void;
  hset(key: string, field: string, value: string): void;
  hdel(key: string, field: string): void;
  /** As `hdel`, of what takes much memory: goes out first, so that even a full Redis takes the write. */
  free(key: string, field: string): void;
  incr(key: string): void;
  /** Adds up what is added to one field. */
  hincr(key: string, field: string, by: number): void;
  zadd(key: string, score: number, member: string): void;
  /** A member that is there keeps its score. */
  zaddNew(key: string, score: number, member: string): void;
  zrem(key: string, member: string): void;
  /** Takes away the lowest so many. */
  zremLowest(key: string, count: number): void;
  /** Is there anything that `free` was told of? */
  frees(): boolean;
  /** In the order in which each key was first named; never both a writing and a removal of one member. */
  commands(): readonly Command[];
}

/** An empty collection. */
export const createWrites = (): Writes => {
  type Groups = Map<string, { head: Command; words: string[] }>;
  const [freeing, groups]: [Groups, Groups] = [new Map(), new Map()];
  const sums = new Map<string, Map<string, number>>();
  const add = (to: Groups, head: Command, words: readonly string[]): void => {
    const name = head.join(" ");
    const group = to.get(name);
    if (group === undefined) to.set(name, { head, words: [...words] });
    else group.words.push(...words);
  };
  const say = (head: Command, ...words: readonly string[]): void => add(groups, head, words);
  const commandsOf = ({ head, words }: { head: Command; words: readonly string[] }): Command[] => {
    if (words.length === 0) return [head];
    return inPages(words, 2 * PER_COMMAND).map((some): Command => [...head, ...some]);
  };
  const incrementsOf = ([key, fields]: [string, Map<string, number>]): Command[] =>
    [...fields]
      .filter(([, by]) => by !== 0)
      .map(([field, by]): Command => ["HINCRBY", key, field, String(by)]);
  return {
    set: (key, value) => say(["SET", key, value]),
    del: (key) => say(["DEL", key]),
    hset: (key, field, value) => say(["HSET", key], field, value),
    hdel: (key, field) => say(["HDEL", key], field),
    free: (key, field) => add(freeing, ["HDEL", key], [field]),
    frees: () => freeing.size > 0,
    incr: (key) => say(["INCR", key]),
    hincr: (key, field, by) => {
      const fields = sums.get(key) ?? new Map<string, number>();
      fields.set(field, (fields.get(field) ?? 0) + by);
      sums.set(key, fields);
    },
    zadd: (key, score, member) => say(["ZADD", key], String(score), member),
    zaddNew: (key, score, member) => say(["ZADD", key, "NX"], String(score), member),
    zrem: (key, member) => say(["ZREM", key], member),
    zremLowest: (key, count) => say(["ZREMRANGEBYRANK", key, "0", String(count - 1)]),
    commands: () => [
      ...[...freeing.values(), ...groups.values()].flatMap(commandsOf),
      ...[...sums].flatMap(incrementsOf),
    ],
  };
};
