// Rows in which the mailbox goes from one node to the other while mail arrives: nothing happens at all, the
// holder is killed, the holder is asked to stop. Called by bench-cluster.ts.
import { setTimeout as sleep } from "node:timers/promises";
import type { ClusterScene } from "../../test/support/cluster.ts";
import { untilSettled } from "../../test/support/cluster-steps.ts";
import { subjects } from "../../test/support/deliveries.ts";
import {
  type Row,
  UNCLEAN_SECONDS,
  UNCOMMITTED,
  atLeast,
  atMost,
  deliveryFigures,
} from "./figures.ts";
import {
  LOCK_KEY,
  endLoad,
  firstAbove,
  lastFence,
  monoOf,
  openStage,
  startLoad,
  startNodes,
} from "./stage.ts";

const NAMES = subjects(2000);
const AT_ONCE = 20;

/** Two daemons, 2,000 messages that arrive while both run. */
export const twoDaemons: Row = async (dovecot) => {
  await using scene = await openStage(dovecot);
  await startNodes(scene, ["a", "b"]);
  for (let at = 0; at < NAMES.length; at += AT_ONCE) {
    await scene.deliver(NAMES.slice(at, at + AT_ONCE));
    await sleep(100);
  }
  await untilSettled(scene, NAMES.length);
  const fences = new Set(scene.receiver.requests.map(({ fence }) => fence));
  return [
    ...deliveryFigures(scene.receiver.requests, NAMES, { repeats: 0 }),
    atMost("holders that sent", fences.size, 1),
  ];
};

/** The least time to live that the key of the lock had, in seconds, over two renewals. */
const leastTtl = async ({ redis }: ClusterScene): Promise<number> => {
  let least = Infinity;
  for (let looks = 0; looks < 44; looks += 1) {
    least = Math.min(least, Number(await redis.cli("PTTL", LOCK_KEY)));
    await sleep(250);
  }
  return least / 1000;
};

/** `kill -9` of the holder. */
export const killed: Row = async (dovecot) => {
  await using scene = await openStage(dovecot);
  const { holder } = await startNodes(scene, ["a", "b"]);
  await using load = await startLoad(scene);
  const ttl = await leastTtl(scene);
  const old = lastFence(scene);
  const killedMs = performance.now();
  holder.kill("SIGKILL");
  const first = await firstAbove(scene, old);
  const names = await endLoad(scene, load);
  return [
    atLeast("time to live while held (s)", ttl, 290),
    atMost(
      "kill to the other's first message (s)",
      (first.beganMs - killedMs) / 1000,
      UNCLEAN_SECONDS,
    ),
    ...deliveryFigures(scene.receiver.requests, names, { repeats: UNCOMMITTED }),
  ];
};

/** SIGTERM to the holder. */
export const terminated: Row = async (dovecot) => {
  await using scene = await openStage(dovecot);
  const { holder, others } = await startNodes(scene, ["a", "b"]);
  await using load = await startLoad(scene);
  const old = lastFence(scene);
  await holder.stop();
  const released = await holder.waitForEvent("lock.released");
  const first = await firstAbove(scene, old);
  const releasedMs = monoOf(released);
  const delays = others
    .flatMap((node) => node.events("lock.delayed"))
    .filter((line) => monoOf(line) >= releasedMs);
  // Some more of the load for the new holder.
  await sleep(3000);
  const names = await endLoad(scene, load);
  return [
    atMost("release to the other's first message (s)", (first.beganMs - releasedMs) / 1000, 3),
    atMost("lock-delays of the other", delays.length, 0),
    ...deliveryFigures(scene.receiver.requests, names, { repeats: 0 }),
  ];
};
