// A small world for the lease state machine: contenders with clocks of their own, a shared lock that
// follows DESIGN section 5, and a network that delays and loses. It runs a plan of faults and tells when
// two contenders could start effects at the same time, and who holds the lock at the end.
import type { Random } from "../../src/core/random.ts";
import {
  type LeaseCommand,
  type LeaseConstants,
  type LeaseEvent,
  type LeaseMoment,
  type LeaseState,
  mayStart,
  stepLease,
} from "../../src/lock/lease.ts";
import { createSeededRandom } from "./seeded-random.ts";

/**
 * What goes wrong. `pause`: the process stands still; `cut`: its requests are lost; `mute`: the answers
 * to them are lost; `leave`: it hands the lock back and stays away; `crash`: it is killed, and started
 * anew; `evict`: somebody deletes the lock.
 */
export interface Fault {
  kind: "pause" | "cut" | "mute" | "leave" | "crash" | "evict";
  node: number;
  atMs: number;
  forMs: number;
}

/** A run: clock rates of the contenders (1 is exact), and the faults. */
export interface WorldPlan {
  seed: number;
  rates: readonly number[];
  faults: readonly Fault[];
  /** Faults end here at the latest. */
  faultyMs: number;
  /** After it everything works for so long. */
  calmMs: number;
}

/** How a run went. */
export interface WorldReport {
  /** When more than one contender could start an effect. */
  overlapsMs: readonly number[];
  /** Contenders whose lease is good at the end. */
  holders: number;
  /** How often the lease changed hands. */
  grants: number;
}

const TICK_MS = 250;
const TIMEOUT_MS = 1000;
const TTL_MS = 300_000;

interface Node {
  index: number;
  rate: number;
  /** Changes at each start; what belongs to an earlier life is thrown away. */
  uuid: string;
  state: LeaseState;
  renewals: number;
  inbox: LeaseEvent[];
}

interface SharedLock {
  owner: { uuid: string; fence: number; renewals: number; expiresMs: number } | null;
  fence: number;
  tombstone: number | null;
}

interface World {
  plan: WorldPlan;
  constants: LeaseConstants;
  random: Random;
  nowMs: number;
  queue: { atMs: number; run: () => void }[];
  nodes: Node[];
  lock: SharedLock;
  overlapsMs: number[];
  grants: number;
}

const later = (world: World, ms: number, run: () => void): void =>
  void world.queue.push({ atMs: world.nowMs + ms, run });

const suffers = ({ plan, nowMs }: World, kind: Fault["kind"], node: Node): boolean =>
  plan.faults.some(
    (fault) =>
      fault.kind === kind &&
      fault.node % plan.rates.length === node.index &&
      fault.atMs <= nowMs &&
      nowMs < Math.min(fault.atMs + fault.forMs, plan.faultyMs),
  );

/** The node's own clock, which starts somewhere and runs a little fast or slow. */
const moment = ({ constants, nowMs }: World, { index, rate }: Node): LeaseMoment => ({
  ...constants,
  nowMs: 1_000_000 * index + nowMs * rate,
});

/** Mostly fast, at times slower than the timeout; calm days know no delay beyond 100 ms. */
const delayMs = ({ plan, nowMs, random }: World): number => {
  const isSlow = nowMs < plan.faultyMs && random.u32() % 10 === 0;
  return random.u32() % (isSlow ? 2500 : 100);
};

/** Who sent a request, as it was when it was sent. */
type Sender = Pick<Node, "uuid" | "renewals">;

/** The script of the lock: acquire, take over, adopt one's own, renew, release. */
const execute = (world: World, node: Sender, command: LeaseCommand): LeaseEvent => {
  const { lock, nowMs } = world;
  if (lock.owner !== null && lock.owner.expiresMs <= nowMs) lock.owner = null;
  const { owner } = lock;
  const expiresMs = nowMs + TTL_MS;
  const sentMs = 0;
  if (command.kind === "renew") {
    const { renewals } = node;
    const isMine =
      owner?.uuid === node.uuid && (owner.renewals === renewals || owner.renewals === renewals + 1);
    if (!isMine) return { kind: "renewal_refused", reason: "taken_over" };
    lock.owner = { ...owner, renewals: renewals + 1, expiresMs };
    return { kind: "renewed", sentMs };
  }
  if (command.kind === "release") {
    if (owner?.uuid !== node.uuid) return { kind: "released" };
    lock.owner = null;
    if (command.clean) lock.tombstone = owner.fence;
    return { kind: "released" };
  }
  const pulse = owner === null ? null : `${owner.uuid}:${owner.fence}:${owner.renewals}`;
  if (owner?.uuid === node.uuid) {
    lock.owner = { ...owner, renewals: owner.renewals + 1, expiresMs };
    return { kind: "granted", fence: owner.fence, clean: false, sentMs };
  }
  if (owner !== null && (command.kind !== "acquire" || command.takeOver !== pulse)) {
    return { kind: "refused", reason: "held_by_other", holder: owner.uuid, pulse };
  }
  const clean = owner === null && lock.tombstone === lock.fence;
  lock.fence += 1;
  lock.owner = { uuid: node.uuid, fence: lock.fence, renewals: 0, expiresMs };
  return { kind: "granted", fence: lock.fence, clean, sentMs };
};

