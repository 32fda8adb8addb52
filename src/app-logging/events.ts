// The closed list of everything the program ever logs, each with its level and what it tells. A line
// carries ids, sizes, counts, durations and codes; docs/operations.md explains each event.

type Level = "debug" | "info" | "warn" | "error";

/** Every event: its level and its meaning in one sentence. */
export const EVENTS = {
  "daemon.started": ["info", "The daemon runs; names version, node and data directory state."],
  "daemon.disabled": ["warn", "Background tasks are off; nothing polls."],
  "daemon.stopping": ["info", "A stop signal arrived; in-flight work is finished."],
  "daemon.stopped": ["info", "Everything is handed back; the process ends."],
  "daemon.uncaught": ["error", "A bug: an error that nobody caught; the process ends."],
  "daemon.wedged": ["error", "The event loop stood still; the process ends with 70."],
  "config.reloaded": ["info", "A changed configuration is in force."],
  "config.rejected": ["warn", "A changed configuration is not usable; the last good one stays."],
  "config.needs_restart": ["warn", "A changed key takes effect only after a restart."],
  "config.rule_refused": ["warn", "One rule cannot be used and is skipped; the others stay."],
  "http.listening": ["info", "The HTTP server answers on this address."],
  "lock.refused": ["warn", "Another process polls this mailbox, or the lock file is unusable."],
  "lock.acquired": ["info", "This process polls the mailbox under a new fence."],
  "lock.released": ["info", "This process gave the mailbox back."],
  "lock.lost": ["error", "The lease is gone; work on the mailbox stops at once."],
  "mailbox.connected": ["info", "Logged in and opened the folder."],
  "mailbox.failed": ["warn", "The mail server cannot be used now; tried again after a back-off."],
  "mailbox.first_contact": ["info", "The baseline of a new folder is set."],
  "mailbox.reset": ["warn", "UIDVALIDITY changed; old mail was matched, new mail is delivered."],
  "mailbox.state": ["debug", "The state of a mailbox changed."],
  "mailbox.inactive": ["info", "Outside the active window, on vacation or disabled."],
  "mailbox.active": ["info", "Polling again."],
  "cycle.finished": ["debug", "One look at the folder ended; counts by outcome and step times."],
  "cycle.failed": ["warn", "One look ended by an error; the loop goes on after a back-off."],
  "cycle.overdue": ["error", "A cycle passed its deadline; its session is destroyed."],
  "cycle.wedged": ["error", "A cycle ignored its abort; the process ends with 70."],
  "message.delivered": ["debug", "Every destination has the message."],
  "message.filtered": ["debug", "The message is settled without a webhook; says why."],
  "message.reduced": ["warn", "The message could not be read; a reduced event is sent."],
  "message.gone": ["info", "The message was expunged before it could be read."],
  "message.html_truncated": ["warn", "The HTML of a message is over its cap; once a message."],
  "message.suspect": ["warn", "A message ended the connection; it is read alone."],
  "delivery.failed": ["warn", "An attempt failed; the delivery waits in the spool."],
  "delivery.parked": ["warn", "A delivery is given up and kept; see `signalpost parked`."],
  "delivery.breaker_opened": ["warn", "A destination failed five times in a row; probed only."],
  "delivery.breaker_closed": ["info", "A destination works again; what waits for it is due."],
  "spool.full": ["warn", "The spool is at its mark; nothing is fetched."],
  "spool.parked_limit": ["warn", "Over a thousand deliveries are parked."],
  "spool.mailbox_gone": ["warn", "Rows of a mailbox that is not configured were parked."],
  "spool.key_missing": ["warn", "Rows are encrypted with a key that is not configured; they wait."],
  "spool.failed": ["warn", "The spool could not be worked off; tried again."],
  "commit.failed": ["error", "The store refused a commit; the same one is tried again."],
  "store.housekeeping_failed": ["warn", "Trimming failed; tried again a minute later."],
  "after_delivery.failed": ["warn", "A flag, move or delete failed; tried again later."],
  "after_delivery.no_uidplus": ["warn", "Without UIDPLUS messages are only marked as deleted."],
  "after_delivery.dropped": ["warn", "What was owed under an old UIDVALIDITY was dropped."],
  "log.dropped": ["warn", "Lines were dropped because their reader was too slow."],
} as const satisfies Record<string, readonly [Level, string]>;

/** The name of an event. */
export type EventName = keyof typeof EVENTS;
