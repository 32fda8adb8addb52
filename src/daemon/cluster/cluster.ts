// The contract of the cluster as one node sees it: how Redis is, which nodes live, what stands in each
// lock, and which mailboxes this node may take or should give back. Made by watch-cluster.ts; asked by
// the locks and by the status.
import { type LeaseConstants, SHARED_LEASE } from "../../lock/lease.ts";
import type { RedisFailure } from "../../redis/redis.ts";

/** How Redis was at the last look. Times are monotonic milliseconds. */
export type RedisHealth =
  | { kind: "unknown" }
  | { kind: "reachable"; sinceMs: number }
  | { kind: "failing"; failure: RedisFailure; sinceMs: number }
  /** It would throw our state away, or is too old; `problem` says what to set. */
  | { kind: "unsafe"; problem: string };

/** The value of a lock key, and since when it stands unchanged on our own clock. */
export interface SeenValue {
  value: string | null;
  sinceMs: number;
}

/** A node as its heartbeat tells of it. */
export interface Member {
  /** The uuid of its process, as it stands in the values of its locks. */
  node: string;
  /** A hash of the host's identity. */
  host: string;
  /** The mailboxes it is configured for. */
  mailboxes: readonly string[];
}

/** The constants of the cluster, in milliseconds (DESIGN section 5). */
export interface ClusterConstants {
  /** Lock values and members are read so often. */
  lookEveryMs: number;
  heartbeatEveryMs: number;
  /** A member whose heartbeat stood still for so long, on our own clock, is dead. */
  deadAfterMs: number;
  /** A mailbox that nobody holds goes to its preferred node; to any other after so long. */
  freeForOthersMs: number;
  /** A node that starts looks around for so long before it takes anything. */
  settleMs: number;
}

/** The constants of DESIGN section 5. */
export const CLUSTER: ClusterConstants = {
  lookEveryMs: 1000,
  heartbeatEveryMs: 5000,
  deadAfterMs: 15_000,
  freeForOthersMs: 10_000,
  settleMs: 1000,
};

/**
 * The durations of lease and cluster, in milliseconds. They are no part of the configuration: nodes that
 * disagree about them could poll one mailbox at the same time. Tests run them at one tenth.
 */
export interface Timing {
  lease: LeaseConstants;
  cluster: ClusterConstants;
  /** How long one lock command may take. */
  lockTimeoutMs: number;
  /** How often each node copies shared state into its journal. */
  copyEveryMs: number;
}

/** The durations of DESIGN section 5. */
export const TIMING: Timing = {
  lease: SHARED_LEASE,
  cluster: CLUSTER,
  lockTimeoutMs: 1000,
  copyEveryMs: 30_000,
};

/** The cluster as this node sees it. Every question is answered from the last look, at once. */
export interface Cluster {
  redis(): RedisHealth;
  /** The lock of a mailbox; null before the first look at it. */
  seen(mailbox: string): SeenValue | null;
  /** Living nodes, this one among them once it is registered. */
  members(): readonly Member[];
  /**
   * As far as placement goes, may this node take the mailbox now? It prefers it, or nobody took it for
   * `freeForOthersMs` after it became free (or its holder's value stood still for a lease).
   */
  mayTake(mailbox: string): boolean;
  /** Does another living node prefer this mailbox, which we hold? */
  mustGiveBack(mailbox: string): boolean;
  /** Resolves after the next look, at the latest when `signal` aborts. */
  nextLook(signal: AbortSignal): Promise<void>;
}
