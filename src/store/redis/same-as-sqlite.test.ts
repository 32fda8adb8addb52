// The Redis store beside the SQLite store: whatever is done to both in whatever order, both tell the same.
// So every index, sum and count that Redis keeps by itself is right.
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type RedisStoreServer, startRedisStores } from "../../../test/support/redis-store.ts";
import { type PairState, outcomeOfPairs } from "../../core/outcome.ts";
import { type Redis, RedisError } from "../../redis/redis.ts";
import {
  NOW,
  cursorOf,
  dueQueryOf,
  entryOf,
  receiptOf,
  repeatableRandom,
  tailEntryOf,
} from "../contract/samples.contract.ts";
import { openSqliteMemory } from "../sqlite.adapter.ts";
import { createSqliteStore } from "../sqlite.ts";
import type { Commit, SpoolEntry, SpoolUpdate, Store } from "../store.ts";

const DESTINATIONS = ["default", "rule-a"] as const;
const MAILBOXES = ["m", "other"] as const;
const UIDS = [1, 2, 3, 4] as const;
const CLAIMS = MAILBOXES.flatMap((mailbox) => UIDS.map((uid) => `${mailbox}-${uid}`));

/** A connection that carries out the next write and loses the answer to it. */
const losingAnswers = (redis: Redis, losing: { isNext: boolean }): Redis => ({
  ...redis,
  script: async (name, keys, args) => {
    const answer = await redis.script(name, keys, args);
    if (name !== "write" || !losing.isNext) return answer;
    losing.isNext = false;
    throw new RedisError("unreachable");
  },
});

/** One thing that is done to a store. */
type Step =
  | {
      kind: "commit";
      mailbox: string;
      uids: readonly number[];
      ends: readonly End[];
      todo: boolean;
    }
  | { kind: "update"; mailbox: string; uid: number; destination: string; end: End; atMs: number }
  | { kind: "replay" | "drop"; mailbox: string; uid: number; destination: string | null }
  | { kind: "park"; mailbox: string }
  | { kind: "due"; destination: string; atMs: number }
  | { kind: "renumber"; mailbox: string; uidvalidity: string }
  | { kind: "close"; mailbox: string; uid: number };

type End = "delivered" | "waiting" | "parked";

const eventIdOf = (mailbox: string, uid: number): string => `evt_${mailbox}${uid}`;

/** Every instant is another one, so that the order of rows does not depend on the store. */
const createSteps = () => {
  let tick = 0;
  let attempts = 0;
  const pairOf = (end: End): PairState => {
    attempts += 1;
    if (end === "delivered") return { kind: "delivered", attempts };
    if (end === "waiting") return { kind: "waiting", attempts, errorClass: "timeout" };
    return { kind: "parked", attempts, reason: "http_4xx" };
  };
  const commitOf = (step: Extract<Step, { kind: "commit" }>): Commit => {
    const { mailbox, todo } = step;
    const spool: SpoolEntry[] = [];
    const receipts = step.uids.map((uid) => {
      const eventId = eventIdOf(mailbox, uid);
      const pairs: Record<string, PairState> = {};
      for (const [index, end] of step.ends.entries()) {
        const destination = DESTINATIONS[index] ?? "default";
        const pair = pairOf(end);
        pairs[destination] = pair;
        tick += 1;
        if (pair.kind === "delivered" || pair.kind === "dropped") continue;
        const instants = { sinceMs: NOW + tick, nextAttemptMs: NOW + ((tick * 37) % 100) };
        const payload = "x".repeat(10 + tick);
        const base = { eventId, destination, mailbox, attempts, payload, ...instants };
        const parked = { state: "parked", reason: "http_4xx", parkedMs: NOW + tick } as const;
        spool.push(entryOf(uid, pair.kind === "parked" ? { ...base, ...parked } : base));
      }
      tick += 1;
      const outcome = outcomeOfPairs(Object.values(pairs));
      return receiptOf(uid, { eventId, mailbox, pairs, outcome, todo, settledMs: NOW + tick });
    });
    const claims = [
      { key: `${mailbox}-${step.uids[0]}`, eventId: `evt_${tick}`, expiresMs: NOW + tick + 9 },
    ];
    const tail = step.uids.map((uid) => tailEntryOf(uid, { settledMs: NOW + (tick += 1) }));
    const cursor = cursorOf({ mailbox });
    return { mailbox, fence: 1, receipts, spool, claims, ...(mailbox === "m" && { cursor, tail }) };
  };
  return { commitOf, pairOf };
};

