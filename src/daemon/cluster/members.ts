// The nodes of the cluster, from their heartbeats in Redis: who lives, who left, and on which host each
// is. A node is judged by whether its beat moves while we watch, never by anybody's clock. Pure; the
// cluster's watch feeds it every look.
import type { Member } from "./cluster.ts";

/** A row that nobody beat for so long, while we watched, is nobody's. */
const FORGET_AFTER_MS = 600_000;

/** So many nodes' hosts are remembered; a node is a process, so each restart is another one. */
const MAX_HOSTS = 1000;

/** A node's row, and since when its beat stands still. */
interface Row {
  member: Member;
  beat: number;
  sinceMs: number;
}

/** What is known of the nodes. */
export interface Roster {
  rows: ReadonlyMap<string, Row>;
  /** Hosts of nodes that are or were registered. */
  hosts: ReadonlyMap<string, string>;
  /** The same array for as long as nobody comes, goes or changes. */
  living: readonly Member[];
  /** When `living` changed last. */
  changedMs: number;
}

/** Nobody is known yet. */
export const EMPTY_ROSTER: Roster = { rows: new Map(), hosts: new Map(), living: [], changedMs: 0 };

/** A node's row as it is stored; `beat` rises with each. */
export const formatMember = ({ host, mailboxes }: Omit<Member, "node">, beat: number): string =>
  JSON.stringify({ host, beat, mailboxes });

/** Null: a row that we cannot read tells us nothing. */
const parseMember = (node: string, text: string): Omit<Row, "sinceMs"> | null => {
  try {
    const { host, beat, mailboxes } = JSON.parse(text) as Record<string, unknown>;
    if (typeof host !== "string" || typeof beat !== "number" || !Array.isArray(mailboxes)) {
      return null;
    }
    const ids = mailboxes.filter((id) => typeof id === "string");
    return { member: { node, host, mailboxes: ids }, beat };
  } catch {
    return null;
  }
};

const isSame = (a: readonly Member[], b: readonly Member[]): boolean =>
  JSON.stringify(a) === JSON.stringify(b);

const withHosts = (
  hosts: ReadonlyMap<string, string>,
  rows: ReadonlyMap<string, Row>,
): ReadonlyMap<string, string> => {
  const all = [...hosts, ...[...rows].map(([node, { member }]) => [node, member.host] as const)];
  return new Map([...new Map(all)].slice(-MAX_HOSTS));
};

/**
 * The roster after a look at the rows (by node). `nowMs` counts only the time in which we watched. A node
 * seen for the first time counts as living: whether its beat moves is not known yet.
 */
export const observeMembers = (
  before: Roster,
  texts: ReadonlyMap<string, string>,
  { nowMs, deadAfterMs }: { nowMs: number; deadAfterMs: number },
): Roster => {
  const rows = new Map<string, Row>();
  for (const [node, text] of texts) {
    const parsed = parseMember(node, text);
    if (parsed === null) continue;
    const known = before.rows.get(node);
    const sinceMs = known?.beat === parsed.beat ? known.sinceMs : nowMs;
    rows.set(node, { ...parsed, sinceMs });
  }
  const living = [...rows.values()]
    .filter(({ sinceMs }) => nowMs - sinceMs < deadAfterMs)
    .map(({ member }) => member)
    .toSorted((a, b) => (a.node < b.node ? -1 : 1));
  const hosts = withHosts(before.hosts, rows);
  return isSame(before.living, living)
    ? { ...before, rows, hosts }
    : { rows, hosts, living, changedMs: nowMs };
};

/** Nodes whose rows anybody may delete. */
export const abandonedNodes = ({ rows }: Roster, nowMs: number): readonly string[] =>
  [...rows].filter(([, { sinceMs }]) => nowMs - sinceMs >= FORGET_AFTER_MS).map(([node]) => node);
