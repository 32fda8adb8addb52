// Telling a new mailbox from one whose state was lost, over the life of a Redis and of data directories.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type RedisServer, startRedis } from "../../../test/support/redis.ts";
import { cursorOf, NOW } from "../contract/samples.contract.ts";
import { meetRedis, type MetRedis } from "./meet-redis.ts";
import { openNode, publisherOf, settledUpTo, type TestNode } from "./nodes.contract.ts";
import { publishMailbox } from "./publish.ts";

const TAGS = { tags: ["redis", "resilience"] };

let server: RedisServer;
beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server[Symbol.asyncDispose]());
beforeEach(async () => void (await server.cli("FLUSHALL")));

const meet = ({ shared, journal, own, random }: TestNode, redisId = "r1"): Promise<MetRedis> =>
  meetRedis({ shared, journal, local: own, random, redisId });

const at = (id: string, folder = "INBOX") => ({ id, folder });

/** A node that holds mailbox `m` and has settled the marker. */
const settleIn = async (node: TestNode): Promise<MetRedis> => {
  const met = await meet(node);
  const fence = await node.store.issueFence("m", NOW);
  await node.store.commit({ ...settledUpTo(1), fence });
  expect(await met.settleMarker([at("m")])).toBe(true);
  return met;
};

describe("the key of the hashes", TAGS, () => {
  test("is the first one offered, for every node and its own store", async () => {
    await using first = await openNode(server.url, 1);
    await using second = await openNode(server.url, 2);
    const own = await first.own.hmacKey();
    const { hmacKey } = await meet(first);
    expect(hmacKey).toEqual(own);
    expect((await meet(second)).hmacKey).toEqual(own);
    expect(await second.store.hmacKey()).toEqual(own);
  });

  test("is given back to a Redis that lost it", async () => {
    await using first = await openNode(server.url, 1);
    await using second = await openNode(server.url, 2);
    const { hmacKey } = await meet(first);
    await meet(second);
    await server.cli("FLUSHALL");
    expect((await meet(second)).hmacKey).toEqual(hmacKey);
  });
});

describe("a mailbox without a cursor", TAGS, () => {
  test("is new in a directory that never used this Redis", async () => {
    await using node = await openNode(server.url);
    expect(await (await meet(node)).decide(at("m"))).toBe("first_contact");
  });

  test("is new when the process ended before its first contact was written", async () => {
    await using node = await openNode(server.url);
    await meet(node);
    const again = await meet(node);
    expect(await again.settleMarker([at("m")])).toBe(false);
    expect(await again.decide(at("m"))).toBe("first_contact");
  });

  test("is new when Redis still has what it had", async () => {
    await using node = await openNode(server.url);
    const met = await settleIn(node);
    expect(await met.decide(at("added"))).toBe("first_contact");
    expect(await met.decide(at("m"))).toBe("known");
  });

  test("is for an operator to decide when Redis lost its state, until it is adopted", async () => {
    await using node = await openNode(server.url);
    const met = await settleIn(node);
    await server.cli("FLUSHALL");
    expect(await met.decide(at("added"))).toBe("needs_decision");
    await node.store.adopt("added", "beginning");
    expect(await met.decide(at("added"))).toBe("first_contact");
    const fence = await node.store.issueFence("added", NOW);
    await node.store.commit({ mailbox: "added", fence, cursor: cursorOf({ mailbox: "added" }) });
    expect(await met.decide(at("added"))).toBe("known");
    expect(await node.store.readAdoption("added")).toBeNull();
  });

  test("stays for the operator when the marker is another node's, until all have state", async () => {
    await using node = await openNode(server.url, 1);
    await using other = await openNode(server.url, 2);
    const met = await settleIn(node);
    await server.cli("FLUSHALL");
    await settleIn(other);
    await publishMailbox(publisherOf(node), "m");
    expect(await met.settleMarker([at("m"), at("added")])).toBe(false);
    expect(await met.decide(at("added"))).toBe("needs_decision");
    expect(await met.settleMarker([at("m")])).toBe(true);
    expect(await met.decide(at("added"))).toBe("first_contact");
  });

  test("is for an operator to decide when Redis was lost and the folder is another one", async () => {
    await using node = await openNode(server.url);
    const met = await settleIn(node);
    await server.cli("FLUSHALL");
    await publishMailbox(publisherOf(node), "m");
    expect(await met.decide(at("m", "Sales"))).toBe("needs_decision");
  });

  test("is known after this node published it", async () => {
    await using node = await openNode(server.url);
    const met = await settleIn(node);
    await server.cli("FLUSHALL");
    await publishMailbox(publisherOf(node), "m");
    expect(await met.decide(at("m"))).toBe("known");
    expect(await met.settleMarker([at("m")])).toBe(true);
    expect(await node.shared.readMarker()).toBe((await node.journal.facts()).marker);
  });

  test("is new at another Redis than the one that is known", async () => {
    await using node = await openNode(server.url);
    await settleIn(node);
    await server.cli("FLUSHALL");
    expect(await (await meet(node, "r2")).decide(at("added"))).toBe("first_contact");
  });
});

describe("the marker", TAGS, () => {
  test("is set once, whoever comes first", async () => {
    await using first = await openNode(server.url, 1);
    await using second = await openNode(server.url, 2);
    await settleIn(first);
    const marker = await first.shared.readMarker();
    await (await meet(second)).settleMarker([at("m")]);
    expect(await second.shared.readMarker()).toBe(marker);
    expect((await second.journal.facts()).marker).toBe(marker);
  });

  test("is not set while a configured mailbox has no state", async () => {
    await using node = await openNode(server.url);
    const met = await meet(node);
    const fence = await node.store.issueFence("m", NOW);
    await node.store.commit({ ...settledUpTo(1), fence });
    expect(await met.settleMarker([at("m"), at("broken")])).toBe(false);
    expect(await node.shared.readMarker()).toBeNull();
    expect((await node.journal.facts()).redisId).toBe("r1");
  });
});
