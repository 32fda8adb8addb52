// The mailboxes at work, by id: started, stopped and replaced as the configuration says, so that a
// change of one never touches another. Owned by the daemon.
import type { MailboxSettings } from "../../core/settings.ts";
import type { LiveMailbox } from "../../http/status-report.ts";
import { type MailboxRunner, type RunnerParts, startMailbox } from "./runner.ts";

/** The set of mailboxes at work. */
export interface Mailboxes {
  /**
   * Starts what is new, stops what is gone, replaces what changed; one call after another. Does nothing
   * after `stop`.
   */
  apply(wanted: readonly MailboxSettings[]): Promise<void>;
  live(): LiveMailbox[];
  has(id: string): boolean;
  /** Something may be due in the spool of every mailbox. */
  wakeSpools(): void;
  wakePoller(id: string): void;
  /** Stops all at once, also those that an `apply` under way replaces; nothing starts any more. */
  stop(): Promise<void>;
}

/** No mailbox yet; `metrics.forgetMailbox` is told of those that go. */
export const createMailboxes = (shared: Omit<RunnerParts, "wakeSpools">): Mailboxes => {
  const runners = new Map<string, MailboxRunner>();
  const wakeSpools = (): void => {
    for (const runner of runners.values()) runner.wakeSpool();
  };
  const parts: RunnerParts = { ...shared, wakeSpools };
  let last: Promise<void> = Promise.resolve();
  let isStopped = false;

  const halt = async (gone: readonly MailboxRunner[]): Promise<void> => {
    await Promise.all(gone.map((runner) => runner.stop()));
    for (const runner of gone) {
      const { id } = runner.mailbox;
      // Another call may have waited for the same runner.
      if (runners.get(id) !== runner) continue;
      runners.delete(id);
      await parts.metrics.forgetMailbox(id);
    }
  };

  const change = async (wanted: readonly MailboxSettings[]): Promise<void> => {
    const byId = new Map(wanted.map((mailbox) => [mailbox.id, JSON.stringify(mailbox)]));
    const isSame = ({ mailbox }: MailboxRunner): boolean =>
      byId.get(mailbox.id) === JSON.stringify(mailbox);
    await halt([...runners.values()].filter((runner) => !isSame(runner)));
    for (const mailbox of wanted) {
      if (isStopped) return;
      if (!runners.has(mailbox.id)) runners.set(mailbox.id, startMailbox(parts, mailbox));
    }
  };

  return {
    apply: (wanted) => {
      const mine = last.then(() => change(wanted));
      last = mine.catch(() => undefined);
      return mine;
    },
    live: () => [...runners.values()].map((runner) => runner.live()),
    has: (id) => runners.has(id),
    wakeSpools,
    wakePoller: (id) => runners.get(id)?.wakePoller(),
    stop: async () => {
      isStopped = true;
      await Promise.all([halt([...runners.values()]), last]);
    },
  };
};
