// `signalpost adopt`: an operator decides where a mailbox begins whose state was lost everywhere. The
// daemon that waits for the decision sees it within seconds.
import { isCalendarDay } from "../../../config/sections/fields.ts";
import { AppError } from "../../../core/errors.ts";
import { CONFIG_OPTION, JSON_OPTION, parseOptions, usageError } from "../../options.ts";
import { type Command, EXIT } from "../../terminal.ts";
import { withStore } from "../../with-store.ts";

const isStart = (text: string): boolean =>
  text === "now" || text === "beginning" || isCalendarDay(text);

/** Records the decision; 1 when the mailbox is not configured, or when there is nothing to decide. */
export const adopt: Command = async (args, terminal) => {
  const { values, positionals } = parseOptions(args, {
    ...CONFIG_OPTION,
    ...JSON_OPTION,
    from: { type: "string" },
  });
  const [mailbox, ...rest] = positionals;
  const { from } = values;
  if (mailbox === undefined || rest.length > 0) throw usageError("Name one mailbox");
  if (from === undefined || !isStart(from)) {
    throw usageError("Say --from now, --from beginning, or --from a day such as 2026-12-24");
  }
  return await withStore(values.config, terminal, async (store, { settings }) => {
    const configured = settings.mailboxes.find(({ id }) => id === mailbox);
    if (configured === undefined) {
      throw new AppError("cli/unknown_mailbox", "no such mailbox is configured", {
        hint: `Configured: ${settings.mailboxes.map(({ id }) => id).join(", ")}.`,
      });
    }
    if ((await store.readCursor(mailbox, configured.folder)) !== null) {
      throw new AppError("cli/not_lost", "the state of this mailbox is there", {
        hint: "Nothing needs to be decided; to send a message again, use 'signalpost redeliver'.",
      });
    }
    await store.adopt(mailbox, from);
    terminal.out(
      values.json === true
        ? JSON.stringify({ mailbox, from })
        : `mailbox ${mailbox} begins with ${from}; the daemon that waits for this goes on now`,
    );
    return EXIT.ok;
  });
};
