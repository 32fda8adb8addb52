// Deliveries of a mailbox that no configuration names any more: they are parked, not forgotten, by
// whichever process gets that mailbox's lock. A process that shares the state and is down
// for a while keeps its own. Called by the daemon's ticker.
import { LOCAL_LEASE } from "../../lock/lease.ts";
import { type LockParts, createMailboxLock } from "./mailbox-lock.ts";

/** So long after a process named a mailbox last, nobody is expected to come back for it. */
const GONE_AFTER_MS = 24 * 3_600_000;

/**
 * Parks what waits for `mailbox` as `mailbox_gone`, under the mailbox's own lock. Does nothing while
 * another process polls it.
 */
export const parkRemoved = async (
  parts: LockParts,
  mailbox: string,
  stop: AbortSignal,
): Promise<void> => {
  const { clock, clustered, log, store } = parts;
  const lock = createMailboxLock(parts, mailbox, { isPlaced: false });
  let answer = await lock.acquire();
  // Its former holder may have died in the middle of a delivery.
  while (answer.kind === "delayed" && !stop.aborted) {
    await clock.sleep((clustered?.lease ?? LOCAL_LEASE).retryMs, stop);
    answer = await lock.acquire();
  }
  try {
    if (answer.kind !== "held") return;
    const count = await store.parkMailbox(mailbox, "mailbox_gone", clock.wallMs());
    if (count > 0) log("spool.mailbox_gone", { mailbox, count });
  } finally {
    await lock.release();
  }
};

/** As {@link parkRemoved}, of a mailbox that no process named for a day. */
export const parkOrphans = async (
  parts: LockParts,
  mailbox: string,
  stop: AbortSignal,
): Promise<void> => {
  const { clock, store } = parts;
  const namedMs = await store.lastNamedMs(mailbox);
  // A name that was given up before it was written down: its day begins now.
  if (namedMs === null) await store.nameMailboxes([mailbox], clock.wallMs());
  if (namedMs === null || clock.wallMs() - namedMs < GONE_AFTER_MS) return;
  await parkRemoved(parts, mailbox, stop);
};
