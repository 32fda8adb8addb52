// A small world for the lease state machine: contenders with clocks of their own, a shared lock that
// follows DESIGN section 5, and a network that delays and loses. It runs a plan of faults and tells when
// two contenders could start effects at the same time, which fences were given out, and who holds the
// lock at the end.
import type { Random } from "../../src/core/random.ts";
import {
  type LeaseCommand,
  type LeaseConstants,
  type LeaseEvent,
  type LeaseMoment,
  type LeaseState,
  mayStart,
  type Pulse,
  stepLease,
} from "../../src/lock/lease.ts";
import { createSeededRandom } from "./seeded-random.ts";
import { createSharedLockModel, type Request, type SharedLockModel } from "./shared-lock-model.ts";

/**
 * What goes wrong. `pause`: the process stands still; `cut`: its requests are lost; `mute`: the answers
 * to them are lost; `leave`: it hands the lock back and stays away; `crash`: it is killed, and started
 * anew; `step`: its wall clock jumps; `evict`: somebody deletes the lock; `empty`: Redis restarts with
 * nothing, and with its clock behind by 3,600 times `forMs`.
 */
export interface Fault {
  kind: "pause" | "cut" | "mute" | "leave" | "crash" | "step" | "evict" | "empty";
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

/** What the contenders go by. `forgetsHighWater`: a weakness, nobody remembers the fences it saw. */
export interface WorldRules extends LeaseConstants {
  forgetsHighWater?: boolean;
}

/** How a run went. */
export interface WorldReport {
  /** When more than one contender could start an effect. */
  overlapsMs: readonly number[];
  /** Every fence, in the order in which they were given out. */
  fences: readonly number[];
  /** Contenders whose lease is good at the end. */
  holders: number;
  /** How often the lease changed hands. */
  grants: number;
}

const TICK_MS = 250;
const LOOK_MS = 1000;
const TIMEOUT_MS = 1000;
/** Between two looks at most so much counts as watched. */
const WATCHED_MS = 3 * LOOK_MS;

interface Node {
  index: number;
  rate: number;
  /** Changes at each start; what belongs to an earlier life is thrown away. */
  uuid: string;
  state: LeaseState;
  /** What it last wrote and knows of. */
  held: { fence: number; renewals: number } | null;
  /** Its last renewal has no answer. */
  isUnsure: boolean;
  /** Raised when renewals under way come to mean nothing. */
  era: number;
  /** The lock at its last look. */
  seen: { pulse: string | null; sinceMs: number; lookedMs: number } | null;
  /** The highest fence it saw; outlives a crash. */
  highWater: number;
  /** What happened while it stood still. */
  inbox: (() => void)[];
}

interface World {
  plan: WorldPlan;
  rules: WorldRules;
  random: Random;
  nowMs: number;
  queue: { atMs: number; run: () => void }[];
  nodes: Node[];
  lock: SharedLockModel;
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
const moment = ({ rules, nowMs }: World, { index, rate }: Node): LeaseMoment => ({
  ...rules,
  nowMs: 1_000_000 * index + nowMs * rate,
});

/** Mostly fast, at times slower than the timeout; calm days know no delay beyond 100 ms. */
const delayMs = ({ plan, nowMs, random }: World): number => {
  const isSlow = nowMs < plan.faultyMs && random.u32() % 10 === 0;
  return random.u32() % (isSlow ? 2500 : 100);
};

const learn = ({ rules }: World, node: Node, fence: number): void => {
  if (rules.forgetsHighWater !== true) node.highWater = Math.max(node.highWater, fence);
};

const learnFrom = (world: World, node: Node, pulse: string | null): void =>
  learn(world, node, Number(pulse?.split(":")[1] ?? 0));

const noteOverlap = (world: World): void => {
  const able = world.nodes.filter((node) => mayStart(node.state, moment(world, node)) !== "no");
  if (able.length > 1) world.overlapsMs.push(world.nowMs);
};

/** Runs it now, or when the node goes on; never in a later life. */
const onNode = (world: World, node: Node, run: () => void): void => {
  const { uuid } = node;
  const inThisLife = (): void => {
    if (node.uuid === uuid) run();
  };
  if (suffers(world, "pause", node)) node.inbox.push(inThisLife);
  else inThisLife();
};

const apply = (world: World, node: Node, event: LeaseEvent): void => {
  const before = node.state.kind;
  if (event.kind === "granted" || event.kind === "doubted") node.era += 1;
  const [state, commands] = stepLease(node.state, event, moment(world, node));
  node.state = state;
  if (state.kind === "held" && before !== "held") world.grants += 1;
  for (const command of commands) {
    if (command.kind === "abort_work") {
      const end = (): void => apply(world, node, { kind: "release" });
      const { uuid } = node;
      later(world, world.random.u32() % 1000, () => {
        if (node.uuid === uuid) onNode(world, node, end);
      });
    } else if (command.kind !== "warn") {
      send(world, node, { command, sentMs: moment(world, node).nowMs });
    }
  }
};

/** The request for a command, with what its sender knows now. */
const requestFor = (node: Node, command: LeaseCommand): Request => {
  const { uuid, held, highWater } = node;
  switch (command.kind) {
    case "renew":
      return { kind: "renew", uuid, held };
    case "release":
      return { kind: "release", uuid, held, clean: command.clean };
    default: {
      const takeOver = command.kind === "acquire" ? command.takeOver : null;
      return { kind: "acquire", uuid, highWater, takeOver };
    }
  }
};

/** What an answer tells the node besides the event that it is. */
const takeNote = (world: World, node: Node, event: LeaseEvent): void => {
  if (event.kind === "renewed" && node.held !== null) {
    node.held = { ...node.held, renewals: node.held.renewals + 1 };
    node.isUnsure = false;
  }
  if (event.kind === "granted") learn(world, node, event.fence);
  if (event.kind === "refused") learnFrom(world, node, event.pulse);
};

/**
 * One request: lost, delayed, answered or timed out; the first of the two last counts. A renewal after one
 * without an answer is two: the same again, and one that changes the value for sure.
 */
const send = (
  world: World,
  node: Node,
  { command, sentMs }: { command: LeaseCommand; sentMs: number },
): void => {
  const { uuid, era } = node;
  const process = world.lock.process();
  const request = requestFor(node, command);
  const isRepeated = command.kind === "renew" && node.isUnsure;
  node.isUnsure = command.kind === "renew";
  if (command.kind !== "renew") node.held = null;
  let isAnswered = false;
  const answer = (event: LeaseEvent, renewals: number): void => {
    if (isAnswered || node.uuid !== uuid) return;
    onNode(world, node, () => {
      if (isAnswered || (command.kind === "renew" && node.era !== era)) return;
      isAnswered = true;
      takeNote(world, node, event);
      if (event.kind === "granted") node.held = { fence: event.fence, renewals };
      if (event.kind === "renewed" && isRepeated) return send(world, node, { command, sentMs });
      apply(world, node, "sentMs" in event ? { ...event, sentMs } : event);
    });
  };
  const failure: LeaseEvent = { kind: command.kind === "renew" ? "renewal_failed" : "failed" };
  later(world, TIMEOUT_MS, () => answer(failure, 0));
  if (suffers(world, "cut", node)) return;
  later(world, delayMs(world), () => {
    // Lost with the server process that it was sent to; carried out when its sender has died meanwhile.
    if (world.lock.process() !== process) return;
    const event = world.lock.carryOut(request, world.nowMs);
    const renewals = world.lock.renewals();
    if (!suffers(world, "mute", node)) later(world, delayMs(world), () => answer(event, renewals));
  });
};

/** The node's own watch of the lock: once a second, from the beginning. */
const look = (world: World, node: Node): void => {
  later(world, LOOK_MS + (world.random.u32() % TICK_MS), () => look(world, node));
  if (["pause", "crash", "cut"].some((kind) => suffers(world, kind as Fault["kind"], node))) return;
  const { uuid } = node;
  later(world, delayMs(world), () => {
    const pulse = world.lock.pulse(world.nowMs);
    if (suffers(world, "mute", node)) return;
    later(world, delayMs(world), () => {
      if (node.uuid !== uuid) return;
      onNode(world, node, () => {
        const { nowMs } = moment(world, node);
        const before = node.seen;
        const unwatchedMs = Math.max(0, nowMs - (before?.lookedMs ?? nowMs) - WATCHED_MS);
        const isSame = before !== null && before.pulse === pulse;
        const sinceMs = isSame ? before.sinceMs + unwatchedMs : nowMs;
        node.seen = { pulse, sinceMs, lookedMs: nowMs };
        if (pulse?.startsWith(`${uuid}:`) !== true) learnFrom(world, node, pulse);
      });
    });
  });
};

/** Asks for the lock, unless its watch says that another holder lives. */
const ask = (world: World, node: Node): void => {
  const { seen, uuid } = node;
  const pulse: Pulse | null =
    seen === null || seen.pulse === null ? null : { pulse: seen.pulse, sinceMs: seen.sinceMs };
  const { nowMs, leaseMs } = moment(world, node);
  const isLiving = pulse !== null && nowMs - pulse.sinceMs < leaseMs;
  if (!isLiving || pulse.pulse.startsWith(`${uuid}:`)) {
    return apply(world, node, { kind: "wanted", seen: pulse });
  }
  const [state] = stepLease(node.state, { kind: "wanted" }, moment(world, node));
  node.state = state;
  const holder = pulse.pulse.split(":")[0] ?? null;
  apply(world, node, { kind: "refused", reason: "held_by_other", holder, pulse: pulse.pulse });
};

/** What a contender's own loop does several times a second. */
const tick = (world: World, node: Node): void => {
  later(world, TICK_MS, () => tick(world, node));
  if (suffers(world, "crash", node)) {
    node.uuid = `${node.uuid.split(".")[0]}.${world.nowMs}`;
    Object.assign(node, { state: { kind: "free" }, inbox: [], held: null, seen: null });
    return;
  }
  if (suffers(world, "pause", node)) return;
  for (const run of node.inbox.splice(0)) run();
  const isAway = suffers(world, "leave", node);
  if (isAway && node.state.kind !== "lost") return apply(world, node, { kind: "release" });
  const at = moment(world, node);
  const { state } = node;
  const isDue = state.kind === "standby" && at.nowMs >= state.retryAtMs;
  if (state.kind === "free" || isDue) return ask(world, node);
  if (mayStart(node.state, at) !== "no") apply(world, node, { kind: "wanted" });
  apply(world, node, { kind: "tick" });
};

/** What happens at one instant. */
const strike = (world: World, { kind, node: index, forMs }: Fault): void => {
  const node = world.nodes[index % world.nodes.length];
  if (kind === "step" && node !== undefined) {
    onNode(world, node, () => apply(world, node, { kind: "doubted" }));
  }
  if (kind === "evict") world.lock.evict();
  if (kind !== "empty") return;
  // A clock behind, an empty Redis and a contender that never saw the newest fence are one fault too many.
  const newest = world.lock.fences.at(-1) ?? 0;
  const isKnown = world.nodes.every(({ highWater }) => highWater >= newest);
  const isWeak = world.rules.forgetsHighWater === true;
  world.lock.restartEmpty(isKnown || isWeak ? forMs * 3600 : 0);
};

const runQueue = (world: World, untilMs: number): void => {
  while (world.nowMs < untilMs) {
    let next = 0;
    world.queue.forEach(({ atMs }, at) => {
      if (atMs < (world.queue[next]?.atMs ?? Infinity)) next = at;
    });
    const [event] = world.queue.splice(next, 1);
    if (event === undefined) return;
    world.nowMs = event.atMs;
    event.run();
    noteOverlap(world);
  }
};

/** Runs a plan to its end. The same plan and rules give the same report. */
export const runLeaseWorld = (plan: WorldPlan, rules: WorldRules): WorldReport => {
  const random = createSeededRandom(plan.seed);
  const nodes = plan.rates.map((rate, index): Node => ({
    ...{ index, rate, uuid: `node${index}`, held: null, isUnsure: false },
    ...{ era: 0, inbox: [], seen: null },
    ...{ state: { kind: "free" }, highWater: 0 },
  }));
  const world: World = {
    ...{ plan, rules, random, nodes, lock: createSharedLockModel() },
    ...{ nowMs: 0, queue: [], overlapsMs: [], grants: 0 },
  };
  for (const node of nodes) {
    later(world, random.u32() % TICK_MS, () => tick(world, node));
    later(world, random.u32() % TICK_MS, () => look(world, node));
  }
  for (const fault of plan.faults) later(world, fault.atMs, () => strike(world, fault));
  runQueue(world, plan.faultyMs + plan.calmMs);
  const good = nodes.filter((node) => mayStart(node.state, moment(world, node)) !== "no");
  const { overlapsMs, grants, lock } = world;
  return { overlapsMs, fences: lock.fences, holders: good.length, grants };
};
