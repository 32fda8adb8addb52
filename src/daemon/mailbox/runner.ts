// One mailbox at work: its connection, its tenure of the lease and its two loops, wired together. Made
// and stopped by the daemon; everything it does goes through the parts it is given.
import { LeaseLostError, errorCode } from "../../core/errors.ts";
import type { MailboxSettings } from "../../core/settings.ts";
import { effectiveWord } from "../../http/readiness.ts";
import type { LiveMailbox } from "../../http/status-report.ts";
import type { Lease } from "../../lock/held-lease.ts";
import { type Connection, createConnection } from "../../mail/connection.ts";
import { warnOfMissingUidplus } from "../../orchestrator/after-delivery.ts";
import { ensureBaseline } from "../../orchestrator/baseline.ts";
import { runCycle } from "../../orchestrator/cycle.ts";
import {
  type FolderContext,
  type FolderMemory,
  type HotInForce,
  type SharedParts,
  createFolderMemory,
} from "../../orchestrator/folder-context.ts";
import {
  type LockAnswer,
  backgroundEmailPollerLoop,
} from "../../poller/background-email-poller-loop.ts";
import { backgroundSpoolLoop } from "../../poller/background-spool-loop.ts";
import { activityAt } from "../../poller/schedule.ts";
import { workSpool } from "../../poller/work-spool.ts";
import { createBackoff } from "../../resilience/backoff.ts";
import { watchCycle } from "../../resilience/cycle-watch.ts";
import { createLeasedStore } from "../../store/leased-store.ts";
import type { AccountSlots } from "./account-slots.ts";
import { createAttachmentConnection } from "./attachment-connection.ts";
import { type FailureJudge, createFailureJudge } from "./failure-judge.ts";
import type { LockParts } from "./mailbox-lock.ts";
import { type StateWord, createStateWord } from "./state-word.ts";
import { type Tenure, createTenure } from "./tenure.ts";

/** After a stop signal, work in flight may take so long; then it is aborted. */
const GRACE_MS = 6000;

/** Exit code of a process that cannot go on by itself (DESIGN section 10). */
const EXIT_WEDGED = 70;

/** By then the poller's loop has tried for the lease again. */
const LEASE_LOST_WAIT_MS = 1000;

/** How often it is looked whether an operator has decided. */
const DECISION_WAIT_MS = 2000;

/** After an error the spool is looked at again with full jitter from 1 s to 1 min. */
const SPOOL_RETRY = { baseMs: 1000, capMs: 60_000 };

/** What a mailbox needs besides the parts of a cycle. */
export interface RunnerParts extends Omit<SharedParts, "hmacKey">, LockParts {
  accounts: AccountSlots;
  /** The hot settings, re-read when they changed. Never rejects. */
  refreshHot(): Promise<HotInForce>;
  currentHot(): HotInForce;
  /** Tells every mailbox that something may be due in its spool. */
  wakeSpools(): void;
  exit(code: number): void;
}

/** A mailbox at work. */
export interface MailboxRunner {
  readonly mailbox: MailboxSettings;
  /** Something waits in the spool. */
  wakeSpool(): void;
  /** Somebody asks for a look now. */
  wakePoller(): void;
  live(): LiveMailbox;
  /**
   * Finishes or aborts what is in flight, hands the mailbox back; asked again it waits for the same end.
   * Never rejects.
   */
  stop(): Promise<void>;
}

/** A wait that can be ended from outside: the signal handed out last aborts at the next `wake`. */
interface Waker {
  signal(): AbortSignal;
  wake(): void;
}

const createWaker = (): Waker => {
  let controller = new AbortController();
  return {
    signal: () => controller.signal,
    wake: () => {
      controller.abort("woken");
      controller = new AbortController();
    },
  };
};

/** The parts of one mailbox while it works. */
interface Workplace {
  parts: RunnerParts;
  mailbox: MailboxSettings;
  memory: FolderMemory;
  connection: Connection;
  attachments: Connection;
  tenure: Tenure;
  state: StateWord;
  /** Begin nothing new. */
  stop: AbortController;
  /** End what is in flight. */
  hard: AbortController;
  pollerWaker: Waker;
  spoolWaker: Waker;
}

/** Both connections of a mailbox. */
type ConnectionsOf = Pick<Workplace, "connection" | "attachments">;

const destroyConnections = ({ connection, attachments }: ConnectionsOf): void => {
  connection.destroy();
  attachments.destroy();
};

const closeConnections = async ({ connection, attachments }: ConnectionsOf): Promise<void> => {
  await Promise.all([connection.close(), attachments.close()]);
};

