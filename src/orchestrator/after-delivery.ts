// What the user wants done to a message once every destination has it: a flag, a move, a delete. A
// durable to-do, written in the commit and worked off here; its failure never touches the outcome.
import { MailError, errorCode } from "../core/errors.ts";
import type { MailboxSettings } from "../core/settings.ts";
import type { MailSession } from "../mail/session.ts";
import type { FolderContext } from "./folder-context.ts";

/** To-dos worked off in one go. */
const BATCH = 500;

/** What the server refused is not asked for again before this. */
const REFUSED_WAIT_MS = 5 * 60_000;

type Wanted = Exclude<FolderContext["mailbox"]["afterDelivery"], { kind: "none" }>;

const perform = async (
  context: FolderContext,
  wanted: Wanted,
  uids: readonly number[],
): Promise<void> => {
  const command = (run: (session: MailSession) => Promise<void>): Promise<void> =>
    context.connection.command("the action after delivery", run);
  switch (wanted.kind) {
    case "mark_seen":
      await command((session) => session.addFlag(uids, "\\Seen"));
      return;
    case "move":
      await command((session) => session.move(uids, wanted.folder));
      return;
    case "delete":
      await command((session) => session.addFlag(uids, "\\Deleted"));
      await context.lease.assert();
      // A plain EXPUNGE would take everybody's deleted mail along (RFC 4315 section 1).
      await command(async (session) => {
        if (session.folder.canUidExpunge) await session.expunge(uids);
      });
  }
};

/** Warns, once per connection, of a server on which deleted messages can only be marked. */
export const warnOfMissingUidplus = (
  { log }: Pick<FolderContext, "log">,
  mailbox: MailboxSettings,
  session: MailSession,
): void => {
  if (!session.folder.canUidExpunge) log("after_delivery.no_uidplus", { mailbox: mailbox.id });
};

/** Works off what is owed for this folder; a refusal by the server is logged and tried again later. */
export const settleAfterDelivery = async (context: FolderContext): Promise<void> => {
  const { clock, mailbox, memory, store, lease, log } = context;
  const wanted = mailbox.afterDelivery;
  if (wanted.kind === "none" || memory.cursor === null) return;
  if (clock.monoMs() < memory.nextActionMs) return;
  const { uidvalidity } = memory.cursor;
  const query = { mailbox: mailbox.id, folder: mailbox.folder, uidvalidity, limit: BATCH };
  const todos = await store.openTodos(query);
  if (todos.length === 0) return;
  await lease.assert();
  try {
    await perform(
      context,
      wanted,
      todos.map(({ uid }) => uid),
    );
  } catch (error) {
    const action = wanted.kind;
    const isRefused =
      error instanceof MailError && ["refused", "folder_missing"].includes(error.failure);
    // A dead connection is the loop's business; a refusal is tried again, but not at every look.
    if (!isRefused) throw error;
    memory.nextActionMs = clock.monoMs() + REFUSED_WAIT_MS;
    log("after_delivery.failed", { mailbox: mailbox.id, action, code: errorCode(error) });
    return;
  }
  const eventIds = todos.map(({ eventId }) => eventId);
  await store.closeTodos(mailbox.id, lease.fence, eventIds);
};