const noteOverlap = (world: World): void => {
  const able = world.nodes.filter((node) => mayStart(node.state, moment(world, node)) !== "no");
  if (able.length > 1) world.overlapsMs.push(world.nowMs);
};

const apply = (world: World, node: Node, event: LeaseEvent): void => {
  if (suffers(world, "pause", node)) return void node.inbox.push(event);
  const before = node.state.kind;
  const [state, commands] = stepLease(node.state, event, moment(world, node));
  node.state = state;
  if (state.kind === "held" && before !== "held") world.grants += 1;
  for (const command of commands) {
    if (command.kind === "abort_work") {
      const { uuid } = node;
      later(world, world.random.u32() % 1000, () => {
        if (node.uuid === uuid) apply(world, node, { kind: "release" });
      });
    } else if (command.kind !== "warn") send(world, node, command);
  }
};

/** One request: lost, delayed, answered or timed out; the first of the two last counts. */
const send = (world: World, node: Node, command: LeaseCommand): void => {
  const { uuid, renewals } = node;
  const sentMs = moment(world, node).nowMs;
  let adopted = 0;
  let isAnswered = false;
  const answer = (event: LeaseEvent): void => {
    if (isAnswered || node.uuid !== uuid) return;
    isAnswered = true;
    if (event.kind === "renewed") node.renewals += 1;
    if (event.kind === "granted") node.renewals = adopted;
    apply(world, node, "sentMs" in event ? { ...event, sentMs } : event);
  };
  later(world, TIMEOUT_MS, () =>
    answer({ kind: command.kind === "renew" ? "renewal_failed" : "failed" }),
  );
  if (suffers(world, "cut", node)) return;
  later(world, delayMs(world), () => {
    // Carried out also when its sender has died meanwhile.
    const event = execute(world, { uuid, renewals }, command);
    adopted = world.lock.owner?.renewals ?? 0;
    if (!suffers(world, "mute", node)) later(world, delayMs(world), () => answer(event));
  });
};

/** What a contender's own loop does several times a second. */
const tick = (world: World, node: Node): void => {
  later(world, TICK_MS, () => tick(world, node));
  if (suffers(world, "crash", node)) {
    node.uuid = `${node.uuid.split(".")[0]}.${world.nowMs}`;
    Object.assign(node, { state: { kind: "free" }, inbox: [] });
    return;
  }
  if (suffers(world, "pause", node)) return;
  for (const event of node.inbox.splice(0)) apply(world, node, event);
  const isAway = suffers(world, "leave", node);
  if (isAway && node.state.kind !== "lost") return apply(world, node, { kind: "release" });
  const wants = node.state.kind === "free" || mayStart(node.state, moment(world, node)) !== "no";
  if (wants) apply(world, node, { kind: "wanted" });
  apply(world, node, { kind: "tick" });
};

/** Runs a plan to its end. The same plan and constants give the same report. */
export const runLeaseWorld = (plan: WorldPlan, constants: LeaseConstants): WorldReport => {
  const random = createSeededRandom(plan.seed);
  const nodes = plan.rates.map((rate, index): Node => ({
    ...{ index, rate, uuid: `node${index}`, renewals: 0, inbox: [] },
    state: { kind: "free" },
  }));
  const lock: SharedLock = { owner: null, fence: 0, tombstone: null };
  const world: World = {
    ...{ plan, constants, random, nodes, lock },
    ...{ nowMs: 0, queue: [], overlapsMs: [], grants: 0 },
  };
  for (const node of nodes) later(world, random.u32() % TICK_MS, () => tick(world, node));
  for (const fault of plan.faults) {
    if (fault.kind === "evict") later(world, fault.atMs, () => (lock.owner = null));
  }
  while (world.nowMs < plan.faultyMs + plan.calmMs) {
    let next = 0;
    world.queue.forEach(({ atMs }, at) => {
      if (atMs < (world.queue[next]?.atMs ?? Infinity)) next = at;
    });
    const [event] = world.queue.splice(next, 1);
    if (event === undefined) break;
    world.nowMs = event.atMs;
    event.run();
    noteOverlap(world);
  }
  const good = nodes.filter((node) => mayStart(node.state, moment(world, node)) !== "no");
  return { overlapsMs: world.overlapsMs, holders: good.length, grants: world.grants };
};