/** Runs one piece of a cycle's work under the lease and the watch of its deadlines. */
const watched = async <T>(
  place: Workplace,
  run: (context: FolderContext) => Promise<T>,
): Promise<T> => {
  const { parts, mailbox, memory, connection, attachments, tenure, stop, hard } = place;
  // Asked for each time: it is another one from the day on which the state is first shared.
  const hmacKey = await parts.store.hmacKey();
  const contextOf = (lease: Lease, watch: AbortSignal): FolderContext => {
    const abort = AbortSignal.any([hard.signal, lease.signal, watch]);
    return {
      ...parts,
      store: createLeasedStore(parts.store, lease.signal),
      hmacKey,
      mailbox,
      connection,
      attachments,
      memory,
      hot: parts.currentHot(),
      lease,
      spooled: place.spoolWaker.wake,
      stop: stop.signal,
      abort,
      ending: AbortSignal.any([stop.signal, abort]),
    };
  };
  return tenure.during((lease) =>
    watchCycle(parts.clock, {
      progress: () => connection.bytesRead() + memory.progress,
      // What was delivered stays uncommitted as long as the store refuses it, and not a moment longer.
      isExempt: () => memory.commitFailing || memory.delivering > 0,
      abort: () => {
        parts.log("cycle.overdue", { mailbox: mailbox.id });
        destroyConnections(place);
      },
      wedged: () => {
        parts.log("cycle.wedged", { mailbox: mailbox.id });
        parts.exit(EXIT_WEDGED);
      },
      run: (signal) => run(contextOf(lease, signal)),
    }),
  );
};

const firstContact = async (place: Workplace): Promise<void> => {
  const { parts, mailbox, memory } = place;
  memory.cursor ??= await parts.store.readCursor(mailbox.id, mailbox.folder);
  if (memory.cursor === null) await watched(place, ensureBaseline);
};

const waitForMail = async (place: Workplace, ms: number, woken: AbortSignal): Promise<void> => {
  const { stop, tenure, memory, connection, mailbox, parts } = place;
  const lease = tenure.lease();
  // Other folders of the account are waiting for a connection: each has its turn.
  const isWanted = parts.accounts.isWanted(mailbox.imap);
  const ends = [stop.signal, woken, ...(lease === null ? [] : [lease.signal])];
  if (isWanted) {
    await closeConnections(place);
    await parts.clock.sleep(ms, AbortSignal.any(ends));
    return;
  }
  memory.pushed = (await connection.wait(ms, AbortSignal.any(ends))) === "news";
};

/** A mailbox whose state is lost everywhere waits for an operator: no guess is right. */
const isUndecided = async ({ parts, mailbox, memory }: Workplace): Promise<boolean> => {
  const { clustered, store, log } = parts;
  if (clustered === null || memory.cursor !== null) return false;
  memory.cursor = await store.readCursor(mailbox.id, mailbox.folder);
  if (memory.cursor !== null || clustered.islands.has(mailbox.id)) return false;
  const decision = await clustered.decide(mailbox);
  if (decision === "needs_decision" && !memory.askedDecision) {
    memory.askedDecision = true;
    log("mailbox.needs_decision", { mailbox: mailbox.id });
  }
  return decision === "needs_decision";
};

/** Takes or confirms the lease; with a new one, what earlier holders left in the spool is worked off. */
const takeLock = async (place: Workplace): Promise<LockAnswer> => {
  const { tenure, spoolWaker } = place;
  const before = tenure.lease();
  const answer = await tenure.take();
  if (tenure.lease() !== before) spoolWaker.wake();
  if (answer.kind === "held" && (await isUndecided(place))) {
    return { kind: "refused", word: "needs_decision", waitMs: DECISION_WAIT_MS };
  }
  return answer;
};

const runPoller = (place: Workplace, judge: FailureJudge) => {
  let woken = place.pollerWaker.signal();
  return backgroundEmailPollerLoop({
    clock: place.parts.clock,
    stop: place.stop.signal,
    activityAt,
    settings: async () => (await place.parts.refreshHot()).polling,
    lock: () => {
      // Taken at the beginning of a turn, so that a look asked for while it lasts is not slept over.
      woken = place.pollerWaker.signal();
      return takeLock(place);
    },
    connect: async () => void (await place.connection.session()),
    firstContact: () => firstContact(place),
    cycle: async () => {
      const result = await watched(place, runCycle);
      judge.finished();
      return result;
    },
    waitForMail: (ms) => waitForMail(place, ms, woken),
    waitIdle: (ms) => place.parts.clock.sleep(ms, AbortSignal.any([place.stop.signal, woken])),
    disconnect: () => closeConnections(place),
    failed: (error) => judge.judge(error),
    report: (word) => place.state.report(word),
  });
};

const workSpoolOnce = async (place: Workplace): Promise<number> => {
  const { parts, mailbox, memory, tenure, stop, hard } = place;
  if (tenure.lease() === null) return Infinity;
  const { webhook, configuredRules: rules } = parts.currentHot();
  return tenure.during((lease) => {
    const abort = AbortSignal.any([hard.signal, lease.signal]);
    return workSpool({
      ...parts,
      store: createLeasedStore(parts.store, lease.signal),
      mailboxId: mailbox.id,
      webhook,
      rules,
      lease,
      writeFailing: (isFailing) => {
        memory.spoolFailing = isFailing;
      },
      abort,
      ending: AbortSignal.any([stop.signal, abort]),
    });
  });
};

