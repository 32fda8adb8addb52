// Two daemons on two hosts, one mailbox, one Redis: one polls and the other stands by. The holder is
// asked to leave, killed, stopped for longer than its lease, or cut off from Redis, while mail arrives.
// Nothing is lost, every repeat has the id of the first, and no request of a former holder begins after
// its successor's first.
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Arrivals, startArrivals } from "../support/arrivals.ts";
import { type ClusterScene, openCluster, startPair } from "../support/cluster.ts";
import type { TestDaemon } from "../support/daemon.ts";
import { deliveriesOf, fencesInOrder, subjects, until } from "../support/deliveries.ts";
import { type Dovecot, startDovecot } from "../support/dovecot.ts";
import type { ReceivedRequest } from "../support/receiver.ts";
import { type Relay, startRelay } from "../support/relay.ts";

const LOCK_KEY = "render_signal:poller_lock";
const STATE_KEY = `{${LOCK_KEY}}:state`;

/** At most so many messages are uncommitted at a time, and may come again from the next holder. */
const WINDOW = 64;

/** Requests of a destination at the same time. */
const CONCURRENCY = 16;

/** Longer than lease and lock-delay together, at a tenth of their length. */
const LONG_MS = 6000;

let dovecot: Dovecot;
beforeAll(async () => {
  dovecot = await startDovecot();
});
afterAll(async () => {
  await dovecot.stop();
});

/** A receiver that takes a moment, so that there is always something in flight. */
const answer = (_: ReceivedRequest, n: number): { delayMs: number } => ({ delayMs: n % 40 });

/** Mail arrives from now on; resolves when the holder is in the middle of more than it can send at once. */
const underLoad = async ({ deliver, receiver }: ClusterScene): Promise<Arrivals> => {
  const arriving = startArrivals(deliver);
  await receiver.waitFor(50, 30_000);
  await arriving.burst(400);
  await receiver.waitFor(receiver.requests.length + 100, 30_000);
  return arriving;
};

const fenceOf = (daemon: TestDaemon): number =>
  Number(daemon.events("lock.acquired").at(-1)?.["fence"]);

/** The fence under which `daemon` takes the mailbox over from the holder of `fence`. */
const fenceAfter = async (daemon: TestDaemon, fence: number): Promise<number> => {
  const taken = await daemon.waitForEvent("lock.acquired", (line) => Number(line["fence"]) > fence);
  return Number(taken["fence"]);
};

const delaysUnder = (daemon: TestDaemon, fence: number): number =>
  daemon.events("lock.delayed").filter((line) => line["fence"] === fence).length;

const ttlMs = async ({ redis }: ClusterScene): Promise<number> =>
  Number(await redis.cli("PTTL", LOCK_KEY));

/**
 * From now on: the log says that another holds the mailbox, or that the node got it back under a newer fence
 * than `fence`. A node that is preferred may be handed it before it has asked once.
 */
const standsBy = async (daemon: TestDaemon, fence: number): Promise<void> => {
  const from = daemon.lines.length;
  await until("it stands by, or was handed the mailbox anew", () =>
    daemon.lines
      .slice(from)
      .some(
        (line) =>
          (line.event === "lock.refused" && line["reason"] === "held_by_other") ||
          (line.event === "lock.acquired" && Number(line["fence"]) > fence),
      ),
  );
};

/** Waits until the successor is at work, ends the arrivals, and waits for the last message. */
const finish = async (
  scene: ClusterScene,
  successor: TestDaemon,
  arriving: Arrivals,
): Promise<readonly string[]> => {
  await until("the successor delivers", () => fencesInOrder(scene.receiver.requests).length > 1);
  const names = await arriving.end();
  await until("everything is settled", async () => {
    const [mailbox] = (await successor.status()).mailboxes;
    return mailbox?.counts["delivered"] === names.length && mailbox.spool.waiting === 0;
  });
  return names;
};

/**
 * What holds however the mailbox changed hands: it went from fence to fence, and never back. Over the
 * last one named it may have gone on to a former holder that lives again and is preferred.
 */
const expectHandover = (
  { receiver: { requests } }: ClusterScene,
  { names, fences }: { names: readonly string[]; fences: readonly number[] },
): void => {
  const all = deliveriesOf(requests);
  expect(all.missing(names)).toEqual([]);
  expect(all.torn).toEqual([]);
  expect(requests.every(({ verified }) => verified)).toBe(true);
  const inOrder = fencesInOrder(requests);
  expect(inOrder.slice(0, fences.length)).toEqual(fences);
  expect(inOrder.toSorted((a, b) => a - b)).toEqual(inOrder);
};

