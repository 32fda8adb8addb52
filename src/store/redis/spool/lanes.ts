// The lanes of a mailbox's spool: one for each destination and each key that seals its payloads. What no
// configured key opens lies in lanes of its own, so that nobody has to look at it to pass it by. Sums are
// kept with each write, and read here. Used by the spool's reads and writes.
import { ask, mapOf } from "../../../redis/commands.ts";
import type { MailboxKeys, Parts } from "../keys.ts";

/** A lane, and how much lies in it. */
export interface Lane {
  /** As in the names of its sorted sets. */
  name: string;
  /** Null: its payloads are plain. */
  keyId: string | null;
  destination: string;
  /** Rows, and payload bytes of both. */
  waiting: number;
  parked: number;
  bytes: number;
}

/** The lanes of a mailbox that hold anything, from its hash of sums. */
export const parseLanes = (usage: ReadonlyMap<string, string>): readonly Lane[] => {
  const names = new Set([...usage.keys()].map((field) => field.slice(field.indexOf(" ") + 1)));
  const sumOf = (what: string, name: string): number => Number(usage.get(`${what} ${name}`) ?? 0);
  return [...names]
    .map((name) => {
      const [keyId = "-", ...destination] = name.split(" ");
      return {
        name,
        keyId: keyId === "-" ? null : keyId,
        destination: destination.join(" "),
        waiting: sumOf("waiting", name),
        parked: sumOf("parked", name),
        bytes: sumOf("bytes", name),
      };
    })
    .filter(({ waiting, parked }) => waiting + parked > 0);
};

/** Reads the lanes of a mailbox that hold anything. */
export const readLanes = async (
  { redis }: Pick<Parts, "redis">,
  keys: MailboxKeys,
): Promise<readonly Lane[]> => {
  const [usage] = await ask(redis, [["HGETALL", keys.usage]]);
  return parseLanes(mapOf(usage));
};
