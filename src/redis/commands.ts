// Commands for Redis as plain words: how many of them go through one script, and how their answers are
// taken apart. No command is longer than a Lua script can pass on. Used by every part of the Redis store,
// by the lock and by the cluster's watch.
import type { Redis, RedisReply } from "./redis.ts";

/** A command: its name, its one key (of INFO: the section), the rest of its words. */
export type Command = readonly [name: string, key: string, ...words: string[]];

/** Members, fields or pairs of one command; a Lua script passes on some 7,000 words. */
export const PER_COMMAND = 500;

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