describe("two daemons with one Redis", { tags: ["redis", "resilience"] }, () => {
  test("deliver 2,000 messages once each, all by one of them", async () => {
    await using scene = await openCluster(dovecot, { answer });
    const { holder, standby } = await startPair(scene);
    const names = subjects(2000);
    for (let at = 0; at < names.length; at += 50) {
      await scene.deliver(names.slice(at, at + 50));
      await sleep(50);
    }
    await until("everything is settled", async () => {
      const [mailbox] = (await standby.status()).mailboxes;
      return mailbox?.counts["delivered"] === names.length;
    });
    expectHandover(scene, { names, fences: [fenceOf(holder)] });
    expect(fencesInOrder(scene.receiver.requests)).toHaveLength(1);
    expect(deliveriesOf(scene.receiver.requests).repeats).toBe(0);
    expect((await holder.readyz()).body.mailboxes).toEqual({ default: "polling" });
    expect((await standby.readyz()).body.mailboxes).toEqual({ default: "standby" });
    expect((await holder.stop()).code).toBe(0);
    expect((await standby.stop()).code).toBe(0);
    expect(scene.receiver.requests).toHaveLength(names.length);
  });

  test("go on under a higher fence when the holder is killed", async () => {
    await using scene = await openCluster(dovecot, { answer });
    const { holder, standby } = await startPair(scene);
    await using arriving = await underLoad(scene);
    expect(await ttlMs(scene)).toBeGreaterThan(250_000);

    holder.kill("SIGKILL");
    await holder.exit;
    const fences = [fenceOf(holder), await fenceAfter(standby, fenceOf(holder))] as const;
    expect(await ttlMs(scene)).toBeGreaterThan(250_000);

    const names = await finish(scene, standby, arriving);
    expectHandover(scene, { names, fences });
    expect(deliveriesOf(scene.receiver.requests).repeats).toBeLessThanOrEqual(WINDOW);
    expect(delaysUnder(standby, fences[1])).toBe(1);
    expect(await ttlMs(scene)).toBeGreaterThan(250_000);
  });

  test("hand over at once and send nothing twice when the holder is asked to end", async () => {
    await using scene = await openCluster(dovecot, { answer });
    const { holder, standby } = await startPair(scene);
    await using arriving = await underLoad(scene);

    expect((await holder.stop()).code).toBe(0);
    const fences = [fenceOf(holder), await fenceAfter(standby, fenceOf(holder))] as const;
    expect(holder.events("lock.released").at(-1)).toMatchObject({ fence: fences[0] });

    const names = await finish(scene, standby, arriving);
    expectHandover(scene, { names, fences });
    expect(deliveriesOf(scene.receiver.requests).repeats).toBe(0);
    expect(delaysUnder(standby, fences[1])).toBe(0);
  });

  test("leave a holder that was stopped past its lease without effect when it goes on", async () => {
    await using scene = await openCluster(dovecot, { answer });
    const { holder, standby } = await startPair(scene);
    const { requests } = scene.receiver;
    await using arriving = await underLoad(scene);
    const oldFence = fenceOf(holder);
    const beganAfter = (ms: number): number =>
      requests.filter(({ fence, beganMs }) => fence === oldFence && beganMs > ms).length;

    holder.kill("SIGSTOP");
    const stoppedMs = performance.now();
    const newFence = await fenceAfter(standby, oldFence);
    await sleep(LONG_MS - (performance.now() - stoppedMs));
    await until("the successor delivers", () => fencesInOrder(requests).length === 2);
    const stoodBy = standsBy(holder, newFence);
    holder.kill("SIGCONT");
    const wokenMs = performance.now();
    const seen: { fence: number; delivered: number }[] = [];
    for (let look = 0; look < 20; look += 1) {
      const fence = Number(await scene.redis.cli("HGET", STATE_KEY, "__fence"));
      const [mailbox] = (await standby.status()).mailboxes;
      seen.push({ fence, delivered: mailbox?.counts["delivered"] ?? 0 });
      await sleep(50);
    }
    expect(await holder.waitForEvent("lock.lost")).toMatchObject({ fence: oldFence });
    await stoodBy;

    const names = await finish(scene, standby, arriving);
    expect(beganAfter(wokenMs)).toBe(0);
    expect(beganAfter(stoppedMs)).toBeLessThanOrEqual(CONCURRENCY);
    expect(seen[0]?.fence).toBe(newFence);
    expect(seen.toSorted((a, b) => a.fence - b.fence || a.delivered - b.delivered)).toEqual(seen);
    expectHandover(scene, { names, fences: [oldFence, newFence] });
    expect(deliveriesOf(requests).repeats).toBeLessThanOrEqual(WINDOW);
  });

  test("change hands by its deadline when the holder gets no answer from Redis", async () => {
    await using relays = new AsyncDisposableStack();
    const byNode = new Map<string, Relay>();
    await using scene = await openCluster(dovecot, {
      answer,
      nodes: [],
      redisUrl: (_, node) => `redis://127.0.0.1:${byNode.get(node)?.port}`,
    });
    for (const name of ["a", "b"]) {
      byNode.set(name, relays.use(await startRelay(scene.redis.port)));
      scene.addNode(name);
    }
    const { holder, standby } = await startPair(scene);
    const relay = byNode.get(holder === scene.node("a") ? "a" : "b");
    await using arriving = await underLoad(scene);

    const oldFence = fenceOf(holder);

    relay?.mute();
    const lost = await holder.waitForEvent("lock.lost");
    expect(lost).toMatchObject({ reason: "expired", fence: oldFence });
    const newFence = await fenceAfter(standby, oldFence);
    await until("the successor delivers", () => fencesInOrder(scene.receiver.requests).length > 1);
    await until("the other waits", async () => {
      const { status, body } = await holder.readyz();
      return status === 503 && body.mailboxes["default"] === "waiting_for_redis";
    });
    const stoodBy = standsBy(holder, newFence);
    relay?.unmute();
    await stoodBy;

    const names = await finish(scene, standby, arriving);
    expectHandover(scene, { names, fences: [oldFence, newFence] });
    expect(deliveriesOf(scene.receiver.requests).repeats).toBeLessThanOrEqual(WINDOW);
  });
});