const runSpool = (place: Workplace) => {
  const { parts, mailbox, stop, spoolWaker } = place;
  const backoff = createBackoff(parts.random, SPOOL_RETRY);
  let woken = spoolWaker.signal();
  return backgroundSpoolLoop({
    clock: parts.clock,
    stop: stop.signal,
    work: async () => {
      // Taken before the work, so that what comes in while it ends is not slept over.
      woken = spoolWaker.signal();
      const restMs = await workSpoolOnce(place);
      backoff.reset();
      return restMs;
    },
    waitForWork: (ms) => parts.clock.sleep(ms, AbortSignal.any([stop.signal, woken])),
    failed: (error) => {
      // The lock has told of it already.
      if (error instanceof LeaseLostError) return LEASE_LOST_WAIT_MS;
      const waitMs = backoff.nextMs();
      parts.log("spool.failed", {
        mailbox: mailbox.id,
        code: errorCode(error),
        retry_ms: Math.round(waitMs),
      });
      return waitMs;
    },
  });
};

const liveOf = ({ parts, mailbox, memory, tenure, state }: Workplace): LiveMailbox => {
  const { state: lease, fence, sinceMs } = tenure.view();
  const { lastProofMs, cursor } = memory;
  const isFailing = memory.commitFailing || memory.spoolFailing;
  const polls = lease === "alone" ? "island" : "polling";
  const shown = state.word() === "polling" ? polls : state.word();
  // Also in the first cycle of a tenure, whose word is still that of the wait before it.
  const word = isFailing && tenure.lease() !== null ? "commit_failing" : shown;
  const { intervalMs } = parts.currentHot().polling;
  return {
    id: mailbox.id,
    state: effectiveWord({ word, lastProofMs, intervalMs, nowMs: parts.clock.wallMs() }),
    sinceMs: state.sinceMs(),
    lastProofMs,
    uidvalidity: cursor?.uidvalidity ?? null,
    settledUpTo: cursor?.settledUpTo ?? null,
    lease: { state: lease, fence, holder: null, sinceMs },
  };
};

/** Lets both loops finish, or cuts them off after the grace period; then hands the mailbox back. */
const unwind = async (place: Workplace, loops: readonly Promise<void>[]): Promise<void> => {
  const { parts, stop, hard, tenure } = place;
  stop.abort();
  const cut = parts.clock.sleep(GRACE_MS, hard.signal).then(() => {
    hard.abort();
    destroyConnections(place);
  });
  await Promise.allSettled(loops);
  hard.abort();
  await cut;
  await tenure.handBack();
};

/** Starts the work on a mailbox. */
export const startMailbox = (parts: RunnerParts, mailbox: MailboxSettings): MailboxRunner => {
  const { clock, log } = parts;
  const memory = createFolderMemory();
  const judge = createFailureJudge(parts, mailbox.id);
  const stop = new AbortController();
  const connection = createConnection({
    clock,
    stop: stop.signal,
    openSession: parts.accounts.openSession,
    request: () => ({
      imap: mailbox.imap,
      folder: mailbox.folder,
      readOnly: mailbox.afterDelivery.kind === "none",
    }),
    opened: (session) => {
      judge.connected();
      log("mailbox.connected", { mailbox: mailbox.id, idle: session.folder.canIdle });
      if (mailbox.afterDelivery.kind === "delete") warnOfMissingUidplus(parts, mailbox, session);
    },
  });
  const attachments = createAttachmentConnection({
    clock,
    stop: stop.signal,
    openSession: parts.accounts.openSession,
    request: () => ({ imap: mailbox.imap, folder: mailbox.folder, readOnly: true }),
  });
  const lost = (): void => destroyConnections({ connection, attachments });
  const place: Workplace = {
    parts,
    mailbox,
    memory,
    connection,
    attachments,
    tenure: createTenure(parts, mailbox, { memory, lost }),
    state: createStateWord(parts, mailbox.id),
    stop,
    hard: new AbortController(),
    pollerWaker: createWaker(),
    spoolWaker: createWaker(),
  };
  parts.metrics.lastProofAge(mailbox.id, () =>
    memory.lastProofMs === null ? null : (clock.wallMs() - memory.lastProofMs) / 1000,
  );
  const loops = [runPoller(place, judge), runSpool(place)];
  let stopping: Promise<void> | null = null;
  return {
    mailbox,
    wakeSpool: place.spoolWaker.wake,
    wakePoller: place.pollerWaker.wake,
    live: () => liveOf(place),
    stop: () => {
      stopping ??= unwind(place, loops);
      return stopping;
    },
  };
};
