// The watch over a keyspace of its own kind, under a clock that the test moves: what it writes, how it
// judges Redis, and how several nodes see each other come, go and fail.
import { describe, expect, test } from "vitest";
import { createSeededRandom } from "../../../test/support/seeded-random.ts";
import { type VirtualClock, createVirtualClock } from "../../../test/support/virtual-clock.ts";
import { type Redis, type RedisFailure, type RedisReply, RedisError } from "../../redis/redis.ts";
import { CLUSTER } from "./cluster.ts";
import { startClusterWatch } from "./watch-cluster.ts";

const nodeId = (n: number): string => `00000000-0000-4000-8000-00000000000${n}`;
const valueOf = (n: number, renewals = 0): string => `${nodeId(n)}:1795507200000:${renewals}`;

/** The commands that the watch sends, over plain maps. */
const createKeyspace = () => {
  const texts = new Map<string, string>();
  const hashes = new Map<string, Map<string, string>>();
  const info = { policy: "noeviction", version: "7.0.15" };
  const trouble: { all: RedisFailure | null; writes: RedisFailure | null; badState: boolean } = {
    all: null,
    writes: null,
    badState: false,
  };
  const hash = (key: string): Map<string, string> => {
    const known = hashes.get(key) ?? new Map<string, string>();
    hashes.set(key, known);
    return known;
  };

  const run = ([name = "", ...words]: readonly string[]): RedisReply => {
    const [key = "", ...rest] = words;
    switch (name) {
      case "MGET":
        return words.map((one) => texts.get(one) ?? null);
      case "HMGET":
        if (trouble.badState) throw new RedisError("wrong_type");
        return rest.map((field) => hash(key).get(field) ?? null);
      case "HGETALL":
        return [...hash(key)].flat();
      case "INFO":
        return `maxmemory_policy:${info.policy}\r\nredis_version:${info.version}\r\n`;
      case "HSET":
        hash(key).set(rest[0] ?? "", rest[1] ?? "");
        return 1;
      case "HDEL":
        for (const field of rest) hash(key).delete(field);
        return 1;
      default:
        throw new Error(`no such command: ${name}`);
    }
  };
  const runAll = (args: readonly string[]): RedisReply[] => {
    const replies: RedisReply[] = [];
    for (let at = 0; at < args.length; at += Number(args[at]) + 1) {
      replies.push(run(args.slice(at + 1, at + 1 + Number(args[at]))));
    }
    return replies;
  };
  const redis: Redis = {
    script: async (name, _keys, args) => {
      const failure = trouble.all ?? (name === "write" ? trouble.writes : null);
      if (failure !== null) throw new RedisError(failure);
      if (name === "read") return runAll(args);
      runAll(args.slice(4));
      return [1, "1"];
    },
    get: async (key) => texts.get(key) ?? null,
    close: async () => undefined,
  };
  return {
    redis,
    texts,
    hash,
    info,
    trouble,
    members: () => [...hash("signalpost:members").keys()],
  };
};

const setUp = () => {
  const clock = createVirtualClock();
  const keyspace = createKeyspace();
  return { clock, ...keyspace };
};

/** A node that watches; `told` is what it logged and called. */
const startNode = (
  { clock, redis }: { clock: VirtualClock; redis: Redis },
  n: number,
  { host = "here", mailboxes = ["default"] }: { host?: string; mailboxes?: string[] } = {},
) => {
  const told: string[] = [];
  const node = { told, lines: [] as object[], mailboxes, states: [] as string[], nodes: 0 };
  const watch = startClusterWatch({
    ...{ clock, redis, host, constants: CLUSTER, leaseMs: 15_000 },
    random: createSeededRandom(n),
    node: nodeId(n),
    lockKey: "lock",
    mailboxes: () => node.mailboxes,
    offered: () => node.mailboxes,
    log: (event, fields) => {
      told.push(event);
      node.lines.push({ event, ...fields });
    },
    metrics: {
      clusterNodes: (count) => (node.nodes = count),
      redisState: (state) => node.states.push(state),
    },
    onOtherHost: () => told.push("other host"),
  });
  return { ...watch, node, id: nodeId(n) };
};

