// Messages that break things. A command that dies makes every message it was reading a suspect;
// suspects are read one at a time, and one that fails alone is given up and sent as a reduced event,
// so that it never blocks the mail behind it (DESIGN section 2). When several in a row fail alone and
// none is read, the server is to blame and not they.
import { AppError, DeadlineError, MailError, errorCode } from "../../core/errors.ts";
import { MAX_UNCOMMITTED } from "../../core/limits.ts";
import type { Unreadable } from "../../core/message.ts";
import type { FolderContext, FolderMemory, Strikes } from "../folder-context.ts";

/** Alone, a message may end the connection so often before it is given up. */
const MAX_CLOSED = 2;

/** Alone, a message may pass its deadline so often before it is given up. */
const MAX_LATE = 3;

/** So often our own code may fail on a message before it is given up. */
const MAX_FAULTS = 2;

/** So often reading a message from its octets may fail before it goes out with what arrived. */
const MAX_OCTETS = 2;

/** Alone, a message may end the process so often before it is given up. */
const MAX_SOLO_DEATHS = 2;

/** So often the header of a given-up message is tried, with back-off, before it goes out without. */
export const MAX_HEADER_FAILURES = 8;

/** So many different messages that fail alone, and none read in between, make an ill server. */
const ILL_SERVER = 3;

/** So often the server gets the blame, with back-off, before the messages do. */
const MAX_ILL_ROUNDS = 8;

const NO_STRIKES: Strikes = { closed: 0, late: 0, faults: 0, headers: 0, octets: 0 };

/** A command died while it read messages; they are suspects now, and the next try is made at once. */
export class SuspectError extends AppError {
  constructor(cause: unknown) {
    super("mail/suspect", "a command ended with the messages it was reading", { cause });
  }
}

const strikesOf = (memory: FolderMemory, uid: number): Strikes =>
  memory.suspects.get(uid) ?? NO_STRIKES;

const addStrike = (memory: FolderMemory, uid: number, kind: keyof Strikes): void => {
  const strikes = strikesOf(memory, uid);
  memory.suspects.set(uid, { ...strikes, [kind]: strikes[kind] + 1 });
};

/** We ended the connection ourselves, because a reply was too long: that is the message's doing. */
const isOverOurLimits = (error: unknown): boolean =>
  error instanceof MailError &&
  ["LineTooLarge", "LiteralTooLarge", "ResponseTooLarge"].includes(error.code);

/** Counts one failure against the messages that were being read. */
export const strike = (
  memory: FolderMemory,
  uids: readonly number[],
  kind: "closed" | "late",
): void => {
  // Only a message that was read alone is to blame for what happened.
  const [alone] = uids;
  if (uids.length === 1 && alone !== undefined) addStrike(memory, alone, kind);
  else for (const uid of uids) memory.suspects.set(uid, strikesOf(memory, uid));
};

/** Our own code failed on this message: an error that must cost nobody else's mail anything. */
export const fault = (context: FolderContext, uid: number, error: unknown): void => {
  addStrike(context.memory, uid, "faults");
  context.log("message.suspect", { mailbox: context.mailbox.id, uid, code: errorCode(error) });
};

/** Why a message is given up; null while it is still to be read in full. */
export const givenUpReason = (memory: FolderMemory, uid: number): Unreadable | null => {
  const { closed, late, faults } = strikesOf(memory, uid);
  if (late >= MAX_LATE) return "timeout";
  if (closed >= MAX_CLOSED || faults >= MAX_FAULTS) return "malformed";
  return (memory.soloDeaths.get(uid) ?? 0) >= MAX_SOLO_DEATHS ? "crash" : null;
};

/**
 * The header of a given-up message could not be read either. True: often enough, it goes out without
 * one. False: it is tried again, from the beginning, because the server may have been ill.
 */
export const headerFailed = (memory: FolderMemory, uid: number): boolean => {
  addStrike(memory, uid, "headers");
  const { closed, late, ...others } = strikesOf(memory, uid);
  if (others.headers >= MAX_HEADER_FAILURES) return true;
  const spared = { closed: Math.min(closed, MAX_CLOSED - 1), late: Math.min(late, MAX_LATE - 1) };
  memory.suspects.set(uid, { ...others, ...spared });
  return false;
};

