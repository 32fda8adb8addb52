// One look at one folder, as DESIGN section 2 draws it: look, metadata, rules on the envelope, bodies,
// rules on the body, webhooks, one fenced commit, flags. At most 64 messages; when it resolves, what it
// delivered is committed. Called by the poller's loop.
import { type StepTimer, createStepTimer } from "../app-logging/step-timings.ts";
import { AppError, isAbort } from "../core/errors.ts";
import { MAX_RAW_BYTES } from "../core/limits.ts";
import type { Message } from "../core/message.ts";
import type { CycleResult } from "../core/outcome.ts";
import type { UidSet } from "../core/uid-set.ts";
import { wantedHeaders } from "../rules/match.ts";
import { settleAfterDelivery } from "./after-delivery.ts";
import { ensureBaseline } from "./baseline.ts";
import { commitOutcomes } from "./commit-outcomes.ts";
import { withinOffloadBudget } from "./offload-budget.ts";
import { type DeliveryNotes, type Settling, deliverMessage, gone } from "./deliver-message.ts";
import type { FolderContext } from "./folder-context.ts";
import { look } from "./reading/look.ts";
import { readRaw } from "./reading/read-raw.ts";
import { type Wanted, readBodies, readMetadata, sortMissing } from "./reading/read.ts";
import { type Sifted, sift } from "./reading/sift.ts";
import { fault, givenUpReason, nextBatch, recordReading } from "./reading/suspects.ts";

/** Bodies are read in groups of about this many octets, so that a group fits in memory easily. */
const GROUP_BYTES = 8 * 1024 * 1024;

/** The end of one message's delivery; a rejection waits here until the others have ended. */
type End = { settling: Settling } | { error: unknown };

/** Messages being delivered, and the first thing that stops the batch. */
interface Batch {
  ends: Promise<End>[];
  settled: Settling[];
  missing: number[];
  failure: unknown;
}

const groupsByBytes = (wanted: readonly Wanted[]): Wanted[][] => {
  const groups: Wanted[][] = [];
  let bytes = Infinity;
  for (const one of wanted) {
    if (bytes + one.expectedBytes > GROUP_BYTES) {
      groups.push([]);
      bytes = 0;
    }
    groups.at(-1)?.push(one);
    bytes += one.expectedBytes;
  }
  return groups;
};

/** Delivers one message; an error of our own code is held against it and stops nothing else. */
const deliverOne = async (
  context: FolderContext,
  message: Message,
  notes: DeliveryNotes,
): Promise<End> => {
  const { memory } = context;
  memory.delivering += 1;
  try {
    return { settling: await deliverMessage(context, message, notes) };
  } catch (error) {
    if (error instanceof AppError || isAbort(error)) return { error };
    fault(context, message.uid, error);
    return { error: undefined };
  } finally {
    memory.delivering -= 1;
    memory.progress += 1;
  }
};

const launcher = (
  context: FolderContext,
  sifted: Sifted,
  batch: Batch & { timer: StepTimer },
): ((message: Message) => void) => {
  return (message) => {
    // After a stop nothing new is sent: the message stays unsettled, for the next process.
    if (context.stop.aborted) return;
    const notes = sifted.notes.get(message.uid) ?? { claim: null, sentBefore: null };
    batch.ends.push(deliverOne(context, message, { ...notes, steps: batch.timer.totals() }));
  };
};

/** Room for so many octets; others' deliveries may hold it long, and that is no standstill of ours. */
const waitForRoom = async (context: FolderContext, bytes: number): Promise<() => void> => {
  const { memory, bytesInFlight, abort } = context;
  memory.delivering += 1;
  try {
    return await bytesInFlight.acquire(bytes, abort);
  } finally {
    memory.delivering -= 1;
  }
};

/** Runs `read`, which resolves with what is missing, and keeps its room until what it launched is sent. */
const readInRoom = async (
  context: FolderContext,
  batch: Batch & { timer: StepTimer },
  { bytes, read }: { bytes: number; read: () => Promise<readonly number[]> },
): Promise<void> => {
  const release = await waitForRoom(context, bytes);
  const first = batch.ends.length;
  try {
    await context.lease.assert();
    batch.missing.push(...(await batch.timer.time("read", read)));
  } finally {
    void Promise.all(batch.ends.slice(first)).then(release);
  }
};

/** Reads bodies group by group and sends each message as soon as it is whole. */
const readAndSend = async (
  context: FolderContext,
  sifted: Sifted,
  batch: Batch & { timer: StepTimer },
): Promise<void> => {
  const launch = launcher(context, sifted, batch);
  for (const message of sifted.reduced) launch(message);
  for (const group of groupsByBytes(sifted.wanted)) {
    if (context.stop.aborted) return;
    const bytes = group.reduce((sum, { expectedBytes }) => sum + expectedBytes, 0);
    const read = (): Promise<readonly number[]> => readBodies(context, group, launch);
    await readInRoom(context, batch, { bytes, read });
  }
  // The likeliest to end the connection come last, and one at a time.
  for (const [index, metadata] of sifted.raw.entries()) {
    if (context.stop.aborted) return;
    const behind = sifted.raw.slice(index + 1).map(({ uid }) => uid);
    const read = (): Promise<readonly number[]> => readRaw(context, { metadata, behind }, launch);
    await readInRoom(context, batch, { bytes: MAX_RAW_BYTES, read });
  }
};

