// Redis that loses what it knew: emptied, set back to an older snapshot, replaced by a replica that lags
// behind, its keys deleted by hand. The fence still rises, no two nodes work at the same time, no mail is
// lost, and what was committed before is not sent again.
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openSqliteFile } from "../../src/store/sqlite.adapter.ts";
import { createSqliteJournal } from "../../src/store/shared/sqlite-journal.ts";
import { startArrivals } from "../support/arrivals.ts";
import { type ClusterScene, openCluster } from "../support/cluster.ts";
import {
  calmHolder,
  createMoods,
  type Moods,
  PATIENCE_MS,
  startNodes,
  untilSettled,
} from "../support/cluster-steps.ts";
import type { TestDaemon } from "../support/daemon.ts";
import {
  deliveriesOf,
  fencesInOrder,
  messagesFor,
  subjectOf,
  subjects,
  until,
} from "../support/deliveries.ts";
import { type Dovecot, startDovecot } from "../support/dovecot.ts";
import { startReplica } from "../support/redis.ts";
import { startRelay } from "../support/relay.ts";

/** So many messages may be on their way, not yet committed, when a lease is lost. */
const WINDOW = 64;

/** Mail of which everything is known before the fault: delivered, waiting and parked. */
const OLD = [...subjects(20), "wait1", "wait2", "park1"];

const mailboxOf = (body: string): string =>
  (JSON.parse(body) as { data: { mailbox: string } }).data.mailbox;

const LOCK_KEY = "render_signal:poller_lock";

let dovecot: Dovecot;
beforeAll(async () => {
  dovecot = await startDovecot();
});
afterAll(async () => {
  await dovecot.stop();
});

/** How it is in the end, when Redis forgot something once. */
const outcomeOf = (
  { receiver }: ClusterScene,
  { accepted }: Moods,
  names: readonly string[],
): object => {
  const { missing, torn, repeats } = deliveriesOf(accepted);
  const old = accepted.filter((request) => OLD.includes(subjectOf(request)));
  const fences = fencesInOrder(receiver.requests);
  return {
    lost: missing(names.filter((name) => !name.startsWith("park"))),
    torn,
    repeatsOfOld: deliveriesOf(old).repeats,
    tooManyRepeats: repeats > WINDOW,
    fencesFell: fences.some((fence, index) => fence < (fences[index - 1] ?? 0)),
    changesOfHands: Math.min(1, fences.length - 1),
  };
};

/** Nothing is lost, nothing settled is sent again, and one fence or more came after the first. */
const WELL = {
  ...{ lost: [], torn: [], repeatsOfOld: 0, tooManyRepeats: false },
  ...{ fencesFell: false, changesOfHands: 1 },
};

/** The journal of a node, as the node would read it. */
const journalOf = async ({ dataDir }: TestDaemon) => {
  const database = openSqliteFile(dataDir);
  try {
    const journal = createSqliteJournal(database);
    return { entry: await journal.read("default"), facts: await journal.facts() };
  } finally {
    database.close();
  }
};

const untilJournalKnows = (daemon: TestDaemon, settledUpTo: number): Promise<void> =>
  until(
    `the journal knows ${settledUpTo} messages as settled`,
    async () => (await journalOf(daemon)).entry?.cursors[0]?.settledUpTo === settledUpTo,
    PATIENCE_MS,
  );

