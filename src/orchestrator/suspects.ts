// Messages that break things. A command that dies makes every message it was reading a suspect;
// suspects are read one at a time, and one that fails alone is given up and sent as a reduced event,
// so that it never blocks the mail behind it (DESIGN section 2).
import { AppError, DeadlineError, MailError } from "../core/errors.ts";
import type { Unreadable } from "../core/message.ts";
import type { FolderContext, FolderMemory } from "./folder-context.ts";

/** Alone, a message may end the connection so often before it is given up. */
const MAX_CLOSED = 2;

/** Alone, a message may pass its deadline so often before it is given up. */
const MAX_LATE = 3;

/** Alone, a message may end the process so often before it is given up. */
const MAX_SOLO_DEATHS = 2;

/** A command died while it read messages; they are suspects now, and the next try is made at once. */
export class SuspectError extends AppError {
  constructor(cause: unknown) {
    super("mail/suspect", "a command ended with the messages it was reading", { cause });
  }
}

/** Counts one failure against the messages that were being read. */
export const strike = (memory: FolderMemory, uids: readonly number[], late: boolean): void => {
  for (const uid of uids) {
    const { closed, late: lates } = memory.suspects.get(uid) ?? { closed: 0, late: 0 };
    // Only a message that was read alone is to blame for what happened.
    const blame = uids.length === 1 ? 1 : 0;
    const strikes = late
      ? { closed, late: lates + blame }
      : { closed: closed + blame, late: lates };
    memory.suspects.set(uid, strikes);
    if (strikes.late >= MAX_LATE) memory.reduced.set(uid, "timeout");
    else if (strikes.closed >= MAX_CLOSED) memory.reduced.set(uid, "malformed");
  }
};

/** Why a message is given up; null while it is still to be read in full. */
export const givenUpReason = (memory: FolderMemory, uid: number): Unreadable | null => {
  const isDeadly = (memory.soloDeaths.get(uid) ?? 0) >= MAX_SOLO_DEATHS;
  return memory.reduced.get(uid) ?? (isDeadly ? "crash" : null);
};

/** The message is settled: nothing is held against it any more. */
export const acquit = (memory: FolderMemory, uid: number): void => {
  memory.suspects.delete(uid);
  memory.reduced.delete(uid);
  memory.soloDeaths.delete(uid);
};

/**
 * Runs a command that reads `uids`. When it dies of the connection or its deadline, they become
 * suspects and `SuspectError` is thrown; when we ended it ourselves, the error stays what it is.
 */
export const suspecting = async <T>(
  context: FolderContext,
  uids: readonly number[],
  run: () => Promise<T>,
): Promise<T> => {
  try {
    return await run();
  } catch (error) {
    const late = error instanceof DeadlineError;
    const died = error instanceof MailError && ["closed", "refused"].includes(error.failure);
    if (context.abort.aborted || !(late || died)) throw error;
    strike(context.memory, uids, late);
    context.log("message.suspect", {
      mailbox: context.mailbox.id,
      count: uids.length,
      uid: uids.length === 1 ? (uids[0] ?? null) : null,
      late,
    });
    throw new SuspectError(error);
  }
};

/**
 * Writes down what is about to be read, when the last process did not end cleanly: should this one die
 * of it too, the next reads these messages one at a time.
 */
export const recordReading = async (
  context: FolderContext,
  uids: readonly number[],
): Promise<void> => {
  const { memory, store, mailbox, lease } = context;
  if (!memory.recordReading) return;
  const alone = uids.length === 1 ? 1 : 0;
  const listed = new Map(memory.soloDeaths);
  for (const uid of uids) listed.set(uid, (listed.get(uid) ?? 0) + alone);
  const suspects = [...listed].map(([uid, soloDeaths]) => ({ uid, soloDeaths }));
  await store.writeSuspects(mailbox.id, lease.fence, suspects);
};