/** The message is settled: nothing is held against it any more. */
export const acquit = (memory: FolderMemory, uid: number): void => {
  memory.suspects.delete(uid);
  memory.soloDeaths.delete(uid);
};

/** A message was read whole: the server is well, and what fails alone now is to blame itself. */
export const serverIsWell = (memory: FolderMemory): void => {
  memory.failedAlone.clear();
  memory.illRounds = 0;
};

/** Is it the server that fails? Then nothing is held against the messages, for a while. */
const isServerIll = (memory: FolderMemory): boolean => {
  if (memory.failedAlone.size < ILL_SERVER || memory.illRounds >= MAX_ILL_ROUNDS) return false;
  for (const uid of memory.failedAlone) memory.suspects.set(uid, NO_STRIKES);
  memory.failedAlone.clear();
  memory.illRounds += 1;
  return true;
};

/** The messages to read next: one suspect alone, the least suspicious first; else up to 64. */
export const nextBatch = (memory: FolderMemory, uids: readonly number[]): readonly number[] => {
  const weight = (uid: number): number =>
    Object.values(strikesOf(memory, uid)).reduce((sum, count) => sum + count, 0);
  const suspects = uids.filter((uid) => memory.suspects.has(uid) || memory.soloDeaths.has(uid));
  const [alone] = suspects.toSorted((a, b) => weight(a) - weight(b) || a - b);
  return alone === undefined ? uids.slice(0, MAX_UNCOMMITTED) : [alone];
};

/** Did reading end by the connection, a refusal or a deadline, and not because we were told to stop? */
const isOfReading = ({ abort }: FolderContext, error: unknown): boolean =>
  !abort.aborted &&
  (error instanceof DeadlineError ||
    (error instanceof MailError && ["closed", "refused"].includes(error.failure)));

/**
 * Runs a command that reads `uids`. When it dies of the connection, a refusal or its deadline, they
 * become suspects and `SuspectError` is thrown. The error stays what it is when we ended the command
 * ourselves, and when it is the server that is ill: then the loop backs off.
 */
export const suspecting = async <T>(
  context: FolderContext,
  uids: readonly number[],
  run: () => Promise<T>,
): Promise<T> => {
  const { memory } = context;
  try {
    return await run();
  } catch (error) {
    if (!isOfReading(context, error)) throw error;
    const late = error instanceof DeadlineError;
    strike(memory, uids, late ? "late" : "closed");
    const uid = uids.length === 1 ? (uids[0] ?? null) : null;
    if (uid !== null && isOverOurLimits(error)) addStrike(memory, uid, "closed");
    else if (uid !== null) memory.failedAlone.add(uid);
    context.log("message.suspect", { mailbox: context.mailbox.id, count: uids.length, uid, late });
    if (isServerIll(memory)) throw error;
    throw new SuspectError(error);
  }
};

/**
 * Reading the octets of `uid` failed. Only that message is struck, because octets are always read of one
 * alone, and by a count of its own: the others say whether it is read this way at all. Those `behind` it,
 * which are to be read this way too, become suspects without a strike, so that each is tried once before
 * any is tried twice: then it shows whether the server is to blame. Throws what is none of the message's
 * doing as it is, and `SuspectError` for another try at once; returns that error when the message failed
 * often enough, for the caller to throw once it is on its way with what arrived of it. So a message costs
 * two connections, and eight rounds of back-off while the server gets the blame.
 */
export const octetsFailed = (
  context: FolderContext,
  { uid, behind }: { uid: number; behind: readonly number[] },
  error: unknown,
): SuspectError => {
  const { memory, log, mailbox } = context;
  if (!isOfReading(context, error)) throw error;
  addStrike(memory, uid, "octets");
  for (const other of behind) memory.suspects.set(other, strikesOf(memory, other));
  if (isOverOurLimits(error)) addStrike(memory, uid, "octets");
  else memory.failedAlone.add(uid);
  const late = error instanceof DeadlineError;
  log("message.suspect", { mailbox: mailbox.id, count: 1, uid, late });
  if (isServerIll(memory)) throw error;
  const again = new SuspectError(error);
  if (strikesOf(memory, uid).octets < MAX_OCTETS) throw again;
  return again;
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
