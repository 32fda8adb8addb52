// The one object that `signalpost status --cluster` shows: the nodes that live and who of them holds which
// mailbox, from the rows that each daemon writes every 5 s. Ids, hashes, counts and times: no folder, user,
// host name or address. Pure.
import { isoFromMs } from "../core/calendar.ts";
import {
  type LiveMailbox,
  type LiveNode,
  type NodeRows,
  isHeld,
  liveNodesOf,
} from "./status-report.ts";

/** One living node; null stands for what its row does not tell. */
export interface NodeReport {
  node: string;
  /** A hash of its host's identity. */
  host: string | null;
  version: string;
  /** When it started, ISO 8601. */
  since: string | null;
  /** How many mailboxes it holds. */
  held: number;
}

/** Who looks after one mailbox. */
export interface HoldingReport {
  id: string;
  /** Null: nobody. */
  holder: string | null;
  /** State of the holder's lease; `free` without one. */
  state: LiveMailbox["lease"]["state"];
  /** Since when it stands so, ISO 8601. */
  since: string | null;
  fence: number | null;
  lock_age_seconds: number | null;
  /** Nodes that are configured for the mailbox and do not hold it. */
  standby: readonly string[];
}

/** The whole report. */
export interface ClusterReport {
  nodes: readonly NodeReport[];
  mailboxes: readonly HoldingReport[];
}

/** A node's word on one mailbox. */
interface Word {
  node: string;
  lease: LiveMailbox["lease"];
}

const isoOrNull = (ms: number | null | undefined): string | null =>
  ms === null || ms === undefined ? null : isoFromMs(ms);

const nodeReport = ({ node, host, version, startedMs, mailboxes }: LiveNode): NodeReport => ({
  node,
  host: host ?? null,
  version,
  since: isoOrNull(startedMs),
  held: mailboxes.filter(({ lease }) => isHeld(lease)).length,
});

/** One that was overtaken may not know it yet: of two holders, the newer fence is the right one. */
const holdingReport = (id: string, words: readonly Word[], nowMs: number): HoldingReport => {
  const holders = words.filter(({ lease }) => isHeld(lease));
  const [holder] = holders.toSorted((a, b) => (b.lease.fence ?? 0) - (a.lease.fence ?? 0));
  const sinceMs = holder?.lease.sinceMs ?? null;
  return {
    id,
    holder: holder?.node ?? null,
    state: holder?.lease.state ?? "free",
    since: isoOrNull(sinceMs),
    fence: holder?.lease.fence ?? null,
    lock_age_seconds: sinceMs === null ? null : Math.max(0, Math.floor((nowMs - sinceMs) / 1000)),
    standby: words.filter((word) => word !== holder).map(({ node }) => node),
  };
};

const byText = (a: string, b: string): number => (a < b ? -1 : 1);

/** The report at `nowMs` (wall), from the rows of the store; sorted by node and mailbox id. */
export const buildClusterReport = (rows: NodeRows, nowMs: number): ClusterReport => {
  const nodes = liveNodesOf(rows, nowMs).toSorted((a, b) => byText(a.node, b.node));
  const words = nodes.flatMap(({ node, mailboxes }) =>
    mailboxes.map(({ id, lease }) => ({ id, node, lease })),
  );
  const byMailbox = [...Map.groupBy(words, ({ id }) => id)];
  return {
    nodes: nodes.map(nodeReport),
    mailboxes: byMailbox
      .toSorted(([a], [b]) => byText(a, b))
      .map(([id, ofMailbox]) => holdingReport(id, ofMailbox, nowMs)),
  };
};
