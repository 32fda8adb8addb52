// The one word that tells how a mailbox is, for `/readyz`, `status` and the log. Changed by the
// mailbox's loop, read by everybody.
import type { Log } from "../../app-logging/logger.ts";
import type { Clock } from "../../core/clock.ts";
import type { MailboxWord } from "../../http/readiness.ts";

/** The word and since when it holds (wall time). */
export interface StateWord {
  word(): MailboxWord;
  sinceMs(): number;
  /** Takes the next word; logs a change, and once each that polling pauses and goes on. */
  report(next: MailboxWord): void;
}

const isPaused = (word: MailboxWord): boolean => word === "inactive" || word === "disabled";

/** Begins with `starting`. */
export const createStateWord = (
  { clock, log }: { clock: Clock; log: Log },
  mailbox: string,
): StateWord => {
  let word: MailboxWord = "starting";
  let sinceMs = clock.wallMs();
  return {
    word: () => word,
    sinceMs: () => sinceMs,
    report: (next) => {
      if (next === word) return;
      if (isPaused(next) && !isPaused(word)) log("mailbox.inactive", { mailbox, state: next });
      if (next === "spool_full") log("spool.full", { mailbox });
      if (isPaused(word) && next === "polling") log("mailbox.active", { mailbox });
      log("mailbox.state", { mailbox, from: word, to: next });
      word = next;
      sinceMs = clock.wallMs();
    },
  };
};