describe("Redis loses state", { tags: ["redis", "resilience"] }, () => {
  test("a restart without data costs no mail, and what waited or was parked is read again", async () => {
    const moods = createMoods();
    await using scene = await openCluster(dovecot, { answer: moods.answer });
    await startNodes(scene, "a", "b");
    await scene.deliver(OLD);
    await untilSettled(scene, OLD.length, { waiting: 2, parked: 1 });

    await using arrivals = startArrivals(scene.deliver, { from: 1000 });
    await scene.redis.restart({ keepData: false });
    moods.open();
    await until("mail is delivered again", () => fencesInOrder(moods.accepted).length > 1);
    const names = [...OLD, ...(await arrivals.end())];
    await untilSettled(scene, names.length, { waiting: 0, parked: 1 });
    expect(outcomeOf(scene, moods, names)).toEqual(WELL);
    expect(
      deliveriesOf(scene.receiver.requests.filter((one) => subjectOf(one) === "park1")),
    ).toMatchObject({ torn: [], most: 2 });
  });

  test("an older snapshot costs no mail, and what was delivered since is not sent again", async () => {
    const moods = createMoods();
    await using scene = await openCluster(dovecot, { answer: moods.answer });
    const { redis } = scene;
    await startNodes(scene, "a", "b");
    await scene.deliver(OLD.slice(0, 5));
    await untilSettled(scene, 5);
    await redis.cli("SAVE");
    const snapshot = join(redis.directory, "older.rdb");
    copyFileSync(join(redis.directory, "dump.rdb"), snapshot);
    await scene.deliver(OLD.slice(5));
    await untilSettled(scene, OLD.length, { waiting: 2, parked: 1 });

    await using arrivals = startArrivals(scene.deliver, { from: 1000 });
    await redis.restart({ keepData: false, snapshot });
    moods.open();
    await until("mail is delivered again", () => fencesInOrder(moods.accepted).length > 1);
    const names = [...OLD, ...(await arrivals.end())];
    await untilSettled(scene, names.length, { waiting: 0, parked: 1 });
    expect(outcomeOf(scene, moods, names)).toEqual(WELL);
  });

  test.each([
    ["DEL of the lock key", ["DEL", LOCK_KEY]],
    ["FLUSHALL", ["FLUSHALL"]],
  ])("%s under load ends the lease, and the next one goes on where it stood", async (_, words) => {
    const moods = createMoods();
    await using scene = await openCluster(dovecot, { answer: moods.answer });
    await startNodes(scene, "a", "b");
    await scene.deliver(OLD);
    await untilSettled(scene, OLD.length, { waiting: 2, parked: 1 });

    await using arrivals = startArrivals(scene.deliver, { from: 1000 });
    const lost = Promise.any(["a", "b"].map((name) => scene.node(name).waitForNext("lock.lost")));
    await scene.redis.cli(...words);
    expect(await lost).toMatchObject({
      level: "error",
      mailbox: "default",
      reason: expect.stringMatching(/vanished|taken_over/),
    });
    moods.open();
    await until("mail is delivered again", () => fencesInOrder(moods.accepted).length > 1);
    const names = [...OLD, ...(await arrivals.end())];
    await untilSettled(scene, names.length, { waiting: 0, parked: 1 });
    expect(outcomeOf(scene, moods, names)).toEqual(WELL);
  });

  test("a failover to a replica that lags behind moves the lease under a higher fence", async () => {
    const moods = createMoods();
    await using relay = await startRelay(0);
    await using scene = await openCluster(dovecot, {
      answer: moods.answer,
      redisUrl: ({ port }) => {
        relay.retarget(port);
        return `redis://127.0.0.1:${relay.port}`;
      },
    });
    await using replica = await startReplica(scene.redis);
    await startNodes(scene, "a", "b");
    await replica.cli("REPLICAOF", "NO", "ONE");
    // What the replica lacks, besides the lock: all that follows.
    await replica.cli("DEL", LOCK_KEY, `{${LOCK_KEY}}:fence`);
    await scene.deliver(OLD);
    await untilSettled(scene, OLD.length, { waiting: 2, parked: 1 });

    await using arrivals = startArrivals(scene.deliver, { from: 1000 });
    relay.retarget(replica.port);
    relay.cut();
    moods.open();
    await until("mail is delivered again", () => fencesInOrder(moods.accepted).length > 1);
    const names = [...OLD, ...(await arrivals.end())];
    await untilSettled(scene, names.length, { waiting: 0, parked: 1 });
    expect(outcomeOf(scene, moods, names)).toEqual(WELL);
  });

  test("the journal of the standby node stands in for a holder that is gone with its Redis", async () => {
    const moods = createMoods();
    await using scene = await openCluster(dovecot, { answer: moods.answer });
    await startNodes(scene, "a", "b");
    await scene.deliver(OLD);
    await untilSettled(scene, OLD.length, { waiting: 2, parked: 1 });
    const name = await calmHolder(scene);
    const standby = scene.node(name === "a" ? "b" : "a");
    await untilJournalKnows(standby, OLD.length);
    const contacts = standby.events("mailbox.first_contact").length;

    await scene.node(name)[Symbol.asyncDispose]();
    await scene.redis.restart({ keepData: false });
    moods.open();
    const late = subjects(5, 1000);
    await scene.deliver(late);
    const names = [...OLD, ...late];
    await untilSettled(scene, names.length, { waiting: 0, parked: 1 });
    expect(outcomeOf(scene, moods, names)).toEqual(WELL);
    expect(standby.events("mailbox.first_contact")).toHaveLength(contacts);
  });

  test("a mailbox without any state on a Redis that lost its marker waits for a decision", async () => {
    await using scene = await openCluster(dovecot, { nodes: ["a"] });
    const { user, redis, receiver } = scene;
    const daemon = scene.node("a");
    const mailbox = (id: string) => ({
      ...{ id, folder: id === "default" ? "INBOX" : id, start_from: "beginning" },
      ...{ port: dovecot.port, user, password: dovecot.password },
    });
    const postedFor = (id: string): number =>
      receiver.requests.filter(({ body }) => mailboxOf(body) === id).length;
    await startNodes(scene, "a");
    await scene.deliver(subjects(3));
    await untilSettled(scene, 3);
    await until(
      "the node knows the marker",
      async () => (await journalOf(daemon)).facts.marker !== null,
    );
    await daemon.stop();

    await redis.cli("FLUSHALL");
    for (const folder of ["second", "third"]) {
      await dovecot.deliver(user, messagesFor([`in ${folder}`]), { folder });
    }
    daemon.writeConfig({ mailboxes: [mailbox("default"), mailbox("second")] });
    await daemon.start();
    await expect
      .poll(() => daemon.readyz(), { timeout: PATIENCE_MS })
      .toEqual({
        status: 503,
        body: { status: "not_ready", mailboxes: { default: "polling", second: "needs_decision" } },
      });
    expect(postedFor("second")).toBe(0);
    expect(await daemon.cli("adopt", "second", "--from", "beginning")).toMatchObject({ code: 0 });
    await until("the mailbox is polled", () => postedFor("second") === 1, PATIENCE_MS);
    await expect.poll(async () => (await daemon.readyz()).status).toBe(200);
    expect(daemon.events("mailbox.needs_decision")).toHaveLength(1);
    const again = await daemon.cli("adopt", "second", "--from", "beginning");
    expect(again).toMatchObject({ code: 1, err: expect.stringContaining("cli/not_lost") });

    // Redis is whole again: what is added now is simply new.
    await until("the marker stands again", async () => {
      const { marker } = (await journalOf(daemon)).facts;
      return marker !== null && marker === (await redis.cli("GET", "signalpost:marker"));
    });
    daemon.writeConfig({ mailboxes: ["default", "second", "third"].map(mailbox) });
    daemon.kill("SIGHUP");
    await until("the new mailbox is polled", () => postedFor("third") === 1, PATIENCE_MS);
    expect(daemon.events("mailbox.needs_decision")).toHaveLength(1);
    expect(deliveriesOf(receiver.requests)).toMatchObject({ repeats: 0, torn: [] });
  });

  test("a data directory from before Redis is published, and not let go without a word", async () => {
    const moods = createMoods();
    await using scene = await openCluster(dovecot, {
      ...{ nodes: ["a"], answer: moods.answer },
      top: { redis_url: null },
    });
    const daemon = scene.node("a");
    await startNodes(scene, "a");
    await scene.deliver(OLD);
    await untilSettled(scene, OLD.length, { waiting: 2, parked: 1 });
    await daemon.stop();

    daemon.writeConfig({ top: { redis_url: scene.redis.url } });
    await daemon.start();
    await untilSettled(scene, OLD.length, { waiting: 2, parked: 1 });
    moods.open();
    await scene.deliver(["after"]);
    await untilSettled(scene, OLD.length + 1, { waiting: 0, parked: 1 });
    const { repeats, torn, missing } = deliveriesOf(moods.accepted);
    expect({ repeats, torn, missing: missing([...OLD.slice(0, -1), "after"]) }).toEqual({
      ...{ repeats: 0, torn: [], missing: [] },
    });
    const { mailboxes } = await daemon.status();
    expect(mailboxes[0]?.counts).toMatchObject({ delivered: OLD.length, parked: 1 });
    expect(daemon.events("mailbox.first_contact")).toHaveLength(1);
    expect(await daemon.cli("parked", "drop", "--all")).toMatchObject({ code: 0 });
    await daemon.stop();

    daemon.writeConfig({ top: { redis_url: null } });
    expect(await daemon.startAndEnd()).toMatchObject({ code: 78 });
    expect(daemon.stderr()).toContain("this data_dir was used with Redis");
    daemon.writeConfig({ lock: { fallback: "file" } });
    await daemon.start();
    await scene.deliver(["alone"]);
    await untilSettled(scene, OLD.length + 2, { waiting: 0, parked: 0 });
    expect(deliveriesOf(moods.accepted)).toMatchObject({ repeats: 0, torn: [] });
  });
});
