// The one object that `/api/v1/status` and `signalpost status` show, and the live row by which a daemon
// tells the store how it is. It carries ids, counts, times and words: no folder, user, host or address.
import type { LoadedSettings } from "../config/load.ts";
import { isoFromMs } from "../core/calendar.ts";
import type { LeaseView } from "../lock/lease-driver.ts";
import { RedisError } from "../redis/redis.ts";
import type { BreakerState } from "../resilience/breaker.ts";
import type { OutcomeCounts, Store } from "../store/store.ts";
import type { MailboxWord } from "./readiness.ts";

/** A daemon writes its row every 5 s; a row older than this belongs to no running daemon. */
const NODE_ROW_KEEP_MS = 15_000;

/** How a daemon sees one mailbox. Times are wall milliseconds. */
export interface LiveMailbox {
  id: string;
  state: MailboxWord;
  /** Since when `state` holds. */
  sinceMs: number;
  /** Last proof that we see the mailbox; null before the first. */
  lastProofMs: number | null;
  uidvalidity: string | null;
  settledUpTo: number | null;
  lease: {
    state: LeaseView["state"];
    fence: number | null;
    /** Node that holds it; null when nobody does or it is not known. */
    holder: string | null;
    sinceMs: number | null;
  };
}

/** Where the settings in force come from. */
export interface ConfigOrigin {
  source: LoadedSettings["source"];
  version: string;
  /** Keys that an environment variable overrides. */
  overridden: readonly string[];
}

/** What a daemon knows that the store does not; written to the store as JSON every 5 s. */
export interface LiveNode {
  node: string;
  version: string;
  /** A hash of its host's identity; none in a row that an earlier version wrote. */
  host?: string;
  /** When the process started; none in a row that an earlier version wrote. */
  startedMs?: number;
  mailboxes: readonly LiveMailbox[];
  /** State of each destination's breaker, as its process sees it. */
  destinations: readonly { id: string; breaker: BreakerState["kind"] }[];
  config: ConfigOrigin;
}

/** One mailbox of the report; null stands for what is not known. */
export interface MailboxReport {
  id: string;
  /** A word of `/readyz`; `not_running` when no daemon looks after it. */
  state: MailboxWord | "not_running";
  since: string | null;
  last_proof_at: string | null;
  uidvalidity: string | null;
  settled_up_to: number | null;
  lease: {
    /** `unknown` when no daemon tells. */
    state: LeaseView["state"] | "unknown";
    fence: number | null;
    holder: string | null;
    since: string | null;
  };
  counts: OutcomeCounts;
  spool: { waiting: number; parked: number };
}

/** The whole report; times are ISO 8601. */
export interface StatusReport {
  version: string;
  /** Null when no daemon runs. */
  node: string | null;
  mailboxes: readonly MailboxReport[];
  destinations: readonly {
    id: string;
    /** Null when no daemon tells. */
    breaker: BreakerState["kind"] | null;
    waiting: number;
    parked: number;
  }[];
  config: ConfigOrigin;
}

/** What a report is made from. */
export interface ReportSources {
  store: Pick<Store, "counts" | "readCursor" | "spoolUsage">;
  /** Null: no daemon runs. */
  live: LiveNode | null;
  /** The configured ones; the folder finds the cursor and is not shown. */
  mailboxes: readonly { id: string; folder: string }[];
  /** Version and configuration of the asking program, shown when no daemon runs. */
  version: string;
  config: ConfigOrigin;
}

const isoOrNull = (ms: number | null | undefined): string | null =>
  ms === null || ms === undefined ? null : isoFromMs(ms);

type SpoolParts = readonly {
  mailbox: string;
  destination: string;
  waiting: number;
  parked: number;
}[];

const sumOf = (parts: SpoolParts): { waiting: number; parked: number } => ({
  waiting: parts.reduce((sum, { waiting }) => sum + waiting, 0),
  parked: parts.reduce((sum, { parked }) => sum + parked, 0),
});

/** What a store that is away would tell is not known. */
const unlessAway = <T>(reading: Promise<T>): Promise<T | null> =>
  reading.catch((error: unknown) => {
    if (error instanceof RedisError) return null;
    throw error;
  });

