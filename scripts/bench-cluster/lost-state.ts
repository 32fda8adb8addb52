// Rows in which Redis answers and has forgotten: restarted empty with mail in the spool, the key of the lock
// deleted, and a failover to a replica that lags behind and never saw the lock. Called by bench-cluster.ts.
import { setTimeout as sleep } from "node:timers/promises";
import { createMoods, untilSettled } from "../../test/support/cluster-steps.ts";
import type { ClusterScene } from "../../test/support/cluster.ts";
import { deliveriesOf, subjectOf, subjects } from "../../test/support/deliveries.ts";
import { startReplica } from "../../test/support/redis.ts";
import { startRelay } from "../../test/support/relay.ts";
import {
  type Figure,
  type Row,
  UNCLEAN_SECONDS,
  UNCOMMITTED,
  atMost,
  deliveryFigures,
  told,
} from "./figures.ts";
import {
  LOCK_KEY,
  endLoad,
  firstAbove,
  lastFence,
  openStage,
  startLoad,
  startNodes,
} from "./stage.ts";

/**
 * Mail of which everything is known before the loss: delivered, waiting, and parked. With more that is
 * refused in a row the breaker would open, and hold up the rest.
 */
const OLD = [...subjects(200), "wait1", "park1"];
const OPEN = { waiting: 1, parked: 1 };

/** From a loss to the first message under a newer fence. */
const untilTaken = async (scene: ClusterScene, old: number, lostMs: number): Promise<Figure> => {
  const { beganMs } = await firstAbove(scene, old);
  return atMost(
    "loss to the first message under a new fence (s)",
    (beganMs - lostMs) / 1000,
    UNCLEAN_SECONDS,
  );
};

/** Redis comes back empty while mail waits in the spool, and some is parked. */
export const emptied: Row = async (dovecot) => {
  const moods = createMoods();
  await using scene = await openStage(dovecot, { answer: moods.answer });
  await startNodes(scene, ["a", "b"]);
  await scene.deliver(OLD);
  await untilSettled(scene, OLD.length, OPEN);
  await using load = await startLoad(scene, { from: 1000 });
  const old = lastFence(scene);
  const lostMs = performance.now();
  await scene.redis.restart({ keepData: false });
  moods.open();
  const taken = await untilTaken(scene, old, lostMs);
  const arrived = await load.end();
  const all = [...OLD, ...arrived];
  await untilSettled(scene, all.length, { waiting: 0, parked: OPEN.parked });
  const again = moods.accepted.filter((request) => OLD.includes(subjectOf(request)));
  return [
    taken,
    atMost("sent again of what was committed", deliveriesOf(again).repeats, 0),
    told("waiting and parked at the loss", `${OPEN.waiting} and ${OPEN.parked}`),
    ...deliveryFigures(
      moods.accepted,
      all.filter((name) => !name.startsWith("park")),
      { repeats: UNCOMMITTED },
    ),
  ];
};

/** Somebody deletes the key of the lock. */
export const deleted: Row = async (dovecot) => {
  await using scene = await openStage(dovecot);
  await startNodes(scene, ["a", "b"]);
  await using load = await startLoad(scene);
  const old = lastFence(scene);
  const lostMs = performance.now();
  await scene.redis.cli("DEL", LOCK_KEY);
  const taken = await untilTaken(scene, old, lostMs);
  const names = await endLoad(scene, load);
  return [taken, ...deliveryFigures(scene.receiver.requests, names, { repeats: UNCOMMITTED })];
};

/** A replica that stopped to follow five seconds ago, and never had the lock, becomes the primary. */
export const failover: Row = async (dovecot) => {
  await using stack = new AsyncDisposableStack();
  const line = stack.use(await startRelay(0));
  const scene = stack.use(
    await openStage(dovecot, {
      redisUrl: (redis) => {
        line.retarget(redis.port);
        return `redis://127.0.0.1:${line.port}`;
      },
    }),
  );
  const replica = stack.use(await startReplica(scene.redis));
  await startNodes(scene, ["a", "b"]);
  const load = stack.use(await startLoad(scene));
  await replica.cli("REPLICAOF", "NO", "ONE");
  await replica.cli("DEL", LOCK_KEY);
  await sleep(5000);
  const old = lastFence(scene);
  const lostMs = performance.now();
  line.retarget(replica.port);
  line.cut();
  const taken = await untilTaken(scene, old, lostMs);
  const names = await endLoad(scene, load);
  return [taken, ...deliveryFigures(scene.receiver.requests, names, { repeats: UNCOMMITTED })];
};
