// The routed store over a real Redis and a real SQLite: where each call goes, what the journal learns, and
// what is seen of both stores at once.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type RedisServer, startRedis } from "../../../test/support/redis.ts";
import { RedisError } from "../../redis/redis.ts";
import {
  cursorOf,
  dueQueryOf,
  entryOf,
  NOW,
  parkedReceiptOf,
} from "../contract/samples.contract.ts";
import type { Store } from "../store.ts";
import {
  deliveredFromSpool,
  idOf,
  openNode,
  publisherOf,
  rowOf,
  settledUpTo,
  spooledUpTo,
  type TestNode,
} from "./nodes.contract.ts";
import { publishMailbox } from "./publish.ts";
import { createRoutedStore, type RoutedStoreDeps } from "./routed-store.ts";

const TAGS = { tags: ["redis", "resilience"] };

let server: RedisServer;
beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server[Symbol.asyncDispose]());
beforeEach(async () => void (await server.cli("FLUSHALL")));

/** The node's routed store with some parts replaced. */
const storeWith = (node: TestNode, parts: Partial<RoutedStoreDeps>): Store =>
  createRoutedStore({
    ...{ shared: node.shared, local: node.own, journal: node.journal },
    isIsland: (mailbox) => node.alone.has(mailbox),
    isReachable: () => node.isReachable,
    journalFailed: (error) => void node.failures.push(error),
    ...parts,
  });

describe("the calls for one mailbox", TAGS, () => {
  test("go to the shared store, and to the own one on an island", async () => {
    await using node = await openNode(server.url);
    const fence = await node.store.issueFence("m", NOW);
    await node.store.commit({ ...spooledUpTo(1), fence });
    expect(await node.shared.readCursor("m", "INBOX")).not.toBeNull();
    expect((await node.own.spoolUsage()).rows).toBe(0);
    node.alone.add("m");
    const alone = await node.store.issueFence("m", NOW);
    expect(alone).toBe(fence + 1);
    await node.store.commit({ ...spooledUpTo(2), fence: alone });
    expect(await node.store.dueEntries(dueQueryOf())).toEqual([rowOf(2)]);
    expect((await node.shared.readState("m")).cursors[0]?.settledUpTo).toBe(1);
    node.alone.clear();
    expect(await node.store.dueEntries(dueQueryOf())).toEqual([rowOf(1)]);
  });

  test("of a stale holder are refused on both sides", async () => {
    await using node = await openNode(server.url);
    await node.store.issueFence("m", NOW);
    const stale = { ...settledUpTo(1), fence: NOW - 1 };
    await expect(node.store.commit(stale)).rejects.toThrow("newer holder");
    expect(await node.journal.read("m")).toBeNull();
    node.alone.add("m");
    await node.store.issueFence("m", NOW);
    await expect(node.store.commit(stale)).rejects.toThrow("newer holder");
  });
});

describe("the journal beside shared writes", TAGS, () => {
  test("has the version of shared state after each of them", async () => {
    await using node = await openNode(server.url);
    const fence = await node.store.issueFence("m", NOW);
    await node.store.commit({ ...spooledUpTo(1), fence });
    expect((await node.journal.read("m"))?.open).toHaveLength(1);
    await node.store.updateSpool("m", fence, [deliveredFromSpool(1)]);
    const entry = await node.journal.read("m");
    expect(entry?.version).toEqual((await node.shared.readState("m")).version);
    expect(entry?.open).toEqual([]);
  });

  test("fails without failing the commit, and is copied whole with the next one", async () => {
    await using node = await openNode(server.url);
    let isFull = false;
    const record: typeof node.journal.record = async (...words) => {
      if (isFull) throw new Error("disk full");
      await node.journal.record(...words);
    };
    const store = storeWith(node, { journal: { ...node.journal, record } });
    const fence = await store.issueFence("m", NOW);
    await store.commit({ mailbox: "m", fence });
    isFull = true;
    await store.commit({ ...spooledUpTo(1), fence });
    expect(node.failures).toEqual([new Error("disk full")]);
    expect((await node.journal.read("m"))?.cursors).toEqual([]);
    isFull = false;
    await store.commit({ ...settledUpTo(2), fence });
    const { version, cursors, open } = await node.shared.readState("m");
    expect(await node.journal.read("m")).toEqual({ version, cursors, open });
    expect(open).toHaveLength(1);
    expect(node.failures).toHaveLength(1);
  });
});

