// The mailboxes at work, by id: started, stopped and replaced as the configuration says, so that a
// change of one never touches another. Owned by the daemon.
import type { MailboxSettings } from "../../core/settings.ts";
import type { LiveMailbox } from "../../http/status-report.ts";
import { type MailboxRunner, type RunnerParts, startMailbox } from "./runner.ts";

/** The set of mailboxes at work. */
export interface Mailboxes {
  /** Starts what is new, stops what is gone, replaces what changed. */
  apply(wanted: readonly MailboxSettings[]): Promise<void>;
  live(): LiveMailbox[];
  has(id: string): boolean;
  /** Something may be due in the spool of every mailbox. */
  wakeSpools(): void;
  wakePoller(id: string): void;
  stop(): Promise<void>;
}

/** No mailbox yet; `metrics.forgetMailbox` is told of those that go. */
export const createMailboxes = (shared: Omit<RunnerParts, "wakeSpools">): Mailboxes => {
  const runners = new Map<string, MailboxRunner>();
  const wakeSpools = (): void => {
    for (const runner of runners.values()) runner.wakeSpool();
  };
  const parts: RunnerParts = { ...shared, wakeSpools };

  const halt = async (gone: readonly MailboxRunner[]): Promise<void> => {
    await Promise.all(gone.map((runner) => runner.stop()));
    for (const { mailbox } of gone) {
      runners.delete(mailbox.id);
      await parts.metrics.forgetMailbox(mailbox.id);
    }
  };

  return {
    apply: async (wanted) => {
      const byId = new Map(wanted.map((mailbox) => [mailbox.id, JSON.stringify(mailbox)]));
      const isSame = ({ mailbox }: MailboxRunner): boolean =>
        byId.get(mailbox.id) === JSON.stringify(mailbox);
      await halt([...runners.values()].filter((runner) => !isSame(runner)));
      for (const mailbox of wanted) {
        if (!runners.has(mailbox.id)) runners.set(mailbox.id, startMailbox(parts, mailbox));
      }
    },
    live: () => [...runners.values()].map((runner) => runner.live()),
    has: (id) => runners.has(id),
    wakeSpools,
    wakePoller: (id) => runners.get(id)?.wakePoller(),
    stop: () => halt([...runners.values()]),
  };
};
