// The row of many mailboxes: a hundred on three nodes, one of which is killed and another of which is
// started, while each mailbox goes on getting mail. Called by bench-cluster.ts.
import { setTimeout as sleep } from "node:timers/promises";
import { lockKeyFor } from "../../src/redis/keys.ts";
import type { ClusterScene } from "../../test/support/cluster.ts";
import { deliveriesOf, messagesFor, until } from "../../test/support/deliveries.ts";
import type { Dovecot } from "../../test/support/dovecot.ts";
import type { ReceivedRequest } from "../../test/support/receiver.ts";
import { type Figure, type Row, atMost, fenceFalls, told } from "./figures.ts";
import { LOCK_KEY, PATIENCE_MS, openStage } from "./stage.ts";

const BOXES = Array.from({ length: 100 }, (_, index) => `box-${index}`);
const KEYS = BOXES.map((box) => lockKeyFor(LOCK_KEY, box));
/** From the even share of each node. */
const MOST_OFF = 0.2;
const POLLED_AGAIN_SECONDS = 45;
/** Nothing moves any more that stood still for so long. */
const CALM_MS = 12_000;
const LOOK_EVERY_MS = 500;

const mailboxOf = ({ body }: ReceivedRequest): string =>
  (JSON.parse(body) as { data: { mailbox: string } }).data.mailbox;

/** The node that holds each mailbox by the values of the locks; empty: none does. */
const holdersOf = async ({ redis }: ClusterScene): Promise<readonly string[]> =>
  (await redis.cli("MGET", ...KEYS)).split("\n").map((value) => value.split(":")[0] ?? "");

/** One message for each mailbox, every time under another name; all names so far. */
const createPost = (dovecot: Dovecot, user: string) => {
  const names: string[] = [];
  let round = 0;
  return {
    names,
    deliver: async (): Promise<void> => {
      round += 1;
      for (const box of BOXES) {
        const name = `${box} ${round}`;
        await dovecot.deliver(`${user}-${box}`, messagesFor([name]));
        names.push(name);
      }
    },
  };
};

type Post = ReturnType<typeof createPost>;

/** Waits until all mail so far has come. */
const untilArrived = async ({ receiver }: ClusterScene, { names }: Post): Promise<void> => {
  const wanted = names.length;
  const ids = (): number => new Set(receiver.requests.map(({ id }) => id)).size;
  await until("all mail has arrived", () => ids() >= wanted, PATIENCE_MS);
};

/** How far the node with the most or the least is from an even share; Infinity: not all are held. */
const offOf = (holders: readonly string[], nodes: readonly string[]): number => {
  const shares = nodes.map((node) => holders.filter((holder) => holder === node).length);
  const even = BOXES.length / nodes.length;
  const held = shares.reduce((sum, share) => sum + share, 0);
  if (held < BOXES.length) return Infinity;
  return Math.max(...shares.map((share) => Math.abs(share - even) / even));
};

/** Waits until every mailbox is held by one of these nodes, evenly, and none has moved for a while. */
const untilEven = async (
  scene: ClusterScene,
  names: readonly string[],
): Promise<{ off: number; holders: readonly string[]; sinceMs: number }> => {
  const statuses = await Promise.all(names.map((name) => scene.node(name).status()));
  const nodes = statuses.map(({ node }) => node ?? "");
  let [last, sinceMs] = ["", performance.now()];
  let holders: readonly string[] = [];
  await until(
    "the mailboxes are spread evenly",
    async () => {
      await sleep(LOOK_EVERY_MS);
      holders = await holdersOf(scene);
      if (holders.join() !== last) [last, sinceMs] = [holders.join(), performance.now()];
      return offOf(holders, nodes) <= MOST_OFF && performance.now() - sinceMs >= CALM_MS;
    },
    PATIENCE_MS,
  );
  return { off: offOf(holders, nodes), holders, sinceMs };
};

/** Until each of these mailboxes has sent something since an instant: the seconds that the last one took. */
const untilSent = async (
  { receiver }: ClusterScene,
  boxes: readonly string[],
  fromMs: number,
): Promise<number> => {
  const since = () => receiver.requests.filter(({ beganMs }) => beganMs >= fromMs);
  await until(
    "every mailbox has sent something",
    async () => {
      await sleep(LOOK_EVERY_MS);
      const sent = new Set(since().map(mailboxOf));
      return boxes.every((box) => sent.has(box));
    },
    PATIENCE_MS,
  );
  const first = new Map<string, number>();
  for (const request of since()) {
    const box = mailboxOf(request);
    if (!first.has(box)) first.set(box, request.beganMs);
  }
  return (Math.max(...boxes.map((box) => first.get(box) ?? Infinity)) - fromMs) / 1000;
};

const percentOff = (what: string, off: number): Figure =>
  atMost(`${what}: most off an even share (%)`, off * 100, MOST_OFF * 100);

/** A hundred mailboxes on three nodes; one is killed, a fourth is started. */
export const spread: Row = async (dovecot) => {
  const { port, password } = dovecot;
  await using scene = await openStage(dovecot, {
    nodes: ["a", "b", "c", "d"],
    mailboxes: (user) =>
      BOXES.map((id) => ({ id, port, password, user: `${user}-${id}`, start_from: "beginning" })),
    top: { polling: { interval_seconds: 30 } },
  });
  const post = createPost(dovecot, scene.user);
  const startMs = performance.now();
  await Promise.all(["a", "b", "c"].map((name) => scene.node(name).start()));
  await post.deliver();
  await untilArrived(scene, post);
  const polledMs = performance.now();
  const three = await untilEven(scene, ["a", "b", "c"]);

  const { node: dead } = await scene.node("a").status();
  const orphans = BOXES.filter((_, index) => three.holders[index] === dead);
  const killedMs = performance.now();
  scene.node("a").kill("SIGKILL");
  await post.deliver();
  const polledAgain = await untilSent(scene, orphans, killedMs);

  const fourthMs = performance.now();
  await scene.node("d").start();
  const even = untilEven(scene, ["b", "c", "d"]);
  for (let rounds = 0; rounds < 5; rounds += 1) {
    await post.deliver();
    await sleep(5000);
  }
  const balanced = await even;
  await post.deliver();
  await untilArrived(scene, post);
  const { requests } = scene.receiver;
  const { missing, torn, repeats } = deliveriesOf(requests);
  const falls = [...Map.groupBy(requests, mailboxOf).values()].map(fenceFalls);
  return [
    told("start to a message of each of 100 (s)", ((polledMs - startMs) / 1000).toFixed(1)),
    percentOff("three nodes", three.off),
    told("mailboxes of the one killed", orphans.length),
    atMost("kill to a message of each of these (s)", polledAgain, POLLED_AGAIN_SECONDS),
    told("fourth node to a new balance (s)", ((balanced.sinceMs - fourthMs) / 1000).toFixed(1)),
    percentOff("with the fourth", balanced.off),
    told("messages", post.names.length),
    atMost("lost", missing(post.names).length, 0),
    atMost("under more than one id", torn.length, 0),
    atMost("sent again", repeats, 0),
    atMost("fences that fell", Math.max(...falls), 0),
  ];
};