describe("a delivery that was under way when the node was left alone", TAGS, () => {
  test("is not sent again: its row leaves the shared spool at the return", async () => {
    await using node = await openNode(server.url);
    const fence = await node.store.issueFence("m", NOW);
    await node.store.commit({ ...spooledUpTo(1), fence });
    await node.store.commit({ ...spooledUpTo(2), fence });
    node.alone.add("m");
    await node.store.updateSpool("m", fence, [deliveredFromSpool(1)]);
    expect(await node.shared.readEntries(idOf(1))).toHaveLength(1);
    node.alone.delete("m");
    await publishMailbox(publisherOf(node), "m");
    expect(await node.shared.readEntries(idOf(1))).toEqual([]);
    expect((await node.shared.readReceipt(idOf(1)))?.outcome).toBe("delivered");
    expect(await node.shared.readEntries(idOf(2))).toHaveLength(1);
    expect((await node.journal.read("m"))?.open).toHaveLength(1);
  });
});

describe("what another process wrote in between", TAGS, () => {
  test("is in the journal after the holder's next write: a drop is not undone by a loss", async () => {
    await using node = await openNode(server.url);
    const fence = await node.store.issueFence("m", NOW);
    await node.store.commit({ ...spooledUpTo(1), fence });
    expect((await node.journal.read("m"))?.open).toHaveLength(1);
    await using other = await openNode(server.url, 2);
    await other.shared.parkMailbox("m", "mailbox_gone", NOW);
    expect(await other.shared.drop("all")).toBe(1);
    await node.store.commit({ ...settledUpTo(2), fence });
    expect((await node.journal.read("m"))?.open).toEqual([]);
  });
});

describe("what is asked of both stores", TAGS, () => {
  /** One waiting row and one parked one in each store, one event of two destinations in both. */
  const fill = async (node: TestNode): Promise<void> => {
    const parked = { state: "parked" as const, parkedMs: NOW };
    const parkedReceipt = { ...parkedReceiptOf(3), eventId: idOf(3) };
    const fence = await node.store.issueFence("m", NOW);
    await node.store.commit({ ...spooledUpTo(1), fence });
    const receipts = [parkedReceipt];
    await node.store.commit({ mailbox: "m", fence, receipts, spool: [rowOf(3, parked)] });
    node.alone.add("m");
    const alone = await node.store.issueFence("m", NOW);
    const second = rowOf(3, { ...parked, destination: "rule-a", parkedMs: NOW - 1 });
    await node.store.commit({ ...spooledUpTo(2), fence: alone, spool: [rowOf(2), second] });
  };

  test("is added up and put in order", async () => {
    await using node = await openNode(server.url);
    await fill(node);
    const usage = await node.store.spoolUsage();
    expect(usage.rows).toBe(4);
    expect(usage.maxBytes).toBe((await node.shared.spoolUsage()).maxBytes);
    expect(usage.parts).toContainEqual(
      expect.objectContaining({ destination: "default", waiting: 2, parked: 1 }),
    );
    const parked = await node.store.listParked();
    expect(parked.map(({ destination }) => destination)).toEqual(["rule-a", "default"]);
    expect(await node.store.readEntries(idOf(3))).toHaveLength(2);
    expect(await node.store.counts("m")).toMatchObject({ delivered: 0, parked: 1 });
    const receipts = await node.store.readReceipts({ last: 2 });
    expect(receipts).toHaveLength(2);
    expect(await node.store.readReceipt(idOf(1))).not.toBeNull();
    expect(await node.store.readReceipt(idOf(2))).not.toBeNull();
    expect(await node.store.undecryptable()).toBe(0);
  });

  test("is asked of the own store alone while Redis cannot be reached", async () => {
    await using node = await openNode(server.url);
    await fill(node);
    node.isReachable = false;
    expect(await node.store.spoolUsage()).toMatchObject({ rows: 2, maxBytes: null });
    expect(await node.store.listParked()).toHaveLength(1);
    await node.store.writeNode("a", "{}", NOW);
    expect(await node.own.readNodes()).toHaveLength(1);
    expect(await node.store.readNodes()).toHaveLength(1);
    await node.store.nameMailboxes(["m"], NOW);
    node.isReachable = true;
    expect(await node.store.readNodes()).toEqual([]);
    expect(await node.store.lastNamedMs("m")).toBeNull();
    expect(await node.own.lastNamedMs("m")).toBe(NOW);
  });

  test("claims made alone count after the return, and shared ones come first", async () => {
    await using node = await openNode(server.url);
    const claimOf = (key: string, eventId: string) => ({ key, eventId, expiresMs: NOW + 9 });
    await node.own.commit({
      mailbox: "m",
      fence: 1,
      claims: [claimOf("a", "own"), claimOf("b", "own")],
    });
    const fence = await node.store.issueFence("m", NOW);
    await node.shared.commit({ mailbox: "m", fence, claims: [claimOf("b", "shared")] });
    const found = await node.store.readClaims(["a", "b"], NOW);
    expect([...found].toSorted()).toEqual([
      ["a", "own"],
      ["b", "shared"],
    ]);
  });

  test("messages to be sent again are those of the side that works on them", async () => {
    await using node = await openNode(server.url);
    await node.own.requestRedelivery("m", [1]);
    await node.shared.requestRedelivery("n", [1]);
    expect(await node.store.redeliveryMailboxes()).toEqual(["n"]);
    node.alone.add("m").add("n");
    expect(await node.store.redeliveryMailboxes()).toEqual(["m"]);
  });

  test("a replay of all reaches the rows of both, and makes them due", async () => {
    await using node = await openNode(server.url);
    await fill(node);
    expect(await node.store.replay("all", NOW)).toBe(2);
    expect(await node.store.listParked()).toEqual([]);
    await node.store.makeDue("default", NOW);
    expect(await node.store.parkMailbox("m", "mailbox_gone", NOW)).toBe(4);
    expect(await node.store.drop("all")).toBe(4);
    expect((await node.store.spoolUsage()).rows).toBe(0);
  });
});

