// What every row of the cluster's bench begins and ends with: nodes in earnest (`bin/signalpost`, durations
// as they ship), one of which holds the mailbox, mail that keeps arriving, and the wait until all of it is
// settled. Used by the rows.
import { setTimeout as sleep } from "node:timers/promises";
import { type Arrivals, startArrivals } from "../../test/support/arrivals.ts";
import { type ClusterOptions, type ClusterScene, openCluster } from "../../test/support/cluster.ts";
import { untilSettled } from "../../test/support/cluster-steps.ts";
import type { TestDaemon } from "../../test/support/daemon.ts";
import { until } from "../../test/support/deliveries.ts";
import type { Dovecot } from "../../test/support/dovecot.ts";
import type { ReceivedRequest } from "../../test/support/receiver.ts";

/** The key of the mailbox `default`. */
export const LOCK_KEY = "render_signal:poller_lock";

/** The hash of its state. */
export const STATE_KEY = `{${LOCK_KEY}}:state`;

/** Longer than anything that a row waits for. */
export const PATIENCE_MS = 100_000;

/** A holder that was so for this long stays: two nodes that find each other move a mailbox at once. */
const CALM_MS = 3000;

/** So many messages arrive every fifth of a second. */
const BATCH = 4;
const EVERY_MS = 200;

/** A cluster as it ships. */
export const openStage = (dovecot: Dovecot, options: ClusterOptions = {}): Promise<ClusterScene> =>
  openCluster(dovecot, { ...options, scale: 1 });

/** Who holds the mailbox and who does not, by name. */
export interface Cast {
  holder: TestDaemon;
  others: readonly TestDaemon[];
}

/** Starts all of these nodes at once; resolves when one holds the mailbox and keeps it. */
export const startNodes = async (scene: ClusterScene, names: readonly string[]): Promise<Cast> => {
  await Promise.all(names.map((name) => scene.node(name).start()));
  let holder: string | null = null;
  let sinceMs = 0;
  const isCalm = async (): Promise<boolean> => {
    const now = await scene.holder();
    if (now !== holder) sinceMs = performance.now();
    holder = now;
    return holder !== null && performance.now() - sinceMs >= CALM_MS;
  };
  await until("a node holds the mailbox", isCalm, PATIENCE_MS);
  const others = names.filter((name) => name !== holder);
  return { holder: scene.node(holder ?? ""), others: others.map((name) => scene.node(name)) };
};

/** Mail that arrives while the fault happens; resolves when it is being sent. */
export const startLoad = async (
  scene: ClusterScene,
  { batch = BATCH, from = 1 }: { batch?: number; from?: number } = {},
): Promise<Arrivals> => {
  const before = scene.receiver.requests.length;
  const options = { batch, everyMs: EVERY_MS, from };
  const arrivals = startArrivals((names) => scene.deliver(names), options);
  try {
    await scene.receiver.waitFor(before + 10 * batch, PATIENCE_MS);
    return arrivals;
  } catch (error) {
    await arrivals.end();
    throw error;
  }
};

/** Ends the arrivals; resolves with their subjects when every message is settled and nothing waits. */
export const endLoad = async (
  scene: ClusterScene,
  arrivals: Arrivals,
): Promise<readonly string[]> => {
  const names = await arrivals.end();
  await untilSettled(scene, names.length);
  // A second holder that should not be would send within this time.
  await sleep(2000);
  return names;
};

/** The fence of the last request so far. */
export const lastFence = ({ receiver }: ClusterScene): number =>
  receiver.requests.at(-1)?.fence ?? 0;

/** The first request under a newer fence than `fence`; waits for it. */
export const firstAbove = async (scene: ClusterScene, fence: number): Promise<ReceivedRequest> => {
  const find = () => scene.receiver.requests.find((request) => request.fence > fence);
  await until("a request under a newer fence", () => find() !== undefined, PATIENCE_MS);
  return find() as ReceivedRequest;
};

/** The wall-clock time of a log line on the clock of `performance.now`. */
export const monoOf = ({ time }: { time: string }): number =>
  Date.parse(time) - performance.timeOrigin;

/** The word that a node has for the mailbox in `/readyz`; `silent` when it does not answer. */
export const wordOf = async (node: TestDaemon, mailbox = "default"): Promise<string> => {
  const answer = await node.readyz().catch(() => null);
  return answer?.body.mailboxes[mailbox] ?? "silent";
};
