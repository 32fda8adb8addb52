// Rows in which the holder lives and cannot know what happened: stopped for a minute and woken, and cut off
// from Redis by a line that fell silent. Called by bench-cluster.ts.
import { setTimeout as sleep } from "node:timers/promises";
import type { ClusterScene } from "../../test/support/cluster.ts";
import type { TestDaemon } from "../../test/support/daemon.ts";
import { until } from "../../test/support/deliveries.ts";
import { type Relay, startRelay } from "../../test/support/relay.ts";
import {
  type Row,
  UNCLEAN_SECONDS,
  UNCOMMITTED,
  atLeast,
  atMost,
  deliveryFigures,
  mustBe,
} from "./figures.ts";
import {
  STATE_KEY,
  endLoad,
  firstAbove,
  lastFence,
  monoOf,
  openStage,
  startLoad,
  startNodes,
  wordOf,
} from "./stage.ts";

const STOPPED_MS = 60_000;
/** The default of `webhook.concurrency`. */
const CONCURRENCY = 16;
/** Long enough that some requests are always under way. */
const ANSWER_MS = 250;
/** A timer may fire a moment early; what began less than this ago has no answer yet. */
const SURELY_OPEN_MS = ANSWER_MS - 10;
/** What was on its way when the process stopped is sent by then. */
const IN_FLIGHT_MS = 1000;
/** A lease; its holder stops more than two seconds before. */
const LEASE_SECONDS = 15;

/** The newest fence that wrote, looked at again and again; how often it fell. */
const watchFence = async ({ redis }: ClusterScene, forMs: number): Promise<number> => {
  let falls = 0;
  let newest = 0;
  for (const endMs = performance.now() + forMs; performance.now() < endMs; await sleep(20)) {
    const fence = Number(await redis.cli("HGET", STATE_KEY, "__fence"));
    if (fence < newest) falls += 1;
    newest = Math.max(newest, fence);
  }
  return falls;
};

/** What a node committed from an instant on, until it took the mailbox anew. */
const commitsSince = ({ lines }: TestDaemon, sinceMs: number): number => {
  const later = lines.filter((line) => monoOf(line) >= sinceMs);
  const taken = later.findIndex(({ event }) => event === "lock.acquired");
  const own = later.slice(0, taken === -1 ? later.length : taken);
  return own.filter(({ event }) => event === "message.delivered").length;
};

/** SIGSTOP of the holder for a minute, and SIGCONT. */
export const stopped: Row = async (dovecot) => {
  await using scene = await openStage(dovecot, {
    answer: () => ({ delayMs: ANSWER_MS }),
    top: { log_level: "debug" },
  });
  const { receiver } = scene;
  const { holder } = await startNodes(scene, ["a", "b"]);
  await using load = await startLoad(scene, { batch: 10 });
  const old = lastFence(scene);
  const stoppedMs = performance.now();
  holder.kill("SIGSTOP");
  const first = await firstAbove(scene, old);
  await sleep(STOPPED_MS - (performance.now() - stoppedMs));
  const wokenMs = performance.now();
  holder.kill("SIGCONT");
  const falls = await watchFence(scene, 5000);
  await until("the woken one stands by", async () => (await wordOf(holder)) === "standby");
  const names = await endLoad(scene, load);
  const ofOld = receiver.requests.filter(({ fence }) => fence === old);
  const since = (ms: number): number => ofOld.filter(({ beganMs }) => beganMs >= ms).length;
  const inFlight = since(stoppedMs - SURELY_OPEN_MS) - since(wokenMs);
  return [
    atMost(
      "stop to the other's first message (s)",
      (first.beganMs - stoppedMs) / 1000,
      UNCLEAN_SECONDS,
    ),
    atMost("in flight when it was stopped", inFlight, CONCURRENCY),
    atMost("of these sent after it woke", since(wokenMs), CONCURRENCY),
    atMost("started by the woken one", since(wokenMs + IN_FLIGHT_MS), 0),
    atMost("commits of the woken one", commitsSince(holder, wokenMs), 0),
    atMost("fences in the state that fell", falls, 0),
    atLeast("losses that it noticed", holder.events("lock.lost").length, 1),
    ...deliveryFigures(receiver.requests, names, { repeats: UNCOMMITTED, late: since(wokenMs) }),
  ];
};

/** A line to Redis of each node's own; where it leads is known when Redis runs. */
const openLines = async (names: readonly string[]): Promise<ReadonlyMap<string, Relay>> => {
  const lines = new Map<string, Relay>();
  for (const name of names) lines.set(name, await startRelay(0));
  return lines;
};

/** The holder's line to Redis falls silent: nothing is refused and nothing is answered. */
export const blackHole: Row = async (dovecot) => {
  const names = ["a", "b"];
  const lines = await openLines(names);
  await using stack = new AsyncDisposableStack();
  for (const line of lines.values()) stack.use(line);
  const scene = stack.use(
    await openStage(dovecot, {
      redisUrl: (redis, name) => {
        const line = lines.get(name);
        line?.retarget(redis.port);
        return `redis://127.0.0.1:${line?.port}`;
      },
    }),
  );
  const { requests } = scene.receiver;
  const { holder } = await startNodes(scene, names);
  const line = lines.get(names.find((name) => scene.node(name) === holder) ?? "");
  const load = stack.use(await startLoad(scene));
  const old = lastFence(scene);
  const silentMs = performance.now();
  line?.mute();
  const first = await firstAbove(scene, old);
  const lastOld = requests.findLast(({ fence }) => fence === old)?.beganMs ?? silentMs;
  const word = await wordOf(holder);
  line?.unmute();
  await until("the one cut off stands by", async () => (await wordOf(holder)) === "standby");
  const arrived = await endLoad(scene, load);
  return [
    atMost("silence to the holder's last message (s)", (lastOld - silentMs) / 1000, LEASE_SECONDS),
    atMost(
      "silence to the other's first message (s)",
      (first.beganMs - silentMs) / 1000,
      UNCLEAN_SECONDS,
    ),
    mustBe("word of the one cut off", word, "waiting_for_redis"),
    ...deliveryFigures(requests, arrived, { repeats: UNCOMMITTED }),
  ];
};
