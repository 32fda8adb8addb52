// How this process is, for its HTTP routes and for the row by which it tells the store. Composed from
// what the mailboxes and destinations know; keeps nothing.
import type { LoadedSettings } from "../config/load.ts";
import type { Clock } from "../core/clock.ts";
import type { MailboxWord } from "../http/readiness.ts";
import {
  type LiveMailbox,
  type LiveNode,
  type NodeRows,
  type StatusReport,
  buildStatusReport,
  isHeld,
  liveNodeOf,
} from "../http/status-report.ts";
import { RedisError } from "../redis/redis.ts";
import type { Store } from "../store/store.ts";
import type { Destinations } from "../webhook/destinations.ts";
import type { Mailboxes } from "./mailbox/mailboxes.ts";

/** What can be asked of a running daemon. */
export interface NodeStatus {
  live(): LiveNode;
  words(): readonly { id: string; word: MailboxWord }[];
  report(): Promise<StatusReport>;
  /** The destination with the most rows in the spool; null when it is empty. */
  fullestDestination(): Promise<string | null>;
}

/** A mailbox of a process whose background tasks are off. */
const disabledMailbox = (id: string, sinceMs: number): LiveMailbox => ({
  id,
  state: "disabled",
  sinceMs,
  lastProofMs: null,
  uidvalidity: null,
  settledUpTo: null,
  lease: { state: "free", fence: null, holder: null, sinceMs: null },
});

/** This node, with the holders and fences of the mailboxes that others hold. */
const amongOthers = (own: LiveNode, others: NodeRows, nowMs: number): LiveNode => {
  const row = { node: own.node, live: JSON.stringify(own), wallMs: nowMs };
  const all = liveNodeOf([row, ...others], nowMs);
  const holders = new Map(all?.mailboxes.map((one) => [one.id, one]));
  return {
    ...own,
    mailboxes: own.mailboxes.map((one) => {
      const { holder = null, fence = null } = holders.get(one.id)?.lease ?? {};
      if (isHeld(one.lease) || holder === null) return one;
      return { ...one, lease: { ...one.lease, holder, fence } };
    }),
  };
};

/** The status of one process. */
export const createNodeStatus = (deps: {
  clock: Clock;
  node: string;
  /** A hash of the host's identity. */
  host: string;
  version: string;
  /** The settings in force. */
  loaded(): LoadedSettings;
  startedMs: number;
  store: Store;
  mailboxes: Mailboxes;
  destinations: Destinations;
}): NodeStatus => {
  const { node, version, store, mailboxes, destinations, startedMs } = deps;
  const origin = () => {
    const { source, version: configVersion, overridden } = deps.loaded();
    return { source, version: configVersion, overridden };
  };
  const configured = () => deps.loaded().settings.mailboxes;
  const mailboxesNow = (): LiveMailbox[] =>
    deps.loaded().settings.enableBackgroundTasks
      ? mailboxes.live().map((one) => {
          const holder = isHeld(one.lease) ? node : null;
          return { ...one, lease: { ...one.lease, holder } };
        })
      : configured().map(({ id }) => disabledMailbox(id, startedMs));
  const live = (): LiveNode => ({
    node,
    host: deps.host,
    startedMs,
    version,
    mailboxes: mailboxesNow(),
    destinations: destinations.view().map(({ id, breaker }) => ({ id, breaker })),
    config: origin(),
  });
  const liveAmongOthers = async (): Promise<LiveNode> => {
    const rows = await store.readNodes().catch((error: unknown) => {
      if (error instanceof RedisError) return [];
      throw error;
    });
    return amongOthers(
      live(),
      rows.filter((row) => row.node !== node),
      deps.clock.wallMs(),
    );
  };
  return {
    live,
    words: () => mailboxesNow().map(({ id, state }) => ({ id, word: state })),
    fullestDestination: async () => {
      const rows = new Map<string, number>();
      for (const { destination, waiting, parked } of (await store.spoolUsage()).parts) {
        rows.set(destination, (rows.get(destination) ?? 0) + waiting + parked);
      }
      return [...rows].toSorted((a, b) => b[1] - a[1])[0]?.[0] ?? null;
    },
    report: async () =>
      buildStatusReport({
        store,
        live: await liveAmongOthers(),
        mailboxes: configured(),
        version,
        config: origin(),
      }),
  };
};