describe("the watch of the cluster", () => {
  test("registers the node at once and takes its row away at the end", async () => {
    const world = setUp();
    const one = startNode(world, 1);
    expect(one.redis()).toEqual({ kind: "unknown" });
    await world.clock.advance(0);
    expect(one.redis()).toEqual({ kind: "reachable", sinceMs: 0 });
    expect(one.members()).toEqual([{ node: one.id, host: "here", mailboxes: ["default"] }]);
    await one.stop();
    expect(world.members()).toEqual([]);
    expect(one.node.told).toEqual([]);
    expect(world.clock.sleepers()).toBe(0);
  });

  test("sees other nodes come and go, the dead after 15 seconds, and tells once each", async () => {
    const world = setUp();
    const [one, two] = [startNode(world, 1), startNode(world, 2)];
    await world.clock.advance(3000);
    expect(one.members()).toHaveLength(2);
    await two.stop();
    await world.clock.advance(2000);
    expect(one.members()).toHaveLength(1);
    world.hash("signalpost:members").set("dead", '{"host":"here","beat":1,"mailboxes":[]}');
    await world.clock.advance(14_000);
    expect([one.members().length, one.node.nodes]).toEqual([2, 2]);
    await world.clock.advance(4000);
    expect([one.members().length, one.node.nodes]).toEqual([1, 1]);
    const events = ["cluster.joined", "cluster.left"];
    expect(one.node.told).toEqual([...events, ...events]);
    await one.stop();
  });

  test("removes a row that nobody beat for ten minutes", async () => {
    const world = setUp();
    world.hash("signalpost:members").set("dead", '{"host":"here","beat":1,"mailboxes":[]}');
    const one = startNode(world, 1);
    await world.clock.advance(599_000);
    expect(world.members()).toContain("dead");
    await world.clock.advance(10_000);
    expect(world.members()).toEqual([one.id]);
    await one.stop();
  });

  test("looks at locks and versions, and forgets what is no longer configured", async () => {
    const world = setUp();
    const one = startNode(world, 1, { mailboxes: ["default", "sales"] });
    expect([one.seen("default"), one.stateVersion("default")]).toEqual([null, null]);
    await world.clock.advance(0);
    expect(one.seen("sales")).toEqual({ value: null, sinceMs: 0 });
    expect(one.stateVersion("sales")).toEqual({ version: null });
    world.texts.set("lock:sales", valueOf(2));
    world.hash("{lock:sales}:state").set("__fence", "12").set("__rev", "3");
    await world.clock.advance(1250);
    expect(one.seen("sales")?.value).toBe(valueOf(2));
    expect(one.seen("sales")?.sinceMs).toBeGreaterThanOrEqual(1000);
    expect(one.stateVersion("sales")).toEqual({ version: { fence: 12, revision: 3 } });
    one.node.mailboxes = ["default"];
    await world.clock.advance(2000);
    expect(one.seen("sales")).toBeNull();
    expect(one.members()).toMatchObject([{ mailboxes: ["default"] }]);
    await one.stop();
  });

  test("reads the locks of many mailboxes, each by its own key", async () => {
    const world = setUp();
    const ids = Array.from({ length: 1201 }, (_, index) => `mailbox-${index}`);
    for (const id of ids) world.texts.set(`lock:${id}`, `value of ${id}`);
    const one = startNode(world, 1, { mailboxes: ids });
    await world.clock.advance(0);
    expect(ids.map((id) => one.seen(id)?.value)).toEqual(ids.map((id) => `value of ${id}`));
    await one.stop();
  });

  test("goes on by the locks when the state of a mailbox is of another type", async () => {
    const world = setUp();
    world.texts.set("lock", valueOf(2));
    world.trouble.badState = true;
    const one = startNode(world, 1);
    await world.clock.advance(2000);
    expect(one.redis().kind).toBe("reachable");
    expect(one.seen("default")?.value).toBe(valueOf(2));
    expect(one.stateVersion("default")).toBeNull();
    await one.stop();
  });
});

