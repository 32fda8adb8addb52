// Deliveries of a mailbox that no configuration names any more: they are parked, not forgotten, by
// whichever process of the host gets that mailbox's lock. A process that shares the state and is down
// for a while keeps its own. Called by the daemon's ticker.
import type { Log } from "../../app-logging/logger.ts";
import type { Clock } from "../../core/clock.ts";
import type { TakeLocalLock } from "../../lock/local-lock.ts";
import { lockPathFor } from "../../lock/poller-lock.ts";
import type { Store } from "../../store/store.ts";

/** So long after a process named a mailbox last, nobody is expected to come back for it. */
const GONE_AFTER_MS = 24 * 3_600_000;

/** What parking works with. */
export interface OrphanDeps {
  clock: Clock;
  log: Log;
  store: Store;
  takeLocalLock: TakeLocalLock;
  lockFile: string;
}

/** Parks what waits for `mailbox` as `mailbox_gone`. Does nothing while another process polls it. */
export const parkRemoved = async (deps: OrphanDeps, mailbox: string): Promise<void> => {
  const { clock, log, store } = deps;
  const answer = deps.takeLocalLock(lockPathFor(deps.lockFile, mailbox));
  if (answer.kind !== "held") return;
  try {
    const count = await store.parkMailbox(mailbox, "mailbox_gone", clock.wallMs());
    if (count > 0) log("spool.mailbox_gone", { mailbox, count });
  } finally {
    answer.lock.release();
  }
};

/** As {@link parkRemoved}, of a mailbox that no process named for a day. */
export const parkOrphans = async (deps: OrphanDeps, mailbox: string): Promise<void> => {
  const { clock, store } = deps;
  const namedMs = await store.lastNamedMs(mailbox);
  // A name that was given up before it was written down: its day begins now.
  if (namedMs === null) await store.nameMailboxes([mailbox], clock.wallMs());
  if (namedMs === null || clock.wallMs() - namedMs < GONE_AFTER_MS) return;
  await parkRemoved(deps, mailbox);
};
