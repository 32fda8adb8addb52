// Cycles of a mailbox, counted in the daemon's log: how many ended before a message was settled.
import type { LogLine } from "../support/daemon-process.ts";
import type { TestDaemon } from "../support/daemon.ts";

/** The end of a cycle that took messages, or failed. */
const endsCycle = ({ event, count }: LogLine): boolean =>
  ["cycle.finished", "mailbox.failed", "cycle.failed"].includes(event) ||
  (event === "message.suspect" && count !== undefined);

/** What the log tells of `mailbox` from its line `from` on. */
export const cyclesIn = (daemon: TestDaemon, mailbox: string, from: number) => {
  const lines = (): LogLine[] =>
    daemon.lines.slice(from).filter((line) => line["mailbox"] === mailbox);
  const settledAt = (uid: number): number =>
    lines().findIndex((line) => line.event === "message.delivered" && line["uid"] === uid);
  return {
    isSettled: (uid: number): boolean => settledAt(uid) >= 0,
    /** Cycles that ended before the message was settled; 0 when it is not, or was before. */
    before: (uid: number): number =>
      lines()
        .slice(0, Math.max(settledAt(uid), 0))
        .filter(endsCycle).length,
  };
};
