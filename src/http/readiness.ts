// The words of `/readyz`: a closed list, one word a mailbox, and which of them mean that everything is
// as it should be. Pure; the daemon names the word, the routes and the status report show it.

/** Words under which the service is ready (DESIGN section 10). */
const READY = [
  "polling",
  "standby",
  "inactive",
  "disabled",
  "starting",
  "lock_delay",
  "island",
] as const;

/** Words that want an operator's eye, or time. */
const NOT_READY = [
  "stale",
  "unreachable",
  "rejected",
  "throttled",
  "folder_missing",
  "uidvalidity_invalid",
  "spool_full",
  "commit_failing",
  "waiting_for_redis",
  "needs_decision",
  "foreign_lock",
  "lock_file_error",
  "redis_noauth",
  "redis_readonly",
  "redis_oom",
  "redis_unsafe",
] as const;

/** Every word, in the order of the documentation. */
export const MAILBOX_WORDS = [...READY, ...NOT_READY] as const;

/** How a mailbox is, in one word. */
export type MailboxWord = (typeof MAILBOX_WORDS)[number];

/** Is a mailbox with this word as it should be? Then `/readyz` answers 200. */
export const isReadyWord = (word: MailboxWord): boolean =>
  READY.some((readyWord) => readyWord === word);

/** Beyond three missed looks a minute of grace: one slow cycle is no outage. */
const GRACE_MS = 60_000;

/**
 * The word to show: `polling` (or `island`, which polls too) becomes `stale` when the last proof that we
 * see the mailbox is older than three intervals and a minute, or was never made. Both times are of the
 * same clock.
 */
export const effectiveWord = (mailbox: {
  word: MailboxWord;
  lastProofMs: number | null;
  intervalMs: number;
  nowMs: number;
}): MailboxWord => {
  const { word, lastProofMs, intervalMs, nowMs } = mailbox;
  if (word !== "polling" && word !== "island") return word;
  const isFresh = lastProofMs !== null && nowMs - lastProofMs <= 3 * intervalMs + GRACE_MS;
  return isFresh ? word : "stale";
};
