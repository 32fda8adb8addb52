// The cluster's watch: beats this node's heart into Redis, looks at all locks and nodes once a second,
// judges how Redis is, and answers from the last look. No error ends it. Started and stopped by the
// daemon; what follows from a look is worked out in cluster-view.ts.
import type { Log } from "../../app-logging/logger.ts";
import type { Metrics } from "../../app-logging/metrics.ts";
import type { Clock } from "../../core/clock.ts";
import { errorCode } from "../../core/errors.ts";
import { type Random, fraction } from "../../core/random.ts";
import { type Redis, type RedisFailure, RedisError } from "../../redis/redis.ts";
import type { Cluster, Member, RedisHealth } from "./cluster.ts";
import {
  type ClusterView,
  EMPTY_VIEW,
  type SeenVersion,
  type Viewer,
  isOtherHostSeen,
  mayTakeIn,
  mustGiveBackIn,
  seenValue,
  viewAfter,
} from "./cluster-view.ts";
import { judgeServer } from "./judge-server.ts";
import { lookAtRedis, removeBeat, writeBeat } from "./look-at-redis.ts";
import { abandonedNodes, formatMember } from "./members.ts";

/** `onOtherHost` is called at most so often. */
const OTHER_HOST_EVERY_MS = 60_000;

/** What the watch works with. */
export interface ClusterWatchDeps extends Viewer {
  clock: Clock;
  random: Random;
  log: Log;
  metrics: Pick<Metrics, "clusterNodes" | "redisState">;
  /** The connection of the locks. */
  redis: Redis;
  /** The lock key of the mailbox `default`, see `lockKeyFor`. */
  lockKey: string;
  /** Ids of the mailboxes this node is configured for, now. */
  mailboxes(): readonly string[];
  /** Those of them that it can take. */
  offered(): readonly string[];
  /** Another host uses this Redis. Called at most once a minute for as long as it does. */
  onOtherHost(): void;
}

/** The cluster, being watched. */
export interface ClusterWatch extends Cluster {
  /** Null: not looked at yet. */
  stateVersion(mailbox: string): SeenVersion | null;
  /** Ends the watch and takes this node's row away. Never rejects. */
  stop(): Promise<void>;
}

/** What the watch remembers. */
interface Memory {
  deps: ClusterWatchDeps;
  health: RedisHealth;
  /** What the server was found to be unfit for; null: fit, or not known. */
  problem: string | null;
  view: ClusterView;
  beats: number;
  /** The last heartbeat that was answered; null: none was. */
  beaten: { sentMs: number; mailboxes: string } | null;
  toldOfOtherHostMs: number | null;
}

/** Why a look or a heartbeat failed. */
interface Trouble {
  failure: RedisFailure;
  code: string;
}

const troubleOf = async (work: Promise<void>): Promise<Trouble | null> => {
  try {
    await work;
    return null;
  } catch (error) {
    const failure = error instanceof RedisError ? error.failure : "other";
    return { failure, code: errorCode(error) };
  }
};

const isBeatDue = ({ deps, beaten }: Memory): boolean => {
  if (beaten === null || beaten.mailboxes !== deps.offered().join()) return true;
  return deps.clock.monoMs() - beaten.sentMs >= deps.constants.heartbeatEveryMs;
};

const beat = async (memory: Memory): Promise<void> => {
  const { deps, view } = memory;
  const mailboxes = deps.offered();
  const sentMs = deps.clock.monoMs();
  memory.beats += 1;
  const row = formatMember({ host: deps.host, mailboxes }, memory.beats);
  const abandoned = abandonedNodes(view.roster, view.watchedMs);
  await writeBeat(deps.redis, deps.node, { row, abandoned });
  memory.beaten = { sentMs, mailboxes: mailboxes.join() };
};

const tellOfOtherHost = (memory: Memory): void => {
  const nowMs = memory.deps.clock.monoMs();
  const toldMs = memory.toldOfOtherHostMs;
  if (toldMs !== null && nowMs - toldMs < OTHER_HOST_EVERY_MS) return;
  memory.toldOfOtherHostMs = nowMs;
  memory.deps.onOtherHost();
};

/** Tells of nodes that came and went; this one is no news. */
const tellOfNodes = (
  { node, log, metrics }: ClusterWatchDeps,
  before: readonly Member[],
  now: readonly Member[],
): void => {
  const missingIn = (others: readonly Member[]) => {
    const known = new Set([node, ...others.map((member) => member.node)]);
    return (member: Member): boolean => !known.has(member.node);
  };
  for (const { node: other, host } of now.filter(missingIn(before))) {
    log("cluster.joined", { node: other, host });
  }
  for (const { node: other, host } of before.filter(missingIn(now))) {
    log("cluster.left", { node: other, host });
  }
  metrics.clusterNodes(now.length);
};

