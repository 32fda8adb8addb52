// `signalpost receipts`: answers "why was my mail not sent?" from the receipts that the store keeps of
// every settled message. Ids, numbers and words only; what a mail said is nowhere in them.
import { isoFromMs } from "../../core/calendar.ts";
import type { FilterReason, PairState } from "../../core/outcome.ts";
import type { MailboxSettings } from "../../core/settings.ts";
import { isSettled } from "../../core/uid-set.ts";
import type { Receipt, Store } from "../../store/store.ts";
import { CONFIG_OPTION, JSON_OPTION, MAX_UID, parseFlags, wholeNumber } from "../options.ts";
import { type Command, EXIT } from "../terminal.ts";
import { withStore } from "../with-store.ts";

const MAX_LAST = 100_000;

const FILTERED: Readonly<Record<FilterReason, string>> = {
  sender: "its sender is not in polling.sender_of_interest_for_polling",
  reply: "it is a reply or a forward, and polling.skip_replies is on",
  rule_drop: "a rule drops it",
  subject_group: "its subject group already had its event this month",
};

/** One sentence about what became of the message. */
const verdict = ({ outcome, reason }: Receipt): string => {
  switch (outcome) {
    case "filtered":
      return `not sent: ${FILTERED[reason as FilterReason] ?? reason ?? "filtered"}`;
    case "gone":
      return "not sent: somebody removed it from the folder before it could be read";
    case "spooled":
      return "waits for a destination and is tried again";
    case "parked":
      return "given up at a destination; see 'signalpost parked show'";
    case "delivered":
      return "delivered";
  }
};

const REDUCED: Readonly<Record<string, string>> = {
  malformed: "its structure cannot be read",
  timeout: "reading it took too long three times",
  too_large: "it is over a limit",
  crash: "reading it ended the process",
};

const pairDetail = (pair: PairState): string | null => {
  switch (pair.kind) {
    case "waiting":
      return pair.errorClass;
    case "parked":
      return pair.reason;
    case "delivered":
    case "dropped":
      return null;
  }
};

const shownReceipt = (receipt: Receipt) => ({
  event_id: receipt.eventId,
  mailbox: receipt.mailbox,
  uidvalidity: receipt.uidvalidity,
  uid: receipt.uid,
  outcome: receipt.outcome,
  reason: receipt.reason,
  reduced: receipt.reduced,
  settled_at: isoFromMs(receipt.settledMs),
  pairs: Object.entries(receipt.pairs).map(([destination, pair]) => ({
    destination,
    state: pair.kind,
    attempts: pair.attempts,
    reason: pairDetail(pair),
  })),
  steps_ms: receipt.steps,
  after_delivery_owed: receipt.todo,
});

const receiptText = (receipt: Receipt): string => {
  const { pairs, ...shown } = shownReceipt(receipt);
  const steps = Object.entries(shown.steps_ms).map(([step, ms]) => `${step} ${ms} ms`);
  const lines = [
    `${shown.settled_at}  ${shown.mailbox} uid ${shown.uid}  ${shown.event_id}`,
    `  ${verdict(receipt)}`,
    ...pairs.map(({ destination, state, attempts, reason }) => {
      const detail = reason === null ? "" : ` (${reason})`;
      return `  ${destination}: ${state} after ${attempts} attempt${attempts === 1 ? "" : "s"}${detail}`;
    }),
  ];
  if (shown.reduced) {
    lines.push(`  sent without its body: ${REDUCED[shown.reason ?? ""] ?? "it cannot be read"}`);
  }
  if (steps.length > 0) lines.push(`  steps: ${steps.join(", ")}`);
  if (shown.after_delivery_owed) lines.push("  after_delivery is still owed");
  return lines.join("\n");
};

/** Why a UID has no receipt, as far as the cursors of the mailboxes asked about can tell. */
const explainMissing = async (
  store: Store,
  mailboxes: readonly MailboxSettings[],
  uid: number,
): Promise<string[]> => {
  const lines: string[] = [];
  for (const { id, folder } of mailboxes) {
    const cursor = await store.readCursor(id, folder);
    if (cursor === null) lines.push(`${id}: the folder was never opened`);
    else if (!isSettled(cursor, uid)) {
      lines.push(`${id}: not read yet; everything up to UID ${cursor.settledUpTo} is settled`);
    } else {
      lines.push(
        `${id}: there before the first contact (start_from), no message at all, or settled so long ` +
          "ago that its receipt is gone",
      );
    }
  }
  return lines;
};

/** Prints the newest receipts first. */
export const receipts: Command = async (args, terminal) => {
  const values = parseFlags(args, {
    ...CONFIG_OPTION,
    ...JSON_OPTION,
    mailbox: { type: "string" },
    uid: { type: "string" },
    last: { type: "string" },
  });
  const { mailbox } = values;
  const uid = values.uid === undefined ? undefined : wholeNumber(values.uid, "--uid", MAX_UID);
  const last = wholeNumber(values.last ?? "50", "--last", MAX_LAST);
  return await withStore(values.config, terminal, async (store, { settings }) => {
    const found = await store.readReceipts({
      last,
      ...(mailbox === undefined ? {} : { mailbox }),
      ...(uid === undefined ? {} : { uid }),
    });
    if (values.json === true) terminal.out(JSON.stringify(found.map(shownReceipt), null, 2));
    else if (found.length > 0) terminal.out(found.map(receiptText).join("\n\n"));
    else {
      const asked = settings.mailboxes.filter(({ id }) => mailbox === undefined || id === mailbox);
      const reasons = uid === undefined ? [] : await explainMissing(store, asked, uid);
      terminal.out(["no receipt", ...reasons].join("\n"));
    }
    return EXIT.ok;
  });
};
