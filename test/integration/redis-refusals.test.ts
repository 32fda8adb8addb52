// A Redis, or a lock file, that is there and cannot be used: each has its word in `/readyz`, in the status
// and in the log. Nothing of it ends the process or lets two nodes poll, and what is repaired is noticed.
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type ClusterOptions, type ClusterScene, openCluster } from "../support/cluster.ts";
import {
  calmHolder,
  createMoods,
  PATIENCE_MS,
  startNodes,
  untilSettled,
} from "../support/cluster-steps.ts";
import type { TestDaemon } from "../support/daemon.ts";
import { deliveriesOf, fencesInOrder, subjects, until } from "../support/deliveries.ts";
import { type Dovecot, startDovecot } from "../support/dovecot.ts";
import { freePort, startReplica } from "../support/redis.ts";
import { mountSmallDisk } from "../support/small-disk.ts";

const LOCK_KEY = "render_signal:poller_lock";

let dovecot: Dovecot;
beforeAll(async () => {
  dovecot = await startDovecot();
});
afterAll(async () => {
  await dovecot.stop();
});

const openOne = (options: ClusterOptions = {}): Promise<ClusterScene> =>
  openCluster(dovecot, { nodes: ["a"], ...options });

/** This node does not poll the mailbox, for this reason, and says so. */
const expectRefusalHere = async (
  daemon: TestDaemon,
  word: string,
  reason = word,
): Promise<void> => {
  await expect
    .poll(() => daemon.readyz(), { timeout: PATIENCE_MS })
    .toEqual({ status: 503, body: { status: "not_ready", mailboxes: { default: word } } });
  const refused = await daemon.waitForEvent("lock.refused", (line) => line["reason"] === reason);
  expect(refused).toMatchObject({ level: "warn", mailbox: "default" });
};

/** The same where no other node has a word on the mailbox: the status tells the reason, too. */
const expectRefusal = async (daemon: TestDaemon, word: string, reason = word): Promise<void> => {
  await expectRefusalHere(daemon, word, reason);
  expect((await daemon.status()).mailboxes[0]?.state).toBe(word);
};

/** How it is when all of the mail is settled. */
const outcomeOf = async (
  scene: ClusterScene,
  names: readonly string[],
  nodes: readonly string[] = ["a"],
): Promise<object> => {
  await untilSettled(scene, names.length);
  const { missing, repeats, torn } = deliveriesOf(scene.receiver.requests);
  const fences = fencesInOrder(scene.receiver.requests);
  return {
    ...{ lost: missing(names), repeats, torn },
    fencesFell: fences.some((fence, index) => fence < (fences[index - 1] ?? 0)),
    starts: Math.max(...nodes.map((name) => scene.node(name).events("daemon.started").length)),
  };
};

/** All of it arrived once, from one node at a time, and no process ended. */
const WELL = { lost: [], repeats: 0, torn: [], fencesFell: false, starts: 1 };

const withUser = (user: string) => ({
  redisUrl: ({ port }: { port: number }) => `redis://${user}@127.0.0.1:${port}`,
});