const look = async (memory: Memory, asksServer: boolean): Promise<void> => {
  const { deps, view: before } = memory;
  const { clock, constants, lockKey, redis } = deps;
  const seen = await lookAtRedis(redis, { lockKey, mailboxes: deps.mailboxes(), asksServer });
  const view = viewAfter(before, seen, { nowMs: clock.monoMs(), constants });
  memory.view = view;
  if (seen.server !== null) memory.problem = judgeServer(seen.server);
  tellOfNodes(deps, before.roster.living, view.roster.living);
  if (isOtherHostSeen(before, view, deps)) tellOfOtherHost(memory);
};

const noteTrouble = (memory: Memory, { failure, code }: Trouble): void => {
  const { health, deps } = memory;
  const isNew = health.kind !== "failing" || health.failure !== failure;
  if (isNew) deps.log("redis.lost", { code });
  // A new kind of failure is a new one: what was refused for an hour was not away for it.
  const sinceMs = isNew ? deps.clock.monoMs() : health.sinceMs;
  memory.health = { kind: "failing", failure, sinceMs };
};

const noteAnswers = (memory: Memory): void => {
  const { health, problem, deps } = memory;
  const nowMs = deps.clock.monoMs();
  if (health.kind === "failing")
    deps.log("redis.back", { away_ms: Math.round(nowMs - health.sinceMs) });
  if (problem === null) {
    if (health.kind !== "reachable") memory.health = { kind: "reachable", sinceMs: nowMs };
    return;
  }
  if (health.kind !== "unsafe") deps.log("redis.unsafe", { problem });
  memory.health = { kind: "unsafe", problem };
};

/** One turn: a look, and the heartbeat when it is due, which it stays until one is answered. */
const turn = async (memory: Memory): Promise<void> => {
  const { deps, health } = memory;
  const isDue = isBeatDue(memory);
  // A server that comes back may be another one.
  const asksServer = isDue || health.kind === "failing";
  const [beatTrouble, lookTrouble] = await Promise.all([
    isDue ? troubleOf(beat(memory)) : null,
    troubleOf(look(memory, asksServer)),
  ]);
  const trouble = lookTrouble ?? beatTrouble;
  if (trouble !== null) noteTrouble(memory, trouble);
  else noteAnswers(memory);
  deps.metrics.redisState(memory.health.kind);
};

const mayTake = ({ deps, health, view }: Memory, mailbox: string): boolean => {
  if (health.kind === "failing") return true;
  if (health.kind !== "reachable") return false;
  const [nowMs, reachableSinceMs] = [deps.clock.monoMs(), health.sinceMs];
  return mayTakeIn(view, mailbox, { me: deps, nowMs, reachableSinceMs });
};

/** Wakes all who wait; each wait also ends with its own signal. */
const createBell = () => {
  const waiting = new Set<() => void>();
  return {
    wait: (signal: AbortSignal): Promise<void> =>
      new Promise((resolve) => {
        if (signal.aborted) return resolve();
        const wake = (): void => {
          waiting.delete(wake);
          signal.removeEventListener("abort", wake);
          resolve();
        };
        waiting.add(wake);
        signal.addEventListener("abort", wake, { once: true });
      }),
    ring: (): void => {
      for (const wake of waiting) wake();
    },
  };
};

/** Starts to watch; the first look is under way when it returns. */
export const startClusterWatch = (deps: ClusterWatchDeps): ClusterWatch => {
  const { clock, constants, node, random, redis } = deps;
  const memory: Memory = {
    deps,
    health: { kind: "unknown" },
    problem: null,
    view: EMPTY_VIEW,
    beats: 0,
    beaten: null,
    toldOfOtherHostMs: null,
  };
  const stopping = new AbortController();
  const bell = createBell();
  const run = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      await turn(memory);
      bell.ring();
      const jitterMs = (fraction(random) * constants.lookEveryMs) / 4;
      await clock.sleep(constants.lookEveryMs + jitterMs, stopping.signal);
    }
    bell.ring();
  };
  const running = run();
  return {
    redis: () => memory.health,
    seen: (mailbox) => seenValue(memory.view, mailbox),
    stateVersion: (mailbox) => memory.view.versions.get(mailbox) ?? null,
    members: () => memory.view.roster.living,
    mayTake: (mailbox) => mayTake(memory, mailbox),
    mustGiveBack: (mailbox) =>
      memory.health.kind === "reachable" && mustGiveBackIn(memory.view, mailbox, deps),
    nextLook: (signal) => bell.wait(signal),
    stop: async () => {
      stopping.abort();
      await running;
      await troubleOf(removeBeat(redis, node));
    },
  };
};
