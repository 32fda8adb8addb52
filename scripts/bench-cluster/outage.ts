// Rows in which Redis is not there at all: away for a minute while mail arrives, under each of the fallbacks
// that differ, and away when a node of a fresh data directory starts. Called by bench-cluster.ts.
import { setTimeout as sleep } from "node:timers/promises";
import { subjects, until } from "../../test/support/deliveries.ts";
import type { ClusterScene } from "../../test/support/cluster.ts";
import type { TestDaemon } from "../../test/support/daemon.ts";
import { untilSettled } from "../../test/support/cluster-steps.ts";
import {
  type Row,
  UNCLEAN_SECONDS,
  UNCOMMITTED,
  atLeast,
  atMost,
  deliveryFigures,
  longestPause,
  mustBe,
  told,
} from "./figures.ts";
import { PATIENCE_MS, endLoad, openStage, startLoad, startNodes, wordOf } from "./stage.ts";

const AWAY_MS = 60_000;
/** A lease: by then a holder has stopped or goes on alone. */
const LEASE_MS = 15_000;
/** An append-only file, so that a Redis that is killed keeps what it answered. */
const DURABLE = ["--appendonly", "yes"];

/** Redis is killed and comes back with its data; the word of `node` half-way, and the times of both. */
const endureOutage = async ({ redis }: ClusterScene, node: TestDaemon) => {
  const killedMs = performance.now();
  await redis.kill();
  await sleep(AWAY_MS / 2);
  const word = await wordOf(node);
  await sleep(AWAY_MS / 2);
  const backMs = performance.now();
  await redis.start();
  return { killedMs, backMs, word };
};

/** `lock.fallback: file`: the node goes on alone, and gives back what it did. */
export const outageFile: Row = async (dovecot) => {
  await using scene = await openStage(dovecot, {
    nodes: ["a", "b"],
    fallback: "file",
    redisArgs: DURABLE,
  });
  const { requests } = scene.receiver;
  const { holder } = await startNodes(scene, ["a"]);
  await using load = await startLoad(scene);
  const { killedMs, backMs, word } = await endureOutage(scene, holder);
  await until(
    "state is shared again",
    async () => (await wordOf(holder)) === "polling",
    PATIENCE_MS,
  );
  const sharedMs = performance.now();
  const names = await endLoad(scene, load);
  await scene.node("b").start();
  const { mailboxes } = await scene.node("b").status();
  const alone = requests.filter((one) => one.beganMs > killedMs + LEASE_MS && one.beganMs < backMs);
  return [
    mustBe("word while Redis is away", word, "island"),
    atLeast("messages sent while it is away", alone.length, 1),
    told("longest pause around the loss (s)", longestPause(requests, killedMs, backMs).toFixed(1)),
    atMost(
      "longest pause at the return (s)",
      longestPause(requests, backMs, sharedMs),
      UNCLEAN_SECONDS,
    ),
    atLeast(
      "messages that a second node counts",
      mailboxes[0]?.counts["delivered"] ?? 0,
      names.length,
    ),
    ...deliveryFigures(requests, names, { repeats: 0 }),
  ];
};

/** `lock.fallback: wait`: nothing is polled until Redis is back. */
export const outageWait: Row = async (dovecot) => {
  await using scene = await openStage(dovecot, { fallback: "wait", redisArgs: DURABLE });
  const { requests } = scene.receiver;
  const { holder } = await startNodes(scene, ["a", "b"]);
  await using load = await startLoad(scene);
  const { killedMs, backMs, word } = await endureOutage(scene, holder);
  const firstAfter = () => requests.find(({ beganMs }) => beganMs >= backMs);
  await until("a message after the return", () => firstAfter() !== undefined, PATIENCE_MS);
  const names = await endLoad(scene, load);
  const silent = requests.filter(
    (one) => one.beganMs > killedMs + LEASE_MS && one.beganMs < backMs,
  );
  const waited = ((firstAfter()?.beganMs ?? Infinity) - backMs) / 1000;
  return [
    mustBe("word while Redis is away", word, "waiting_for_redis"),
    atMost("messages sent after the lease", silent.length, 0),
    atMost("return to the first message (s)", waited, UNCLEAN_SECONDS),
    ...deliveryFigures(requests, names, { repeats: UNCOMMITTED }),
  ];
};

const WAITING = subjects(50);

/** A node with an empty data directory starts while Redis is away. */
export const fresh: Row = async (dovecot) => {
  await using scene = await openStage(dovecot, { nodes: ["a"] });
  const { requests } = scene.receiver;
  const node = scene.node("a");
  await scene.redis.kill();
  await scene.deliver(WAITING);
  await node.start();
  // Longer than any lease: by now a node that may go on alone would have done so.
  await sleep(2 * LEASE_MS);
  const { status, body } = await node.readyz();
  const early = requests.length;
  const backMs = performance.now();
  await scene.redis.start();
  await scene.receiver.waitFor(WAITING.length, PATIENCE_MS);
  await untilSettled(scene, WAITING.length);
  const waited = ((requests[0]?.beganMs ?? Infinity) - backMs) / 1000;
  return [
    mustBe(
      "/readyz while Redis is away",
      `${status} ${body.mailboxes["default"]}`,
      "503 waiting_for_redis",
    ),
    atMost("messages sent without Redis", early, 0),
    atMost("Redis to the first message (s)", waited, UNCLEAN_SECONDS),
    ...deliveryFigures(requests, WAITING, { repeats: 0 }),
  ];
};