/** Waits for every delivery; the settled ones count whatever became of the others. */
const gather = async (batch: Batch): Promise<void> => {
  for (const end of await Promise.all(batch.ends)) {
    if ("settling" in end) batch.settled.push(end.settling);
    else batch.failure ??= end.error;
  }
};

/** Messages that were asked for again and are not there: said once, and asked for no more. */
const forgetRequests = async (context: FolderContext, uids: readonly number[]): Promise<void> => {
  const { log, mailbox, store, lease } = context;
  for (const uid of uids) log("message.gone", { mailbox: mailbox.id, uid, redelivery: true });
  await store.clearRedeliveries(mailbox.id, lease.fence, uids);
};

/** Takes `uids` from metadata to a commit; what came to an end is committed even if another failed. */
const takeBatch = async (
  context: FolderContext,
  uids: readonly number[],
  options: { timer: StepTimer; ripeGaps: UidSet; forced: boolean },
): Promise<void> => {
  const { timer, ripeGaps, forced } = options;
  const batch = { ends: [], settled: [], missing: [], failure: undefined, timer } as Batch & {
    timer: StepTimer;
  };
  try {
    if (uids.length > 0) await recordReading(context, uids);
    await context.lease.assert();
    const plain = uids.filter((uid) => givenUpReason(context.memory, uid) === null);
    const headers = wantedHeaders(context.hot.rules);
    const rows =
      plain.length === 0
        ? []
        : await timer.time("metadata", () => readMetadata(context, plain, headers));
    const known = new Set(rows.map(({ uid }) => uid));
    batch.missing.push(...plain.filter((uid) => !known.has(uid)));
    const sifted = await timer.time("rules", () => sift(context, { uids, rows, forced }));
    sifted.wanted = withinOffloadBudget(context.offload?.settings ?? null, sifted.wanted);
    batch.settled.push(...sifted.settled);
    await readAndSend(context, sifted, batch);
    const expunged = [...sifted.gone, ...(await sortMissing(context, batch.missing))];
    if (forced) await forgetRequests(context, expunged);
    else batch.settled.push(...expunged.map((uid) => gone(context, uid)));
  } catch (error) {
    batch.failure ??= error;
  }
  await timer.time("deliver", () => gather(batch));
  if (batch.settled.length > 0 || ripeGaps.length > 0) {
    await timer.time("commit", () => commitOutcomes(context, batch.settled, ripeGaps));
  }
  if (batch.failure !== undefined) throw batch.failure;
};

/** Messages that an operator asked to send again. */
const redeliver = async (context: FolderContext, timer: StepTimer): Promise<void> => {
  const asked = await context.store.readRedeliveries(context.mailbox.id);
  const uids = nextBatch(context.memory, asked);
  if (uids.length > 0) await takeBatch(context, uids, { timer, ripeGaps: [], forced: true });
};

const isSpoolFull = async ({ store, limits }: FolderContext): Promise<boolean> => {
  const { rows, bytes, maxBytes } = await store.spoolUsage();
  const spoolBytes = Math.min(limits.spoolBytes, maxBytes ?? Infinity);
  return rows >= limits.spoolRows || bytes >= spoolBytes;
};

const lookAndTake = async (context: FolderContext, timer: StepTimer): Promise<CycleResult> => {
  const { log, mailbox, memory } = context;
  const cursor = await timer.time("connect", () => ensureBaseline(context));
  if (await isSpoolFull(context)) return { kind: "full" };
  await redeliver(context, timer);
  const seen = await timer.time("look", () => look(context, memory.cursor ?? cursor));
  if (seen.uids.length > 0 || seen.ripeGaps.length > 0) {
    await takeBatch(context, seen.uids, { timer, ripeGaps: seen.ripeGaps, forced: false });
  }
  await timer.time("after_delivery", () => settleAfterDelivery(context));
  if (seen.uids.length > 0) {
    log("cycle.finished", { mailbox: mailbox.id, taken: seen.uids.length, ...timer.totals() });
  }
  // What was taken and not settled (postponed, suspect) is pending still, and looked at again at once.
  return { kind: memory.pending.length > 0 && !context.stop.aborted ? "more" : "idle" };
};

/**
 * One cycle. Rejects with `MailError`, `DeadlineError`, `SuspectError`, `LeaseLostError`, `FencedError`
 * or an `AbortError`; what was settled before is committed all the same.
 */
export const runCycle = async (context: FolderContext): Promise<CycleResult> => {
  const { clock, metrics, memory, lease } = context;
  const startedMs = clock.monoMs();
  await lease.assert();
  try {
    return await lookAndTake(context, createStepTimer(clock, metrics));
  } catch (error) {
    // What failed may be what was listed: the next cycle looks for itself.
    memory.pending = [];
    throw error;
  } finally {
    metrics.cycle((clock.monoMs() - startedMs) / 1000);
  }
};