describe("a Redis that cannot be used", { tags: ["redis", "resilience"] }, () => {
  test.each<{
    what: string;
    word: string;
    options?: ClusterOptions;
    wrong: string[][];
    right: string[];
  }>([
    {
      ...{ what: "has another password", word: "redis_noauth", options: withUser(":pass-word") },
      wrong: [["CONFIG", "SET", "requirepass", "another"]],
      right: ["CONFIG", "SET", "requirepass", "pass-word"],
    },
    {
      ...{ what: "has a foreign lock without an end", word: "foreign_lock" },
      wrong: [["SET", LOCK_KEY, "somebody@example.com"]],
      right: ["DEL", LOCK_KEY],
    },
    {
      ...{ what: "has a list where the lock should be", word: "foreign_lock" },
      wrong: [["LPUSH", LOCK_KEY, "x"]],
      right: ["DEL", LOCK_KEY],
    },
  ])("that $what at the start is waited for as $word", async ({ word, options, wrong, right }) => {
    await using scene = await openOne(options);
    const daemon = scene.node("a");
    for (const command of wrong) await scene.redis.cli(...command);
    await scene.deliver(subjects(3));
    await daemon.start();
    await expectRefusal(daemon, word);
    expect(scene.receiver.requests).toEqual([]);
    expect(JSON.stringify(daemon.lines)).not.toContain("somebody");
    await scene.redis.cli(...right);
    expect(await outcomeOf(scene, subjects(3))).toEqual(WELL);
  });

  test.each<{ what: string; word: string; wrong: string[][]; right: string[] }>([
    {
      ...{ what: "turns into a list", word: "foreign_lock" },
      wrong: [
        ["DEL", LOCK_KEY],
        ["LPUSH", LOCK_KEY, "x"],
      ],
      right: ["DEL", LOCK_KEY],
    },
    {
      ...{ what: "cannot be renewed for lack of memory", word: "redis_oom" },
      wrong: [["CONFIG", "SET", "maxmemory", "1"]],
      right: ["CONFIG", "SET", "maxmemory", "0"],
    },
    {
      ...{ what: "may not be renewed any more", word: "redis_noauth" },
      wrong: [["ACL", "SETUSER", "default", "-eval", "-evalsha"]],
      right: ["ACL", "SETUSER", "default", "+eval", "+evalsha"],
    },
  ])("under a lease: a lock that $what ends it, as $word", async ({ word, wrong, right }) => {
    await using scene = await openOne({ fallback: "file" });
    const daemon = scene.node("a");
    await startNodes(scene, "a");
    await scene.deliver(subjects(3));
    await untilSettled(scene, 3);
    for (const command of wrong) await scene.redis.cli(...command);
    await daemon.waitForEvent("lock.lost");
    await expectRefusal(daemon, word);
    await scene.deliver(subjects(3, 4));
    await scene.redis.cli(...right);
    expect(await outcomeOf(scene, subjects(6))).toEqual(WELL);
  });

  test("that is a replica is waited for as redis_readonly until it is the primary", async () => {
    let replicaPort = 0;
    await using scene = await openOne({
      redisUrl: () => `redis://127.0.0.1:${replicaPort}`,
    });
    await using replica = await startReplica(scene.redis);
    replicaPort = replica.port;
    const daemon = scene.node("a");
    daemon.writeConfig({ top: { redis_url: `redis://127.0.0.1:${replicaPort}` } });
    await scene.deliver(subjects(3));
    await daemon.start();
    await expectRefusal(daemon, "redis_readonly");
    await replica.cli("REPLICAOF", "NO", "ONE");
    expect(await outcomeOf(scene, subjects(3))).toEqual(WELL);
  });

  test("that would evict keys is refused at the start with 78, and as redis_unsafe later", async () => {
    await using scene = await openCluster(dovecot);
    const policy = (value: string) => scene.redis.cli("CONFIG", "SET", "maxmemory-policy", value);
    const sentence = "set maxmemory-policy noeviction: this Redis would throw away our state";
    await policy("allkeys-lru");
    expect(await scene.node("a").startAndEnd()).toMatchObject({ code: 78 });
    expect(scene.node("a").stderr()).toContain(sentence);
    await policy("noeviction");
    await startNodes(scene, "a", "b");
    const name = await calmHolder(scene);
    const [holder, other] = [name, name === "a" ? "b" : "a"].map((each) => scene.node(each));
    if (holder === undefined || other === undefined) throw new Error("there are two nodes");

    await policy("allkeys-lru");
    const told = await other.waitForEvent("redis.unsafe");
    expect(told).toMatchObject({ level: "warn", problem: expect.stringContaining(sentence) });
    await holder.waitForEvent("redis.unsafe");
    await expectRefusalHere(other, "redis_unsafe");
    await scene.deliver(subjects(3));
    await untilSettled(scene, 3);
    holder.kill("SIGKILL");
    await holder.exit;
    await scene.deliver(subjects(3, 4));
    await expectRefusalHere(other, "redis_unsafe");
    await policy("noeviction");
    expect(await outcomeOf(scene, subjects(6), [name === "a" ? "b" : "a"])).toEqual(WELL);
  });

  test("with the lock of the Python service standing is waited for until it expires", async () => {
    await using scene = await openOne();
    await scene.redis.cli("SET", LOCK_KEY, "pid=1", "NX", "EX", "5");
    await scene.deliver(subjects(3));
    await scene.node("a").start();
    await expectRefusal(scene.node("a"), "foreign_lock");
    expect(await scene.redis.cli("GET", LOCK_KEY)).toBe("pid=1");
    expect(await outcomeOf(scene, subjects(3))).toEqual(WELL);
  });
});

