// Keeps this node's journal and shared state level: copies what is shared every half minute, so that any
// node can give it back, and publishes at once what Redis turns out to have lost. Runs beside the watch,
// for every mailbox this node is configured for, whoever holds it.
import type { Log } from "../../app-logging/logger.ts";
import type { Clock } from "../../core/clock.ts";
import { errorCode } from "../../core/errors.ts";
import { RedisError } from "../../redis/redis.ts";
import { copyState } from "../../store/shared/copy-state.ts";
import { NO_LOCAL_ROWS } from "../../store/shared/local-rows.ts";
import { type PublishDeps, publishMailbox } from "../../store/shared/publish.ts";
import { isNewer, type StateVersion } from "../../store/shared/shared-store.ts";
import type { ClusterWatch } from "./watch-cluster.ts";

/** What it works with. */
export interface KeepJournalDeps extends PublishDeps {
  clock: Clock;
  log: Log;
  watch: Pick<ClusterWatch, "nextLook" | "redis" | "stateVersion">;
  copyEveryMs: number;
  mailboxes(): readonly string[];
  isIsland(mailbox: string): boolean;
  /** The host's lock of a mailbox, and what gives it back; null: it is not to be had. */
  takeHostLock(mailbox: string): (() => void) | null;
  /** The first thing to do at a Redis: see meet-redis.ts. */
  meet(): Promise<void>;
  /** All mailboxes that could be looked at are level. */
  leveled(): Promise<void>;
  stop: AbortSignal;
}

/** Works through all mailboxes; what is wrong with the keys of one alone is told after the others. */
const forEach = async (
  mailboxes: Iterable<string>,
  work: (mailbox: string) => Promise<void>,
): Promise<void> => {
  let failure: RedisError | null = null;
  for (const mailbox of mailboxes) {
    try {
      await work(mailbox);
    } catch (error) {
      if (!(error instanceof RedisError) || error.failure !== "wrong_type") throw error;
      failure ??= error;
    }
  }
  if (failure !== null) throw failure;
};

/**
 * Which Redis answers, as far as one can tell: an outage may end with another server or an older state, and
 * the marker dies with the data.
 */
const presentRedis = async ({ watch, shared }: KeepJournalDeps): Promise<string> => {
  const health = watch.redis();
  const marker = await shared.readMarker();
  return JSON.stringify([health.kind === "reachable" ? health.sinceMs : null, marker]);
};

/** Is shared state newer than the journal? To read all of it for nothing is dear. */
const isBehind = async ({ watch, journal }: KeepJournalDeps, mailbox: string): Promise<boolean> => {
  const seen = watch.stateVersion(mailbox)?.version ?? null;
  const ours = await journal.version(mailbox);
  return seen !== null && (ours === null || isNewer(seen, ours));
};

const publish = async (
  { log }: KeepJournalDeps,
  from: PublishDeps,
  mailbox: string,
): Promise<void> => {
  const count = await publishMailbox(from, mailbox);
  if (count > 0) log("redis.deliveries_lost", { mailbox, count });
};

/** Brings the journal up to shared state, and there what was delivered alone. */
const copyAll = async (deps: KeepJournalDeps, mailboxes: readonly string[]): Promise<void> => {
  await forEach(mailboxes, async (mailbox) => {
    if (await isBehind(deps, mailbox)) await copyState(deps, mailbox);
  });
  // Deliveries of a time alone, of mailboxes that another node holds now.
  const rows = (await deps.local.mailboxesWithRows()).filter((one) => !deps.isIsland(one));
  await forEach(rows, async (mailbox) => {
    // Whoever polls it has the lock, and works with these rows or has published them.
    const release = deps.takeHostLock(mailbox);
    if (release !== null) await publish(deps, deps, mailbox).finally(release);
  });
};

/** Runs until `stop` aborts; an error is logged once and the next look comes all the same. */
export const keepJournal = async (deps: KeepJournalDeps): Promise<void> => {
  const { clock, log, journal, watch, stop } = deps;
  /** What the journal had at the look before: newer than Redis is only what was so for a whole look. */
  let before = new Map<string, StateVersion>();
  let copiedMs = -Infinity;
  let isFailing = false;
  let lastRedis = "";
  /**
   * Mailboxes that this node has not published to this Redis. Versions alone do not tell what is lost: another
   * node may have published less before us, and its writes count as well.
   */
  const unpublished = new Set<string>();

  let known: ReadonlySet<string> = new Set();
  /** Mailboxes of whose loss the log was told. */
  const told = new Set<string>();

  const isLost = (mailbox: string): boolean => {
    const ours = before.get(mailbox);
    const seen = watch.stateVersion(mailbox);
    if (ours === undefined || seen === null) return false;
    return seen.version === null || isNewer(ours, seen.version);
  };

  const level = async (): Promise<void> => {
    const isDue = clock.monoMs() - copiedMs >= deps.copyEveryMs;
    const mailboxes = deps.mailboxes().filter((mailbox) => !deps.isIsland(mailbox));
    const present = await presentRedis(deps);
    const fresh = mailboxes.filter((one) => present !== lastRedis || !known.has(one));
    for (const mailbox of fresh) unpublished.add(mailbox);
    known = new Set(mailboxes);
    lastRedis = present;
    const lost = new Set(mailboxes.filter(isLost));
    const wanting = mailboxes.filter((one) => unpublished.has(one) || lost.has(one));
    if (isDue || wanting.length > 0) await deps.meet();
    await forEach(wanting, async (mailbox) => {
      if (lost.has(mailbox) && !told.has(mailbox)) log("redis.state_lost", { mailbox });
      told.add(mailbox);
      await publish(deps, { ...deps, local: NO_LOCAL_ROWS }, mailbox);
      told.delete(mailbox);
      unpublished.delete(mailbox);
    });
    if (isDue) {
      await copyAll(deps, mailboxes);
      await deps.leveled();
      copiedMs = clock.monoMs();
    }
    before = new Map();
    for (const mailbox of mailboxes) {
      const version = await journal.version(mailbox);
      if (version !== null) before.set(mailbox, version);
    }
  };

  while (!stop.aborted) {
    await watch.nextLook(stop);
    if (stop.aborted || watch.redis().kind !== "reachable") continue;
    try {
      await level();
      isFailing = false;
    } catch (error) {
      if (!isFailing) log("redis.journal_failed", { code: errorCode(error) });
      isFailing = true;
    }
  }
};
