// Transactions on Redis: what is to be written is worked out here from what was read, and written only
// when nothing was changed in between and no newer fence is out. The writes of one scope are worked out
// one after another in this process, so that only other processes ever get in between.
import { AppError, FencedError, StateLostError } from "../../core/errors.ts";
import { sharedKey } from "../../redis/keys.ts";
import type { Redis, RedisReply } from "../../redis/redis.ts";
import type { StateVersion } from "../shared/shared-store.ts";
import { ask, type Command, encode, listOf, textsOf } from "../../redis/commands.ts";
import { createWrites, type Writes } from "./writes.ts";

/** The set of all mailboxes that have state. */
export const MAILBOXES_KEY = sharedKey("mailboxes");

/** What an operator's command raises, so that daemons look. */
export const CHANGES_KEY = sharedKey("changes");

/** What is written as one: the state of a mailbox, or that of the installation (mailbox null). */
export interface Scope {
  mailbox: string | null;
  fence: string;
  /**
   * A hash whose `__rev` counts the writes; in that of a mailbox `__fence` is the newest that wrote, and
   * `__count` counts the writes under fences.
   */
  state: string;
}

/** One try at a transaction. */
export interface Transaction {
  /** Answers of one instant; when the scope is written to after the first of them, it starts over. */
  read(...commands: readonly Command[]): Promise<readonly RedisReply[]>;
  /** Goes out when the plan resolves. */
  writes: Writes;
  /** As it was at the first read; null: no holder ever wrote. */
  version(): StateVersion | null;
  /** Of the first read, also where no holder ever wrote. */
  revision(): number;
  /** Lifts the version to this one, where it is lower. */
  raise(version: StateVersion): void;
}

/**
 * Runs a plan, again whenever another process was faster. Without a fence a plan that writes nothing
 * only reads; with one even that is written, as a proof that Redis takes writes. The plan may be run
 * many times and its writes may have been made before, by a try whose answer was lost: it must be right
 * all the same. Rejects with `FencedError`, with `StateLostError` when the state is not the one that the
 * same fence wrote last, `RedisError`, and an AppError `store/contended` when others never stop writing.
 */
export type Transact = <T>(
  scope: Scope,
  fence: number | null,
  plan: (transaction: Transaction) => Promise<T>,
) => Promise<T>;

/** Transactions, and the version after the last answer. */
export interface Transactions {
  transact: Transact;
  knownVersion(mailbox: string): StateVersion | null;
  /** How often another process was seen to have written in between. */
  foreignWrites(mailbox: string): number;
  /** A version that was read outside of a transaction. */
  note(mailbox: string, version: StateVersion | null): void;
}

const TRIES = 20;

/** The version in two fields of a state hash. */
export const versionOf = (
  fence: string | null | undefined,
  revision: string | null | undefined,
): StateVersion | null =>
  fence === null || fence === undefined
    ? null
    : { fence: Number(fence), revision: Number(revision ?? 0) };

/** Runs the work of each name in turn, whatever became of the work before. */
const createQueues = () => {
  const tails = new Map<string, Promise<void>>();
  return async <T>(name: string, work: () => Promise<T>): Promise<T> => {
    const result = (tails.get(name) ?? Promise.resolve()).then(work);
    const tail = result.then(
      () => undefined,
      () => undefined,
    );
    tails.set(name, tail);
    try {
      return await result;
    } finally {
      if (tails.get(name) === tail) tails.delete(name);
    }
  };
};

/** What one try found and wants written. */
interface Attempt {
  transaction: Transaction;
  /** Empty: nothing was read. */
  revision(): string;
  /** Of the state once this is written; null: not known. */
  fenceAfter(): number | null;
}

const createAttempt = (redis: Redis, scope: Scope, fence: number | null): Attempt => {
  let seen: { version: StateVersion | null; revision: string } | null = null;
  let raised: number | null = null;
  const writes = createWrites();
  const version = (): StateVersion | null => seen?.version ?? null;
  return {
    revision: () => seen?.revision ?? "",
    fenceAfter: () => raised ?? fence ?? version()?.fence ?? null,
    transaction: {
      writes,
      version,
      revision: () => Number(seen?.revision ?? 0),
      read: async (...commands) => {
        const own: Command = ["HMGET", scope.state, "__fence", "__rev"];
        const [head, ...replies] = await ask(redis, [own, ...commands]);
        const [newest, revision] = textsOf(head);
        seen ??= { version: versionOf(newest, revision), revision: revision ?? "0" };
        return replies;
      },
      raise: (to) => {
        const from = version() ?? { fence: 0, revision: 0 };
        raised = Math.max(from.fence, to.fence);
        writes.hset(scope.state, "__fence", String(raised));
        const revision = Math.max(Number(seen?.revision ?? 0), to.revision);
        writes.hset(scope.state, "__rev", String(revision));
      },
    },
  };
};

