// What one node has seen of the cluster, and what follows from it for a mailbox. Only time in which it
// could look counts: neither an outage of Redis nor a pause of this process makes a holder or a node look
// dead. Pure; the cluster's watch keeps a view and asks it.
import { parseLockValue } from "../../lock/lock-value.ts";
import type { StateVersion } from "../../store/shared/shared-store.ts";
import type { ClusterConstants, SeenValue } from "./cluster.ts";
import type { Look } from "./look-at-redis.ts";
import { EMPTY_ROSTER, type Roster, observeMembers } from "./members.ts";
import { place } from "./placement.ts";

/** Between two looks at most so many of their intervals count as watched. */
const WATCHED_INTERVALS = 3;

/** Who asks, and by which constants. */
export interface Viewer {
  /** The uuid of this process. */
  node: string;
  /** A hash of this host's identity. */
  host: string;
  constants: ClusterConstants;
  /** A lock's value that stood still for so long belongs to a dead holder. */
  leaseMs: number;
}

/** How new the state of a mailbox was at the last look. */
export interface SeenVersion {
  /** Null: there is no state. */
  version: StateVersion | null;
}

/** What was seen. Times that are named watched count the time in which we could look. */
export interface ClusterView {
  /** When the last look was answered (monotonic); null: none was. */
  lookedMs: number | null;
  watchedMs: number;
  values: ReadonlyMap<string, { value: string | null; sinceWatchedMs: number }>;
  versions: ReadonlyMap<string, SeenVersion>;
  roster: Roster;
  /** The node for each mailbox, as the living nodes have it. */
  placed: ReadonlyMap<string, string>;
}

/** Nothing was seen yet. */
export const EMPTY_VIEW: ClusterView = {
  lookedMs: null,
  watchedMs: 0,
  values: new Map(),
  versions: new Map(),
  roster: EMPTY_ROSTER,
  placed: new Map(),
};

const valuesAfter = (before: ClusterView, { locks }: Look, watchedMs: number) =>
  new Map(
    [...locks].map(([mailbox, value]) => {
      const known = before.values.get(mailbox);
      const isSame = known !== undefined && known.value === value;
      return [mailbox, isSame ? known : { value, sinceWatchedMs: watchedMs }];
    }),
  );

/** A version that a look could not tell stays the one before. */
const versionsAfter = (before: ClusterView, { locks, versions }: Look) => {
  const after = new Map<string, SeenVersion>();
  for (const mailbox of locks.keys()) {
    const version = versions.get(mailbox);
    const seen = version === undefined ? before.versions.get(mailbox) : { version };
    if (seen !== undefined) after.set(mailbox, seen);
  }
  return after;
};

/** The view after a look that was answered at `nowMs`: what it shows is no older than that. */
export const viewAfter = (
  before: ClusterView,
  look: Look,
  { nowMs, constants }: { nowMs: number; constants: ClusterConstants },
): ClusterView => {
  const gapMs = before.lookedMs === null ? 0 : nowMs - before.lookedMs;
  const watchedMs = before.watchedMs + Math.min(gapMs, WATCHED_INTERVALS * constants.lookEveryMs);
  const { deadAfterMs } = constants;
  const roster = observeMembers(before.roster, look.members, { nowMs: watchedMs, deadAfterMs });
  const { living } = roster;
  const isSame = living === before.roster.living;
  return {
    lookedMs: nowMs,
    watchedMs,
    values: valuesAfter(before, look, watchedMs),
    versions: versionsAfter(before, look),
    roster,
    placed: isSame
      ? before.placed
      : place([...new Set(living.flatMap(({ mailboxes }) => mailboxes))], living),
  };
};

/**
 * Did the last look show another host at work? A node of it lives, or a lock moved that no node of our
 * host holds; a value that merely stands there proves nothing.
 */
export const isOtherHostSeen = (
  before: ClusterView,
  { values, roster }: ClusterView,
  me: Viewer,
): boolean => {
  if (roster.living.some(({ host }) => host !== me.host)) return true;
  return [...values].some(([mailbox, { value }]) => {
    const known = before.values.get(mailbox);
    const owner = parseLockValue(value ?? "")?.owner;
    if (owner === undefined || known === undefined || known.value === value) return false;
    return owner !== me.node && roster.hosts.get(owner) !== me.host;
  });
};

/** The lock of a mailbox; null: not looked at yet. */
export const seenValue = (
  { values, watchedMs, lookedMs }: ClusterView,
  mailbox: string,
): SeenValue | null => {
  const seen = values.get(mailbox);
  if (seen === undefined || lookedMs === null) return null;
  return { value: seen.value, sinceMs: lookedMs - (watchedMs - seen.sinceWatchedMs) };
};

/** An instant at which Redis answers, and since when it does. */
export interface Answering {
  nowMs: number;
  reachableSinceMs: number;
}

/** May `me` take the mailbox, as far as placement goes? See `Cluster.mayTake`. */
export const mayTakeIn = (
  view: ClusterView,
  mailbox: string,
  { me, nowMs, reachableSinceMs }: Answering & { me: Viewer },
): boolean => {
  const { freeForOthersMs, settleMs } = me.constants;
  const seen = seenValue(view, mailbox);
  if (seen === null) return false;
  const holder = seen.value === null ? null : parseLockValue(seen.value);
  if (holder?.owner === me.node) return true;
  if (nowMs - reachableSinceMs < settleMs) return false;
  if (view.placed.get(mailbox) === me.node) return true;
  // What is not of our making is never taken over: its preferred node alone asks for it.
  if (seen.value !== null && holder === null) return false;
  const deadAfterMs = holder === null ? 0 : me.leaseMs;
  return nowMs - seen.sinceMs >= deadAfterMs + freeForOthersMs;
};

/**
 * Does another living node prefer the mailbox, which `me` holds? Not said before the nodes stood as they
 * do for two heartbeats, so that one that comes and goes does not move mailboxes each time.
 */
export const mustGiveBackIn = (view: ClusterView, mailbox: string, me: Viewer): boolean => {
  const calmMs = 2 * me.constants.heartbeatEveryMs;
  if (view.watchedMs - view.roster.changedMs < calmMs) return false;
  const preferred = view.placed.get(mailbox);
  return preferred !== undefined && preferred !== me.node;
};