describe("the health of Redis", () => {
  test("fails since the first failure of the present kind, and is told at each change", async () => {
    const world = setUp();
    const one = startNode(world, 1);
    await world.clock.advance(3000);
    world.trouble.all = "unreachable";
    await world.clock.advance(2000);
    const { sinceMs } = one.redis() as { sinceMs: number };
    expect(sinceMs).toBeGreaterThan(3000);
    expect(one.redis()).toMatchObject({ kind: "failing", failure: "unreachable" });
    world.trouble.all = "noauth";
    await world.clock.advance(5000);
    const now = one.redis() as { sinceMs: number };
    expect(now).toMatchObject({ kind: "failing", failure: "noauth" });
    expect(now.sinceMs).toBeGreaterThan(sinceMs);
    expect([one.mayTake("default"), one.mustGiveBack("default")]).toEqual([true, false]);
    world.trouble.all = null;
    await world.clock.advance(2000);
    expect(one.redis().kind).toBe("reachable");
    expect(one.node.told).toEqual(["redis.lost", "redis.lost", "redis.back"]);
    expect(one.node.lines).toMatchObject([
      { code: "redis/unreachable" },
      { code: "redis/noauth" },
      {},
    ]);
    expect([...new Set(one.node.states)]).toEqual(["reachable", "failing"]);
    await one.stop();
  });

  test("fails when it can be read but not written", async () => {
    const world = setUp();
    const one = startNode(world, 1);
    world.trouble.writes = "readonly";
    await world.clock.advance(7000);
    expect(one.redis()).toMatchObject({ kind: "failing", failure: "readonly" });
    world.trouble.writes = null;
    await world.clock.advance(1500);
    expect(one.redis().kind).toBe("reachable");
    await one.stop();
  });

  test("is unsafe for as long as the server would throw keys away, and says what to set", async () => {
    const world = setUp();
    world.info.policy = "allkeys-lru";
    const one = startNode(world, 1);
    await world.clock.advance(5000);
    expect(one.redis()).toMatchObject({ kind: "unsafe", problem: expect.stringContaining("set ") });
    expect(one.mayTake("default")).toBe(false);
    world.info.policy = "noeviction";
    await world.clock.advance(7000);
    expect(one.redis().kind).toBe("reachable");
    expect(one.node.told).toEqual(["redis.unsafe"]);
    await one.stop();
  });

  test("is judged anew when the server comes back as another one", async () => {
    const world = setUp();
    const one = startNode(world, 1);
    await world.clock.advance(500);
    world.trouble.all = "unreachable";
    await world.clock.advance(1500);
    world.info.version = "5.0.14";
    world.trouble.all = null;
    await world.clock.advance(1500);
    expect(one.redis()).toMatchObject({ kind: "unsafe", problem: expect.stringContaining("6.2") });
    await one.stop();
  });

  test("does not make nodes look dead that could not beat during an outage", async () => {
    const world = setUp();
    const nodes = [startNode(world, 1), startNode(world, 2)];
    await world.clock.advance(3000);
    world.trouble.all = "unreachable";
    await world.clock.advance(300_000);
    world.trouble.all = null;
    await world.clock.advance(10_000);
    for (const { node, members, stop } of nodes) {
      expect(members()).toHaveLength(2);
      expect(node.told).not.toContain("cluster.left");
      await stop();
    }
  });
});

describe("the mailboxes of a cluster", () => {
  test("have each exactly one node that may take them once all have looked around", async () => {
    const world = setUp();
    const mailboxes = Array.from({ length: 30 }, (_, index) => `mailbox-${index}`);
    const nodes = [1, 2, 3].map((n) => startNode(world, n, { mailboxes }));
    await world.clock.advance(500);
    expect(nodes.some(({ mayTake }) => mailboxes.some(mayTake))).toBe(false);
    await world.clock.advance(2000);
    for (const id of mailboxes) {
      expect(nodes.filter(({ mayTake }) => mayTake(id))).toHaveLength(1);
    }
    for (const { stop } of nodes) await stop();
  });

  test("are given back to a node that joined, within seconds", async () => {
    const world = setUp();
    const mailboxes = Array.from({ length: 30 }, (_, index) => `mailbox-${index}`);
    const one = startNode(world, 1, { mailboxes });
    await world.clock.advance(20_000);
    expect(mailboxes.some(one.mustGiveBack)).toBe(false);
    const two = startNode(world, 2, { mailboxes });
    await world.clock.advance(13_000);
    const given = mailboxes.filter(one.mustGiveBack);
    expect(given.length).toBeGreaterThanOrEqual(10);
    expect(given.every(two.mayTake)).toBe(true);
    expect(mailboxes.filter(two.mustGiveBack)).toHaveLength(30 - given.length);
    // Whom Redis cuts off keeps what it has.
    world.trouble.all = "unreachable";
    await world.clock.advance(2000);
    expect(mailboxes.some(one.mustGiveBack)).toBe(false);
    await one.stop();
    await two.stop();
  });

  test("tell of another host, at most once a minute", async () => {
    const world = setUp();
    const one = startNode(world, 1);
    const neighbour = startNode(world, 2);
    await world.clock.advance(30_000);
    expect(one.node.told).not.toContain("other host");
    const far = startNode(world, 3, { host: "there" });
    await world.clock.advance(50_000);
    expect(one.node.told.filter((word) => word === "other host")).toHaveLength(1);
    await world.clock.advance(60_000);
    expect(one.node.told.filter((word) => word === "other host")).toHaveLength(2);
    expect(one.members()).toContainEqual(expect.objectContaining({ node: far.id, host: "there" }));
    for (const { stop } of [one, neighbour, far]) await stop();
  });
});

describe("waiting for the next look", () => {
  test("ends with the look, with its own signal, or with the watch", async () => {
    const world = setUp();
    const one = startNode(world, 1);
    await world.clock.advance(0);
    const ended: string[] = [];
    const controller = new AbortController();
    const wait = (name: string, signal: AbortSignal) =>
      void one.nextLook(signal).then(() => ended.push(name));
    wait("aborted", controller.signal);
    wait("aborted before", AbortSignal.abort());
    wait("looked", new AbortController().signal);
    controller.abort();
    await world.clock.advance(0);
    expect(ended.toSorted()).toEqual(["aborted", "aborted before"]);
    await world.clock.advance(1250);
    expect(ended).toContain("looked");
    wait("stopped", new AbortController().signal);
    await one.stop();
    await world.clock.advance(0);
    expect(ended).toContain("stopped");
  });
});
