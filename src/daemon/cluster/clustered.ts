// What a mailbox needs of the cluster, in one place: the connection of the locks, the watch, this node's
// journal, and the steps by which it enters shared state. Made by join-cluster.ts; null on one host alone.
import type { LeaseConstants } from "../../lock/lease.ts";
import type { Redis } from "../../redis/redis.ts";
import type { Acquaintance, WatchedFolder } from "../../store/shared/meet-redis.ts";
import type { Journal } from "../../store/shared/journal.ts";
import type { ClusterWatch } from "./watch-cluster.ts";

/** The cluster as the mailboxes of this node use it. */
export interface Clustered {
  /** The connection of the locks: nothing that takes long is ever sent on it. */
  redis: Redis;
  watch: ClusterWatch;
  journal: Journal;
  /** A hash of the place of this Redis. */
  redisId: string;
  lock: { key: string; ttlMs: number; fallback: "auto" | "file" | "wait" };
  lease: LeaseConstants;
  /** Mailboxes whose state is kept here alone while Redis is away. */
  islands: Set<string>;
  /** Mailboxes that this node cannot poll now: it does not offer itself for them. */
  unfit: Set<string>;
  /**
   * Before the first read of shared state under a new lease: brings it up to what this node knows, the
   * deliveries of a time alone among it. Rejects as the stores do.
   */
  enter(mailbox: string): Promise<void>;
  /** Asked for a mailbox that has no cursor anywhere. */
  decide(watched: WatchedFolder): Promise<Acquaintance>;
  /** Did this node see another host at this Redis lately? */
  isOtherHostKnown(): Promise<boolean>;
}
