// `signalpost redeliver`: records the wish to send messages again that the mail server still has. The
// daemon that polls the mailbox sees it within a second and keeps event id and attempt count.
import { AppError } from "../../../core/errors.ts";
import {
  CONFIG_OPTION,
  JSON_OPTION,
  MAX_UID,
  parseOptions,
  usageError,
  wholeNumber,
} from "../../options.ts";
import { type Command, EXIT } from "../../terminal.ts";
import { withStore } from "../../with-store.ts";

/** Records the requests; 1 when the mailbox is not configured. */
export const redeliver: Command = async (args, terminal) => {
  const { values, positionals } = parseOptions(args, { ...CONFIG_OPTION, ...JSON_OPTION });
  const [mailbox, ...words] = positionals;
  if (mailbox === undefined || words.length === 0) throw usageError("Name a mailbox and its UIDs");
  const uids = [...new Set(words.map((word) => wholeNumber(word, "A UID", MAX_UID)))];
  return await withStore(values.config, terminal, async (store, { settings }) => {
    const ids = settings.mailboxes.map(({ id }) => id);
    if (!ids.includes(mailbox)) {
      throw new AppError("cli/unknown_mailbox", "no such mailbox is configured", {
        hint: `Configured: ${ids.join(", ")}.`,
      });
    }
    await store.requestRedelivery(mailbox, uids);
    terminal.out(
      values.json === true
        ? JSON.stringify({ mailbox, requested: uids.length })
        : `requested ${uids.length} of mailbox ${mailbox}; the daemon that polls it sends them next`,
    );
    return EXIT.ok;
  });
};
