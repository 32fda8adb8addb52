// The keeper of the journal against a real Redis that loses what it had: what a node knows comes back also
// when another node was quicker and knew less. The test decides what happens before each look.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type RedisServer, startRedis } from "../../../test/support/redis.ts";
import { createVirtualClock } from "../../../test/support/virtual-clock.ts";
import { NOW } from "../../store/contract/samples.contract.ts";
import { copyState } from "../../store/shared/copy-state.ts";
import {
  openNode,
  publisherOf,
  saveRedis,
  settledUpTo,
  type TestNode,
} from "../../store/shared/nodes.contract.ts";
import { publishMailbox } from "../../store/shared/publish.ts";
import { keepJournal } from "./keep-journal.ts";

const TAGS = { tags: ["redis", "resilience"] };

let server: RedisServer;
beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server[Symbol.asyncDispose]());
beforeEach(async () => void (await server.cli("FLUSHALL")));

/** Redis has answered without a break since then. */
interface Spell {
  sinceMs: number;
}

/** Keeps the journal of a node for as many looks as there are steps; each is done before its look. */
const keep = async (
  node: TestNode,
  steps: readonly ((spell: Spell) => Promise<unknown>)[],
  mailboxes: readonly string[] = ["m"],
): Promise<string[]> => {
  const stopping = new AbortController();
  const spell: Spell = { sinceMs: 0 };
  const left = [...steps];
  const events: string[] = [];
  let versions = new Map<string, { version: Awaited<ReturnType<typeof versionOf>> }>();
  const versionOf = async (mailbox: string) => (await node.shared.readState(mailbox)).version;
  await keepJournal({
    ...publisherOf(node),
    clock: createVirtualClock(),
    log: (event) => void events.push(event),
    copyEveryMs: Infinity,
    mailboxes: () => mailboxes,
    takeHostLock: () => () => undefined,
    isIsland: () => false,
    meet: async () => undefined,
    leveled: async () => undefined,
    stop: stopping.signal,
    watch: {
      redis: () => ({ kind: "reachable", sinceMs: spell.sinceMs }),
      stateVersion: (mailbox) => versions.get(mailbox) ?? null,
      nextLook: async () => {
        const step = left.shift();
        if (step === undefined) return stopping.abort();
        await step(spell);
        versions = new Map();
        // A state of another type than ours is not to be seen.
        for (const mailbox of mailboxes) {
          const version = await versionOf(mailbox).catch(() => undefined);
          if (version !== undefined) versions.set(mailbox, { version });
        }
      },
    },
  });
  return events;
};

const nothing = async (): Promise<void> => undefined;

const settledAt = async (node: TestNode): Promise<number | undefined> =>
  (await node.shared.readCursor("m", "INBOX"))?.settledUpTo;

/** Two nodes, of which the second has copied all but the first one's last commit; `setBack` loses two. */
const openTwo = async () => {
  const [first, second] = [await openNode(server.url, 1), await openNode(server.url, 2)];
  const fence = await first.store.issueFence("m", NOW);
  await first.store.commit({ ...settledUpTo(1), fence });
  const setBack = await saveRedis(server.url);
  await first.store.commit({ ...settledUpTo(2), fence });
  await copyState(publisherOf(second), "m");
  await first.store.commit({ ...settledUpTo(3), fence });
  const quicker = async (): Promise<void> => void (await publishMailbox(publisherOf(second), "m"));
  return {
    ...{ first, setBack, quicker },
    [Symbol.asyncDispose]: async () => {
      await first[Symbol.asyncDispose]();
      await second[Symbol.asyncDispose]();
    },
  };
};

describe("the keeper of the journal", TAGS, () => {
  test("publishes at once what Redis lost", async () => {
    await using nodes = await openTwo();
    const events = await keep(nodes.first, [nothing, () => server.cli("FLUSHALL"), nothing]);
    expect(await settledAt(nodes.first)).toBe(3);
    expect(events).toEqual(["redis.state_lost"]);
  });

  test("publishes after a loss also when another node has published less before", async () => {
    await using nodes = await openTwo();
    const { first, quicker } = nodes;
    await first.shared.setMarker("before the loss");
    const lose = async (): Promise<void> => {
      await server.cli("FLUSHALL");
      await quicker();
    };
    await keep(first, [nothing, lose, nothing]);
    expect(await settledAt(first)).toBe(3);
  });

  test("publishes after each outage, whatever the versions say", async () => {
    await using nodes = await openTwo();
    const { first, setBack, quicker } = nodes;
    const failOver = async (spell: Spell): Promise<void> => {
      await setBack();
      await quicker();
      spell.sinceMs = 1000;
    };
    await keep(first, [nothing, failOver, nothing]);
    expect(await settledAt(first)).toBe(3);
  });

  test("does for the others what one mailbox with foreign keys prevents for itself", async () => {
    await using nodes = await openTwo();
    const lose = async (spell: Spell): Promise<void> => {
      spell.sinceMs = 1000;
      await server.cli("FLUSHALL");
      await server.cli("SET", "{poller:x}:state", "foreign");
    };
    const events = await keep(nodes.first, [nothing, lose, nothing], ["x", "m"]);
    expect(await settledAt(nodes.first)).toBe(3);
    expect(events).toContain("redis.journal_failed");
  });
});