const mailboxReport = async (
  { store, live }: ReportSources,
  { id, folder }: { id: string; folder: string },
  parts: SpoolParts,
): Promise<MailboxReport> => {
  const alive = live?.mailboxes.find((mailbox) => mailbox.id === id);
  const cursor = await unlessAway(store.readCursor(id, folder));
  return {
    id,
    state: alive?.state ?? "not_running",
    since: isoOrNull(alive?.sinceMs),
    last_proof_at: isoOrNull(alive?.lastProofMs),
    uidvalidity: alive?.uidvalidity ?? cursor?.uidvalidity ?? null,
    settled_up_to: alive?.settledUpTo ?? cursor?.settledUpTo ?? null,
    lease: {
      state: alive?.lease.state ?? "unknown",
      fence: alive?.lease.fence ?? null,
      holder: alive?.lease.holder ?? null,
      since: isoOrNull(alive?.lease.sinceMs),
    },
    counts: await store.counts(id),
    spool: sumOf(parts.filter(({ mailbox }) => mailbox === id)),
  };
};

/** The report of a running daemon (its own `live`) or of the store alone. Rejects as the store does. */
export const buildStatusReport = async (sources: ReportSources): Promise<StatusReport> => {
  const { store, live } = sources;
  const { parts } = await store.spoolUsage();
  const mailboxes: MailboxReport[] = [];
  for (const mailbox of sources.mailboxes) {
    mailboxes.push(await mailboxReport(sources, mailbox, parts));
  }
  const breakers = new Map(live?.destinations.map(({ id, breaker }) => [id, breaker]));
  const ids = new Set(["default", ...breakers.keys(), ...parts.map((part) => part.destination)]);
  const destinations = [...ids].map((id) => ({
    id,
    breaker: breakers.get(id) ?? null,
    ...sumOf(parts.filter(({ destination }) => destination === id)),
  }));
  return {
    version: live?.version ?? sources.version,
    node: live?.node ?? null,
    mailboxes,
    destinations,
    config: live?.config ?? sources.config,
  };
};

/** A row that another version wrote in another shape tells us nothing. */
const parseNode = (text: string): LiveNode | null => {
  try {
    const node = JSON.parse(text) as LiveNode;
    return Array.isArray(node.mailboxes) && Array.isArray(node.destinations) ? node : null;
  } catch {
    return null;
  }
};

/** Rows as the store gives them. */
export type NodeRows = readonly { node: string; live: string; wallMs: number }[];

/** What the running daemons of a store tell, the newest row first. */
export const liveNodesOf = (rows: NodeRows, nowMs: number): readonly LiveNode[] =>
  rows
    .filter(({ wallMs }) => Math.abs(nowMs - wallMs) <= NODE_ROW_KEEP_MS)
    .toSorted((a, b) => b.wallMs - a.wallMs)
    .map(({ live }) => parseNode(live))
    .filter((node) => node !== null);

/** Does the node that says this hold the mailbox, be it alone or still waiting for its former holder? */
export const isHeld = ({ state }: LiveMailbox["lease"]): boolean =>
  state === "held" || state === "alone" || state === "lock_delay";

/** Whose word on a mailbox counts: a holder's, and of two holders that of the newer fence. */
const speaks = (one: LiveMailbox["lease"], other: LiveMailbox["lease"]): boolean =>
  isHeld(one) && (!isHeld(other) || (one.fence ?? 0) > (other.fence ?? 0));

/**
 * What the running daemons of this store tell together; null when none runs. Several processes may
 * share a store: the newest row speaks for all, except for a mailbox that another one holds.
 */
export const liveNodeOf = (rows: NodeRows, nowMs: number): LiveNode | null => {
  const nodes = liveNodesOf(rows, nowMs);
  const [newest] = nodes;
  if (newest === undefined) return null;
  const byId = new Map<string, LiveMailbox>();
  for (const { node, mailboxes } of nodes) {
    for (const mailbox of mailboxes) {
      const { id, lease } = mailbox;
      const known = byId.get(id);
      if (known !== undefined && !speaks(lease, known.lease)) continue;
      byId.set(id, isHeld(lease) ? { ...mailbox, lease: { ...lease, holder: node } } : mailbox);
    }
  }
  const breakers = new Map<string, BreakerState["kind"]>();
  for (const { id, breaker } of nodes.flatMap(({ destinations }) => destinations)) {
    if (!breakers.has(id) || breaker !== "closed") breakers.set(id, breaker);
  }
  return {
    ...newest,
    mailboxes: [...byId.values()],
    destinations: [...breakers].map(([id, breaker]) => ({ id, breaker })),
  };
};