describe("a Redis behind TLS or rights", { tags: ["redis", "resilience"] }, () => {
  test("with a certificate of an unknown authority gets no word, and of a known one works", async () => {
    const port = await freePort();
    await using scene = await openOne({ redisUrl: () => `rediss://127.0.0.1:${port}` });
    const files = dirname(dovecot.caFile);
    const [key, certificate] = ["tls.key", "tls.pem"].map((name) => join(files, name));
    await scene.redis.cli(
      ...["CONFIG", "SET", "tls-key-file", key ?? "", "tls-cert-file", certificate ?? ""],
      ...["tls-ca-cert-file", dovecot.caFile, "tls-auth-clients", "no", "tls-port", String(port)],
    );
    const daemon = scene.node("a");
    await scene.deliver(subjects(3));
    await daemon.start();
    await expectRefusal(daemon, "waiting_for_redis", "unreachable");
    expect(scene.receiver.requests).toEqual([]);
    await daemon.stop();
    await daemon.start({ NODE_EXTRA_CA_CERTS: dovecot.caFile });
    await untilSettled(scene, 3);
    expect(deliveriesOf(scene.receiver.requests)).toMatchObject({ repeats: 0, torn: [] });
  });

  test("the user of the manual's ACL line may do everything that is needed", async () => {
    const moods = createMoods();
    await using scene = await openCluster(dovecot, {
      ...withUser("signalpost:PASSWORD"),
      answer: moods.answer,
    });
    const { redis } = scene;
    const manual = readFileSync(new URL("../../docs/lock.md", import.meta.url), "utf8");
    const line = /^ACL SETUSER signalpost .*$/m.exec(manual)?.[0] ?? "";
    await redis.cli(...line.split(" "));
    await redis.cli("ACL", "LOG", "RESET");
    await startNodes(scene, "a", "b");
    const name = await calmHolder(scene);
    const holder = scene.node(name);
    const other = scene.node(name === "a" ? "b" : "a");
    await scene.deliver([...subjects(3), "wait1", "park1"]);
    await untilSettled(scene, 5, { waiting: 1, parked: 1 });
    expect(await holder.cli("status", "--cluster", "--json")).toMatchObject({ code: 0, err: "" });
    expect(await holder.cli("config", "get", "polling_config")).toMatchObject({ code: 0 });
    expect(await holder.cli("redeliver", "default", "1")).toMatchObject({ code: 0 });
    expect(await holder.cli("parked", "replay", "--all")).toMatchObject({ code: 0 });
    await untilSettled(scene, 5, { waiting: 1, parked: 1 });
    expect(await holder.cli("parked", "drop", "--all")).toMatchObject({ code: 0 });
    moods.open();
    await until("it is sent again", () => deliveriesOf(moods.accepted).most === 2, PATIENCE_MS);
    await holder.stop();
    await scene.deliver(subjects(3, 4));
    await other.waitForNext("lock.acquired");
    await untilSettled(scene, 8, { waiting: 0, parked: 0 });
    // A sign-off that could be read: INFO is allowed.
    expect(other.events("lock.delayed").length).toBeLessThan(other.events("lock.acquired").length);
    expect(await redis.cli("ACL", "LOG")).toBe("");
  });
});

describe("a lock file that cannot be used", { tags: ["redis", "resilience"] }, () => {
  test("in a directory that is missing is waited for, although Redis is well", async () => {
    await using scene = await openOne();
    const daemon = scene.node("a");
    const directory = join(daemon.dir, "missing");
    daemon.writeConfig({ lock: { file: join(directory, "poller.lock") } });
    await scene.deliver(subjects(3));
    await daemon.start();
    await expectRefusal(daemon, "lock_file_error");
    expect(daemon.events("lock.refused")[0]).toMatchObject({ code: "ENOENT" });
    expect(await scene.redis.cli("GET", LOCK_KEY)).toBe("");
    mkdirSync(directory);
    expect(await outcomeOf(scene, subjects(3))).toEqual(WELL);
  });

  test("on a file system that is read-only is waited for until it may be written", async () => {
    using disk = mountSmallDisk(1024 * 1024);
    await using scene = await openOne();
    const daemon = scene.node("a");
    daemon.writeConfig({ lock: { file: join(disk.dir, "poller.lock") } });
    execFileSync("mount", ["-o", "remount,ro", disk.dir]);
    await scene.deliver(subjects(3));
    await daemon.start();
    await expectRefusal(daemon, "lock_file_error");
    expect(daemon.events("lock.refused")[0]).toMatchObject({ code: "EROFS" });
    execFileSync("mount", ["-o", "remount,rw", disk.dir]);
    expect(await outcomeOf(scene, subjects(3))).toEqual(WELL);
    await daemon.stop();
  });

  test("deleted under a lease ends it, and it is taken anew by one node", async () => {
    await using scene = await openCluster(dovecot);
    await startNodes(scene, "a", "b");
    const holder = scene.node(await calmHolder(scene));
    await scene.deliver(subjects(3));
    await untilSettled(scene, 3);
    const lost = holder.waitForNext("lock.lost");
    rmSync(holder.lockFile);
    expect(await lost).toMatchObject({ level: "error", reason: "lock_file_replaced" });
    await scene.deliver(subjects(3, 4));
    expect(await outcomeOf(scene, subjects(6), ["a", "b"])).toEqual(WELL);
    expect(await scene.holder()).not.toBe(null);
  });
});