/** The call that a step is; the same one for every store. */
const callOf = (
  step: Step,
  { commitOf, pairOf }: ReturnType<typeof createSteps>,
): ((store: Store) => Promise<unknown>) => {
  switch (step.kind) {
    case "commit": {
      const commit = commitOf(step);
      return (store) => store.commit(commit);
    }
    case "update": {
      const { attempts } = pairOf(step.end);
      const eventId = eventIdOf(step.mailbox, step.uid);
      const base = { eventId, destination: step.destination, attempts };
      const more = { counted: 1, nextAttemptMs: NOW + step.atMs, errorClass: "dns" } as const;
      const updates: Record<End, SpoolUpdate> = {
        delivered: { ...base, kind: "delivered" },
        waiting: { ...base, kind: "waiting", ...more },
        parked: { ...base, kind: "parked", reason: "tls", parkedMs: NOW + 500 + attempts },
      };
      return (store) => store.updateSpool(step.mailbox, 1, [updates[step.end]]);
    }
    case "replay":
    case "drop": {
      const { destination } = step;
      const selector = { eventId: eventIdOf(step.mailbox, step.uid), destination };
      return step.kind === "drop"
        ? (store) => store.drop(selector)
        : (store) => store.replay(selector, NOW + 200);
    }
    case "park":
      return (store) => store.parkMailbox(step.mailbox, "mailbox_gone", NOW + 300);
    case "due":
      return (store) => store.makeDue(step.destination, NOW + step.atMs);
    case "renumber": {
      const { mailbox, uidvalidity } = step;
      const commit = { mailbox, fence: 1, cursor: cursorOf({ mailbox, uidvalidity }) };
      return (store) => store.commit(commit);
    }
    case "close": {
      const eventIds = [eventIdOf(step.mailbox, step.uid)];
      return (store) => store.closeTodos(step.mailbox, 1, eventIds);
    }
  }
};

const nameOf = (item: object): string => JSON.stringify(Object.entries(item).toSorted());

const byName = (a: object, b: object): number => (nameOf(a) < nameOf(b) ? -1 : 1);

/** All that a store tells; rows of one instant in any order. */
const tellAll = async (store: Store): Promise<unknown> => {
  const { maxBytes: _, parts, ...usage } = await store.spoolUsage();
  const perMailbox = MAILBOXES.map(async (mailbox) => {
    const owed = { mailbox, folder: "INBOX", uidvalidity: "7", limit: 10 };
    const query = dueQueryOf({ mailbox, nowMs: NOW + 50 });
    return {
      counts: await store.counts(mailbox),
      todos: await store.openTodos(owed),
      tail: (await store.readTail(mailbox, "INBOX")).toSorted(byName),
      cursor: await store.readCursor(mailbox, "INBOX"),
      waiting: await store.waitingDestinations(mailbox),
      next: await store.nextDueMs(mailbox, ["rule-a"]),
      due: (await store.dueEntries(query)).toSorted(byName),
      bytes: await store.dueBytes(query),
      oldest: (await store.oldestWaiting(mailbox, "default"))?.sinceMs,
    };
  });
  return {
    usage,
    parts: parts.toSorted(byName),
    parked: (await store.listParked()).toSorted(byName),
    receipts: (await store.readReceipts({ last: 50 })).toSorted(byName),
    claims: new Map([...(await store.readClaims(CLAIMS, NOW))].toSorted()),
    mailboxes: await Promise.all(perMailbox),
  };
};

const mailbox = fc.constantFrom(...MAILBOXES);
const uid = fc.constantFrom(...UIDS);
const destination = fc.constantFrom(...DESTINATIONS);
const end = fc.constantFrom<End[]>("delivered", "waiting", "parked");
const atMs = fc.nat(100);
const uids = fc.uniqueArray(uid, { minLength: 1 });
const ends = fc.array(end, { minLength: 1, maxLength: 2 });

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constant("commit"), mailbox, uids, ends, todo: fc.boolean() }),
  fc.record({ kind: fc.constant("update"), mailbox, uid, destination, end, atMs }),
  fc.record({
    kind: fc.constantFrom("replay", "drop"),
    mailbox,
    uid,
    destination: fc.option(destination),
  }),
  fc.record({ kind: fc.constant("park"), mailbox }),
  fc.record({ kind: fc.constant("due"), destination, atMs }),
  fc.record({
    kind: fc.constant("renumber"),
    mailbox: fc.constant("m"),
    uidvalidity: fc.constantFrom("7", "8"),
  }),
  fc.record({ kind: fc.constant("close"), mailbox, uid }),
);

describe("Redis beside SQLite", { tags: ["redis", "resilience"] }, () => {
  let redis: RedisStoreServer;
  beforeAll(async () => {
    redis = await startRedisStores();
  });
  afterAll(() => redis[Symbol.asyncDispose]());

  const steps = fc.array(step, { minLength: 1, maxLength: 12 });
  const openLocal = (): Store =>
    createSqliteStore({ database: openSqliteMemory(), random: repeatableRandom(), spoolKeys: [] });

  test("both stores answer and tell the same after any steps", async () => {
    await fc.assert(
      fc.asyncProperty(steps, async (all) => {
        await using stores = await redis.fresh();
        const [shared, local, made] = [stores.connect(), openLocal(), createSteps()];
        for (const one of all) {
          const call = callOf(one, made);
          expect(await call(shared)).toEqual(await call(local));
        }
        expect(await tellAll(shared)).toEqual(await tellAll(local));
        await local.close();
      }),
      { numRuns: 100 },
    );
  });

  test("a call whose answer is lost is made again, and nothing is done twice", async () => {
    await fc.assert(
      fc.asyncProperty(steps, async (all) => {
        await using stores = await redis.fresh();
        const losing = { isNext: false };
        const shared = stores.connect({ wrap: (inner) => losingAnswers(inner, losing) });
        const [local, made] = [openLocal(), createSteps()];
        for (const one of all) {
          const call = callOf(one, made);
          losing.isNext = true;
          await call(shared).catch(() => call(shared));
          await call(local);
        }
        expect(await tellAll(shared)).toEqual(await tellAll(local));
        await local.close();
      }),
      { numRuns: 100 },
    );
  });
});
