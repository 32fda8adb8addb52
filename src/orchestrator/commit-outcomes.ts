// Making outcomes durable. A commit that the store refuses is tried again with the same outcomes until
// it succeeds or the lease is lost, so that nothing that was delivered is delivered again because of a
// full disk. Called by the cycle; the only writer of the cursor.
import { AppError } from "../core/errors.ts";
import { MAX_COMMIT_BYTES } from "../core/limits.ts";
import { type UidSet, settle, uidSetOf, union } from "../core/uid-set.ts";
import type { Commit, CommitResult, CursorRecord } from "../store/store.ts";
import { untilWritten } from "../store/until-written.ts";
import type { Settling } from "./deliver-message.ts";
import type { FolderContext } from "./folder-context.ts";
import { acquit } from "./reading/suspects.ts";

/**
 * Commits, again and again, until the store takes it. Rejects with `LeaseLostError` when the lease is
 * lost, with `FencedError` when a newer fence was issued, and with an `AbortError` when a stop cannot
 * wait any longer.
 */
export const commitSurely = (context: FolderContext, commit: Commit): Promise<CommitResult> => {
  const { memory, store } = context;
  const { mailbox, fence } = commit;
  const writeFailing = (isFailing: boolean): void => {
    memory.commitFailing = isFailing;
    memory.progress += 1;
  };
  return untilWritten({ ...context, mailboxId: mailbox, writeFailing }, async (failures) => {
    // After a refusal the store first shows, by an empty commit, that it takes writes again.
    if (failures > 0) await store.commit({ mailbox, fence });
    return store.commit(commit);
  });
};

/** Outcomes in groups whose payloads stay under the size of one commit. */
const inGroups = (settlings: readonly Settling[]): Settling[][] => {
  const groups: Settling[][] = [[]];
  let bytes = 0;
  for (const settling of settlings) {
    const size = settling.spool.reduce((sum, { payload }) => sum + Buffer.byteLength(payload), 0);
    if (bytes > 0 && bytes + size > MAX_COMMIT_BYTES) {
      groups.push([]);
      bytes = 0;
    }
    groups.at(-1)?.push(settling);
    bytes += size;
  }
  return groups;
};

const isPresent = <T>(value: T | null): value is T => value !== null;

/**
 * Commits outcomes and the gaps that are ripe, in one transaction or a few; moves the cursor in memory
 * after each. Counts and logs the outcomes once they are durable. Throws `AppError` `cycle/no-cursor`
 * when the folder has no cursor: what was delivered must not be forgotten silently.
 */
export const commitOutcomes = async (
  context: FolderContext,
  settlings: readonly Settling[],
  ripeGaps: UidSet,
): Promise<void> => {
  const { memory, mailbox, lease } = context;
  let gaps = ripeGaps;
  for (const group of inGroups(settlings)) {
    const before = memory.cursor;
    if (before === null) {
      throw new AppError("cycle/no-cursor", "outcomes cannot be committed without a cursor", {
        hint: "this is a bug of signalpost; please report it with this message",
      });
    }
    const settled = settle(before, union(uidSetOf(group.map(({ uid }) => uid)), gaps));
    const cursor: CursorRecord = { ...before, ...settled };
    await commitSurely(context, {
      mailbox: mailbox.id,
      fence: lease.fence,
      cursor,
      receipts: group.map(({ receipt }) => receipt),
      spool: group.flatMap(({ spool }) => spool),
      claims: group.map(({ claim }) => claim).filter(isPresent),
      tail: group.map(({ tail }) => tail).filter(isPresent),
    });
    memory.cursor = cursor;
    gaps = [];
    if (group.some(({ spool }) => spool.length > 0)) context.spooled();
    const done = new Set(group.map(({ uid }) => uid));
    memory.pending = memory.pending.filter((uid) => !done.has(uid));
    for (const uid of done) acquit(memory, uid);
    announce(context, group);
  }
};

/** Tells metrics and log of outcomes that are durable. */
const announce = (context: FolderContext, settlings: readonly Settling[]): void => {
  const { log, metrics, mailbox } = context;
  for (const { receipt, shown } of settlings) {
    const { outcome, reduced, reason, uid, eventId } = receipt;
    metrics.messageSettled(mailbox.id, reduced ? "reduced" : outcome);
    const fields = { mailbox: mailbox.id, uid, event_id: eventId, ...shown };
    if (reduced) log("message.reduced", { ...fields, reason });
    if (outcome === "gone") log("message.gone", fields);
    if (outcome === "filtered") log("message.filtered", { ...fields, reason });
    if (outcome === "delivered") log("message.delivered", fields);
  }
};