/** What each holder in this process wrote last, by the count of writes under fences. */
const createCounts = () => {
  const counts = new Map<string, { fence: number; count: number; isCertain: boolean }>();
  return {
    /** The words of write.lua that tell which count is expected. */
    expected: (mailbox: string, fence: number): readonly [string, string] => {
      const last = counts.get(mailbox);
      // The first write of a lease: whatever is there, its holder reads it after this.
      if (last?.fence !== fence) return ["", ""];
      return [String(last.count), last.isCertain ? "0" : "1"];
    },
    answered: (mailbox: string, fence: number, count: number): void =>
      void counts.set(mailbox, { fence, count, isCertain: true }),
    unanswered: (mailbox: string, fence: number): void => {
      const last = counts.get(mailbox);
      if (last?.fence === fence) last.isCertain = false;
    },
  };
};

/** Transactions over one connection. */
export const createTransactions = (redis: Redis): Transactions => {
  const known = new Map<string, StateVersion | null>();
  const counts = createCounts();
  const foreign = new Map<string, number>();
  const inTurn = createQueues();

  /** The revision that was written; null: the state was changed meanwhile. */
  const send = async (
    scope: Scope,
    fence: number | null,
    [revision, commands]: readonly [string, readonly Command[]],
  ): Promise<number | null> => {
    const { mailbox } = scope;
    const isHolder = mailbox !== null && fence !== null;
    const expected = isHolder ? counts.expected(mailbox, fence) : ["", ""];
    const head = [fence === null ? "" : String(fence), revision, ...expected];
    const args = [...head, ...encode(commands)];
    const sending = redis.script("write", [scope.fence, scope.state], args);
    const reply = await sending.catch((error: unknown) => {
      if (isHolder) counts.unanswered(mailbox, fence);
      throw error;
    });
    const [code, written, count] = listOf(reply);
    if (code === -1) throw new FencedError(mailbox ?? "");
    if (code === -2) throw new StateLostError(mailbox ?? "");
    if (code !== 1) return null;
    if (isHolder) counts.answered(mailbox, fence, Number(count));
    return Number(written);
  };

  const write = async (scope: Scope, fence: number | null, attempt: Attempt): Promise<boolean> => {
    const { writes } = attempt.transaction;
    const own = writes.commands();
    if (fence === null && own.length === 0) return true;
    // With every write: Redis may have lost the set since the last one. Whether a full Redis takes the
    // write is decided by its first command.
    const mark: readonly Command[] =
      scope.mailbox === null ? [] : [["SADD", MAILBOXES_KEY, scope.mailbox]];
    const commands = writes.frees() ? [...own, ...mark] : [...mark, ...own];
    const written = await send(scope, fence, [attempt.revision(), commands]);
    if (written === null) return false;
    const { mailbox } = scope;
    const newest = attempt.fenceAfter();
    if (mailbox !== null && newest !== null) {
      const revision = written;
      const isNext = revision === (known.get(mailbox)?.revision ?? 0) + 1;
      if (!isNext) foreign.set(mailbox, (foreign.get(mailbox) ?? 0) + 1);
      known.set(mailbox, { fence: newest, revision });
    }
    return true;
  };

  return {
    knownVersion: (mailbox) => known.get(mailbox) ?? null,
    foreignWrites: (mailbox) => foreign.get(mailbox) ?? 0,
    note: (mailbox, version) => void known.set(mailbox, version),
    transact: (scope, fence, plan) =>
      inTurn(scope.state, async () => {
        for (let tries = 0; tries < TRIES; tries += 1) {
          const attempt = createAttempt(redis, scope, fence);
          const result = await plan(attempt.transaction);
          if (await write(scope, fence, attempt)) return result;
        }
        throw new AppError("store/contended", "another process never stops writing to this state", {
          hint: "it is tried again; look for commands of signalpost that run without end",
        });
      }),
  };
};
