// Copies of shared state in the journal of a node that does not hold the mailbox.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type RedisServer, startRedis } from "../../../test/support/redis.ts";
import { NOW } from "../contract/samples.contract.ts";
import { copyState } from "./copy-state.ts";
import { openNode, saveRedis, settledUpTo, spooledUpTo, type TestNode } from "./nodes.contract.ts";

let server: RedisServer;
beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server[Symbol.asyncDispose]());
beforeEach(async () => void (await server.cli("FLUSHALL")));

/** Copies mailbox `m`; returns how many tails were read for it. */
const copy = async ({ shared, journal }: TestNode): Promise<number> => {
  let tails = 0;
  const readTail: typeof shared.readTail = (mailbox, folder) => {
    tails += 1;
    return shared.readTail(mailbox, folder);
  };
  await copyState({ shared: { ...shared, readTail }, journal }, "m");
  return tails;
};

describe("a copy", { tags: ["redis", "resilience"] }, () => {
  test("has the holder's cursor, open pairs and tail", async () => {
    await using holder = await openNode(server.url, 1);
    await using standby = await openNode(server.url, 2);
    const fence = await holder.store.issueFence("m", NOW);
    await holder.store.commit({ ...settledUpTo(1), fence });
    await holder.store.commit({ ...spooledUpTo(2), fence });
    await copy(standby);
    expect(await standby.journal.read("m")).toEqual(await holder.journal.read("m"));
    expect(await standby.journal.readTail("m")).toHaveLength(2);
  });

  test("of nothing leaves nothing", async () => {
    await using standby = await openNode(server.url);
    await copy(standby);
    expect(await standby.journal.version("m")).toBeNull();
  });

  test("reads a tail only when more was settled", async () => {
    await using holder = await openNode(server.url, 1);
    await using standby = await openNode(server.url, 2);
    const fence = await holder.store.issueFence("m", NOW);
    await holder.store.commit({ ...settledUpTo(1), fence });
    expect(await copy(standby)).toBe(1);
    expect(await copy(standby)).toBe(0);
    await holder.store.writeSuspects("m", fence, []);
    expect(await copy(standby)).toBe(0);
    await holder.store.commit({ ...settledUpTo(2), fence });
    expect(await copy(standby)).toBe(1);
    expect(await standby.journal.readTail("m")).toHaveLength(2);
  });

  test("of an older state takes nothing from the journal", async () => {
    await using holder = await openNode(server.url, 1);
    await using standby = await openNode(server.url, 2);
    const fence = await holder.store.issueFence("m", NOW);
    await holder.store.commit({ ...settledUpTo(1), fence });
    const goBack = await saveRedis(server.url);
    await holder.store.commit({ ...settledUpTo(2), fence });
    await copy(standby);
    await goBack();
    await copy(standby);
    expect((await standby.journal.read("m"))?.cursors[0]?.settledUpTo).toBe(2);
  });
});
