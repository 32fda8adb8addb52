// Redis goes away, or falls silent, and comes back with all it ever answered: what each `lock.fallback`
// makes of it, while mail arrives. Whatever it says, nothing is lost, a repeat has the id of the first, and when Redis is
// back its state is whole again.
import { setTimeout as sleep } from "node:timers/promises";
import { DatabaseSync } from "node:sqlite";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Arrivals, startArrivals } from "../support/arrivals.ts";
import { type ClusterScene, openCluster, startPair } from "../support/cluster.ts";
import type { TestDaemon } from "../support/daemon.ts";
import { deliveriesOf, fencesInOrder, subjects, until } from "../support/deliveries.ts";
import { type Dovecot, startDovecot } from "../support/dovecot.ts";
import type { ReceivedRequest } from "../support/receiver.ts";

/** A minute, at a tenth of its length. */
const OUTAGE_MS = 6000;

/** A lease, at a tenth of its length. */
const LEASE_MS = 1500;

/** Waits until Redis has been away for {@link OUTAGE_MS}. */
const restOfOutage = (sinceMs: number): Promise<void> =>
  sleep(Math.max(0, OUTAGE_MS - (performance.now() - sinceMs)));

/** At most so many messages are uncommitted at a time, and may come again. */
const WINDOW = 64;

let dovecot: Dovecot;
beforeAll(async () => {
  dovecot = await startDovecot();
});
afterAll(async () => {
  await dovecot.stop();
});

const answer = (_: ReceivedRequest, n: number): { delayMs: number } => ({ delayMs: n % 20 });

const wordOf = async (daemon: TestDaemon): Promise<string> => {
  const { status, body } = await daemon.readyz();
  return `${status} ${body.mailboxes["default"]}`;
};

const hasWord = (daemon: TestDaemon, word: string): Promise<void> =>
  until(word, async () => (await wordOf(daemon)) === word);

/** Mail arrives from now on; resolves when it is being delivered. */
const underLoad = async ({ deliver, receiver }: ClusterScene): Promise<Arrivals> => {
  const arriving = startArrivals(deliver);
  await receiver.waitFor(50, 30_000);
  return arriving;
};

/** Waits until shared state, as `daemon` sees it, has all of them delivered. */
const allDelivered = (daemon: TestDaemon, names: readonly string[]): Promise<void> =>
  until("everything is delivered", async () => {
    const [mailbox] = (await daemon.status()).mailboxes;
    return mailbox?.counts["delivered"] === names.length && mailbox.spool.waiting === 0;
  });

/** Rows that a node's own store has of a time alone. */
const ownRows = ({ dataDir }: TestDaemon): number => {
  const database = new DatabaseSync(join(dataDir, "signalpost.db"), { readOnly: true });
  try {
    const counted = database.prepare(
      "SELECT (SELECT count(*) FROM spool) + (SELECT count(*) FROM receipts) AS rows",
    );
    return Number(counted.get()?.["rows"]);
  } finally {
    database.close();
  }
};

const expectWhole = (requests: readonly ReceivedRequest[], names: readonly string[]): void => {
  const all = deliveriesOf(requests);
  expect(all.missing(names)).toEqual([]);
  expect(all.torn).toEqual([]);
  const fences = fencesInOrder(requests.filter(({ attempt }) => attempt === 1));
  expect(fences.toSorted((a, b) => a - b)).toEqual(fences);
};