describe("a Redis that answers nothing", TAGS, () => {
  const failing = (node: TestNode): Store => {
    const fail = async (): Promise<never> => await Promise.reject(new RedisError("unreachable"));
    const names = ["replay", "drop", "housekeep", "readDocuments", "writeDocument"];
    const parts = Object.fromEntries(names.map((name) => [name, fail]));
    return storeWith(node, { shared: { ...node.shared, ...parts } });
  };

  test("is told to an operator, unless the row meant was here", async () => {
    await using node = await openNode(server.url);
    const parked = entryOf(1, { state: "parked", parkedMs: NOW });
    await node.own.commit({ mailbox: "m", fence: 1, spool: [parked, entryOf(2, parked)] });
    const store = failing(node);
    expect(await store.replay({ eventId: "evt_1", destination: null }, NOW)).toBe(1);
    const other = { eventId: "evt_3", destination: null };
    await expect(store.drop(other)).rejects.toMatchObject({ code: "redis/unreachable" });
  });

  test("does not keep the own store from its upkeep", async () => {
    await using node = await openNode(server.url);
    const claims = [{ key: "k", eventId: "e", expiresMs: NOW }];
    await node.own.commit({ mailbox: "m", fence: 1, claims });
    await expect(failing(node).housekeep(NOW + 1)).rejects.toThrow("unreachable");
    expect((await node.own.readClaims(["k"], 0)).size).toBe(0);
  });

  test("leaves the documents as this node saw them last", async () => {
    await using node = await openNode(server.url);
    const document = { rules: [] };
    const options = { ifVersion: 0, nowMs: NOW };
    const written = await node.store.writeDocument("routing_rules", document, options);
    expect(written).toEqual({ kind: "written", version: 1 });
    const store = failing(node);
    await expect(store.readDocuments()).rejects.toThrow("unreachable");
    const shared = await node.store.readDocuments();
    expect(shared.routing_rules).toEqual({ version: 1, updatedMs: NOW, document });
    expect(await store.readDocuments()).toEqual(shared);
    await expect(store.writeDocument("routing_rules", {}, options)).rejects.toThrow("unreachable");
    node.isReachable = false;
    expect(await node.store.readDocuments()).toEqual(shared);
  });
});

describe("the two stores together", TAGS, () => {
  test("a change in either is told", async () => {
    await using node = await openNode(server.url);
    const watched: string[] = [];
    const watchOf = (name: string) => (changed: () => void) => {
      watched.push(`watch ${name}`);
      changed();
      return () => void watched.push(`stop ${name}`);
    };
    const store = storeWith(node, {
      shared: { ...node.shared, watch: watchOf("shared") },
      local: { ...node.own, watch: watchOf("own") },
    });
    let changes = 0;
    store.watch(() => (changes += 1))();
    expect(changes).toBe(2);
    expect(watched).toEqual(["watch own", "watch shared", "stop own", "stop shared"]);
  });

  test("a mailbox with state of either kind keeps its cursor apart", async () => {
    await using node = await openNode(server.url);
    await node.own.commit({ mailbox: "n", fence: 1, cursor: cursorOf({ mailbox: "n" }) });
    expect(await node.store.readCursor("n", "INBOX")).toBeNull();
    node.alone.add("n");
    expect(await node.store.readCursor("n", "INBOX")).not.toBeNull();
  });
});
