// The daemon's one regular heartbeat: wakes the loops for which something waits, tells the store how
// this process is, trims the store, and warns of what an operator should know. A failing tick is
// logged and the next one comes all the same.
import type { Log } from "../app-logging/logger.ts";
import type { Metrics } from "../app-logging/metrics.ts";
import type { Clock } from "../core/clock.ts";
import { errorCode } from "../core/errors.ts";
import type { Store } from "../store/store.ts";
import type { Mailboxes } from "./mailbox/mailboxes.ts";
import type { NodeStatus } from "./node-status.ts";

/** The live row of this process is written so often. */
const TICK_MS = 5000;

/** Once a minute the store is trimmed and told which mailboxes this process is configured for. */
const HOUSEKEEPING_EVERY_TICKS = 12;

/** Over so many parked deliveries, one warning. */
const PARKED_LIMIT = 1000;

/** What the ticker works with. */
export interface TickerDeps {
  clock: Clock;
  log: Log;
  metrics: Metrics;
  store: Store;
  mailboxes: Mailboxes;
  status: NodeStatus;
  /** Looks whether the configuration changed. */
  refreshHot(): Promise<unknown>;
  /** Parks, in its own time, what waits for a mailbox that no configuration has named for a day. */
  parkOrphans(mailbox: string): void;
  /** Must the loop of a mailbox look at its lock before its wait is over? */
  wantsTurn(mailbox: string): boolean;
  droppedLogLines(): number;
  stop: AbortSignal;
}

/** Logs when a count crosses its limit, once until it is under it again. */
const createAlarm = (limit: number, raise: (count: number) => void): ((count: number) => void) => {
  let isRaised = false;
  return (count) => {
    if (count > limit && !isRaised) raise(count);
    isRaised = count > limit;
  };
};

/** Another process wrote: a replay, a redelivery, or rows of a mailbox that is gone. */
const wakeLoops = async (deps: TickerDeps): Promise<void> => {
  const { store, mailboxes } = deps;
  mailboxes.wakeSpools();
  for (const id of await store.redeliveryMailboxes()) mailboxes.wakePoller(id);
};

/** The spool as metrics and alarms show it; orphaned rows are parked on the way. */
const lookAtSpool = async (
  deps: TickerDeps,
  warnParked: (count: number) => void,
): Promise<void> => {
  const { rows, bytes, parts } = await deps.store.spoolUsage();
  const parked = parts.reduce((sum, part) => sum + part.parked, 0);
  deps.metrics.spool({ waiting: rows - parked, parked, bytes });
  warnParked(parked);
  const waiting = new Set(parts.filter((part) => part.waiting > 0).map((part) => part.mailbox));
  for (const id of waiting) if (!deps.mailboxes.has(id)) deps.parkOrphans(id);
};

/** Tells of log lines that were dropped since the last call. */
const createDropTeller = ({ droppedLogLines, metrics, log }: TickerDeps): (() => void) => {
  let told = 0;
  return () => {
    const count = droppedLogLines() - told;
    if (count === 0) return;
    told += count;
    metrics.logLinesDropped(count);
    log("log.dropped", { count });
  };
};

/** Ticks until `stop` aborts. */
export const runTicker = async (deps: TickerDeps): Promise<void> => {
  const { clock, log, store, status, stop } = deps;
  const warnParked = createAlarm(PARKED_LIMIT, (count) => log("spool.parked_limit", { count }));
  const warnKeys = createAlarm(0, (count) => log("spool.key_missing", { count }));
  const tellDropped = createDropTeller(deps);

  const tick = async (count: number): Promise<void> => {
    tellDropped();
    // A loop that waits for mail would look at its lock only when the wait is over.
    for (const { id } of status.live().mailboxes) {
      if (deps.wantsTurn(id)) deps.mailboxes.wakePoller(id);
    }
    await deps.refreshHot();
    const live = status.live();
    const isUpkeep = count % HOUSEKEEPING_EVERY_TICKS === 0;
    // Before the look at the spool: after days without any process, no mailbox is gone for that.
    const named = live.mailboxes.map(({ id }) => id);
    if (isUpkeep) await store.nameMailboxes(named, clock.wallMs());
    await lookAtSpool(deps, warnParked);
    await store.writeNode(live.node, JSON.stringify(live), clock.wallMs());
    if (!isUpkeep) return;
    warnKeys(await store.undecryptable());
    await store.housekeep(clock.wallMs());
  };

  let isFailing = false;
  const guarded = async (work: () => Promise<void>): Promise<void> => {
    try {
      await work();
      isFailing = false;
    } catch (error) {
      if (!isFailing) log("store.housekeeping_failed", { code: errorCode(error) });
      isFailing = true;
    }
  };

  const unwatch = store.watch(() => void guarded(() => wakeLoops(deps)));
  for (let count = 0; !stop.aborted; count += 1) {
    await guarded(() => tick(count));
    await clock.sleep(TICK_MS, stop);
  }
  unwatch();
  // The row of a process that left says nothing any more.
  await store.writeNode(status.live().node, "{}", clock.wallMs()).catch(() => undefined);
};