describe("an outage of Redis", { tags: ["redis", "resilience"] }, () => {
  test("is worked through alone with `file`, and shared state has it all afterwards", async () => {
    const accepted: ReceivedRequest[] = [];
    let isUnsteady = true;
    await using scene = await openCluster(dovecot, {
      nodes: ["a"],
      fallback: "file",
      answer: (request, n) => {
        if (isUnsteady && n % 10 === 0) return { status: 503 };
        accepted.push(request);
        return { delayMs: n % 20 };
      },
    });
    const a = scene.node("a");
    await a.start();
    await using arriving = await underLoad(scene);

    const awayMs = performance.now();
    await scene.redis.shutDown();
    await a.waitForEvent("lock.alone");
    const aloneMs = performance.now();
    await hasWord(a, "200 island");
    await restOfOutage(awayMs);
    expect(ownRows(a)).toBeGreaterThan(0);
    expect(scene.receiver.requests.some(({ beganMs }) => beganMs > aloneMs)).toBe(true);
    isUnsteady = false;
    await scene.redis.start();

    await hasWord(a, "200 polling");
    const names = await arriving.end();
    const b = scene.addNode("b");
    await b.start();
    await allDelivered(b, names);
    await until("nothing is left in the node's own store", () => ownRows(a) === 0);
    expectWhole(accepted, names);
    expect(deliveriesOf(accepted).repeats).toBeLessThanOrEqual(WINDOW);
  });

  test("is waited for with `wait`: nothing is sent past the lease, and it goes on by itself", async () => {
    await using scene = await openCluster(dovecot, { nodes: ["a"], fallback: "wait", answer });
    const { requests } = scene.receiver;
    const a = scene.node("a");
    await a.start();
    await using arriving = await underLoad(scene);

    const awayMs = performance.now();
    scene.redis.pause();
    await a.waitForEvent("lock.lost");
    const lostMs = performance.now();
    await hasWord(a, "503 waiting_for_redis");
    await restOfOutage(awayMs);
    expect(requests.filter(({ beganMs }) => beganMs > lostMs)).toEqual([]);
    scene.redis.resume();

    await hasWord(a, "200 polling");
    const names = await arriving.end();
    await allDelivered(a, names);
    expectWhole(requests, names);
    expect(deliveriesOf(requests).repeats).toBeLessThanOrEqual(WINDOW);
  });

  test("is worked through by the only host with `auto`, also by a process that begins in it", async () => {
    await using scene = await openCluster(dovecot, { nodes: ["a"], answer });
    const { requests } = scene.receiver;
    const a = scene.node("a");
    await a.start();
    await using arriving = await underLoad(scene);

    await scene.redis.shutDown();
    await hasWord(a, "200 island");
    a.kill("SIGKILL");
    await a.exit;
    const before = requests.length;
    await a.start();
    await hasWord(a, "200 island");
    await until("mail is delivered", () => requests.length > before + WINDOW);
    expect(deliveriesOf(requests).repeats).toBeLessThanOrEqual(2 * WINDOW);
    await scene.redis.start();

    await hasWord(a, "200 polling");
    const names = await arriving.end();
    await allDelivered(a, names);
    expect(ownRows(a)).toBe(0);
    expectWhole(requests, names);
    expect(deliveriesOf(requests).repeats).toBeLessThanOrEqual(2 * WINDOW);
    expect(a.events("mailbox.first_contact")).toHaveLength(1);
  });

  test("is waited for with `auto` once another host was seen", async () => {
    await using scene = await openCluster(dovecot, { answer });
    const { requests } = scene.receiver;
    const { holder, standby } = await startPair(scene);
    await using arriving = await underLoad(scene);

    await scene.redis.shutDown();
    await holder.waitForEvent("lock.lost");
    const lostMs = performance.now();
    for (const node of [holder, standby]) await hasWord(node, "503 waiting_for_redis");
    await sleep(LEASE_MS);
    expect(requests.filter(({ beganMs }) => beganMs > lostMs)).toEqual([]);
    expect([holder, standby].flatMap((node) => node.events("lock.alone"))).toEqual([]);
    await scene.redis.start();

    await until("one of them polls", async () => (await scene.holder()) !== null);
    const names = await arriving.end();
    await allDelivered(standby, names);
    expectWhole(requests, names);
    expect(deliveriesOf(requests).repeats).toBeLessThanOrEqual(WINDOW);
  });

  test("is waited for by a node that knows nothing of the mailbox, which says why", async () => {
    await using scene = await openCluster(dovecot, { nodes: ["a"], answer });
    const a = scene.node("a");
    const names = subjects(20);
    await scene.deliver(names);
    await scene.redis.shutDown();
    await a.start();
    await hasWord(a, "503 waiting_for_redis");
    expect(await a.waitForEvent("redis.lost")).toMatchObject({ code: "redis/unreachable" });
    expect(await a.waitForEvent("lock.refused")).toMatchObject({ reason: "unreachable" });
    // Past the time after which a node that may go on alone does.
    await sleep(2 * LEASE_MS);
    expect(await wordOf(a)).toBe("503 waiting_for_redis");
    expect(scene.receiver.requests).toEqual([]);
    await scene.redis.start();

    await hasWord(a, "200 polling");
    await allDelivered(a, names);
    expect(a.events("redis.back")).toHaveLength(1);
    expect(deliveriesOf(scene.receiver.requests).repeats).toBe(0);
  });
});
