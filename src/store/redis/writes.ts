// A collector of writing commands that says the same in few of them. Filled by the plan of a transaction.
import { type Command, inPages, PER_COMMAND } from "../../redis/commands.ts";

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
