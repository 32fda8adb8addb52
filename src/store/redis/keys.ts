// Where the Redis store keeps what, and what its parts are built on. The keys of a mailbox hang on its
// lock key; the state hash is the one that the lock's scripts read. Used by every part of the store.
import { createHash } from "node:crypto";
import type { Clock } from "../../core/clock.ts";
import { keyOfLock, lockKeyFor, sharedKey } from "../../redis/keys.ts";
import type { Redis, RedisReply } from "../../redis/redis.ts";
import type { SpoolCipher } from "../spool-cipher.ts";
import { ask, type Command, inPages, namesOf } from "../../redis/commands.ts";
import { MAILBOXES_KEY, type Scope, type Transactions } from "./transaction.ts";

/** The keys of one mailbox. */
export interface MailboxKeys extends Scope {
  mailbox: string;
  /** Hash: UID to the deaths that it is suspected of. */
  suspects: string;
  /** Sorted set of UIDs. */
  redeliveries: string;
  /** Hash: event id to receipt; sorted sets of event ids by age, and of what is owed after delivery. */
  receipts: string;
  receiptsByAge: string;
  todos: string;
  /** Hash: claim to who made it; sorted set of claims by the time they end. */
  claims: string;
  claimsByEnd: string;
  /** Hash: event id to its rows; hash: pair to payload; sorted set of parked pairs; hash of sums. */
  rows: string;
  payloads: string;
  parked: string;
  usage: string;
  /** Sorted set of the settled messages of a folder, by its {@link folderName}. */
  tail(folderName: string): string;
  /** Sorted sets of the waiting events of a lane: since when they wait, and when they are due. */
  since(lane: string): string;
  due(lane: string): string;
}

/** What the parts of the store are built on. */
export interface Parts extends Transactions {
  redis: Redis;
  clock: Clock;
  cipher: SpoolCipher;
  keysOf(mailbox: string): MailboxKeys;
}

/** A folder in the name of a key or field: no text that a person wrote stands there. */
export const folderName = (folder: string): string =>
  createHash("sha256").update(folder, "utf8").digest("hex").slice(0, 16);

/** The state of the installation as a whole. */
export const INSTALLATION: Scope = {
  mailbox: null,
  fence: sharedKey("fence"),
  state: sharedKey("state"),
};

/** The keys of mailboxes under the lock key of the configuration. */
export const createKeys =
  (base: string): ((mailbox: string) => MailboxKeys) =>
  (mailbox) => {
    const lockKey = lockKeyFor(base, mailbox);
    const key = (name: string): string => keyOfLock(lockKey, name);
    return {
      mailbox,
      fence: key("fence"),
      state: key("state"),
      suspects: key("suspects"),
      redeliveries: key("redeliveries"),
      receipts: key("receipts"),
      receiptsByAge: key("receipts:by-age"),
      todos: key("receipts:owed"),
      claims: key("claims"),
      claimsByEnd: key("claims:by-end"),
      rows: key("spool"),
      payloads: key("spool:payloads"),
      parked: key("spool:parked"),
      usage: key("spool:usage"),
      tail: (name) => key(`tail:${name}`),
      since: (lane) => key(`spool:since:${lane}`),
      due: (lane) => key(`spool:due:${lane}`),
    };
  };

/** Mailboxes asked in one script. */
const AT_ONCE = 100;

/** All mailboxes that have state, in the order of their ids. */
const listMailboxes = async (redis: Redis): Promise<readonly string[]> => {
  const [reply] = await ask(redis, [["SMEMBERS", MAILBOXES_KEY]]);
  return namesOf(reply).toSorted();
};

/** Asks every mailbox the same; the answers of one mailbox are of one instant. */
export const askEach = async (
  { redis, keysOf }: Pick<Parts, "redis" | "keysOf">,
  commandsOf: (keys: MailboxKeys) => readonly Command[],
): Promise<readonly { keys: MailboxKeys; replies: readonly RedisReply[] }[]> => {
  const answers: { keys: MailboxKeys; replies: readonly RedisReply[] }[] = [];
  for (const some of inPages(await listMailboxes(redis), AT_ONCE)) {
    const asked = some
      .map((mailbox) => keysOf(mailbox))
      .map((keys) => ({ keys, commands: commandsOf(keys) }));
    const replies = await ask(
      redis,
      asked.flatMap(({ commands }) => commands),
    );
    let next = 0;
    for (const { keys, commands } of asked) {
      answers.push({ keys, replies: replies.slice(next, (next += commands.length)) });
    }
  }
  return answers;
};
