// Deliveries of a mailbox that no configuration names any more: they are parked, not forgotten, by
// whichever process of the host gets that mailbox's lock.
import type { Log } from "../../app-logging/logger.ts";
import type { Clock } from "../../core/clock.ts";
import type { TakeLocalLock } from "../../lock/local-lock.ts";
import { lockPathFor } from "../../lock/poller-lock.ts";
import type { Store } from "../../store/store.ts";

/** Parks what waits for `mailbox` as `mailbox_gone`; does nothing while another process polls it. */
export const parkOrphans = async (
  deps: {
    clock: Clock;
    log: Log;
    store: Store;
    takeLocalLock: TakeLocalLock;
    lockFile: string;
  },
  mailbox: string,
): Promise<void> => {
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
