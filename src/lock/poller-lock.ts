// Who may poll a mailbox: drives the lease state machine of lease.ts with the host's lock and hands out
// the lease that every effect asserts. Logs each change of hands. Called by the mailbox's loop.
import type { Log } from "../app-logging/logger.ts";
import type { Clock } from "../core/clock.ts";
import { LeaseLostError } from "../core/errors.ts";
import {
  LOCAL_LEASE,
  mayStart,
  stepLease,
  type LeaseCommand,
  type LeaseEvent,
  type LeaseMoment,
  type LeaseState,
  type RefusalReason,
} from "./lease.ts";
import type { LocalLock, TakeLocalLock } from "./local-lock.ts";

/** The right to poll one mailbox. */
export interface Lease {
  /** Above every fence issued before (DESIGN section 5). */
  readonly fence: number;
  /** Resolves when an effect may start now; rejects with `LeaseLostError`. Call it before each one. */
  assert(): Promise<void>;
  /** Aborted when the lease is lost or given back; every port gets it. */
  readonly signal: AbortSignal;
}

/**
 * The answer to one try. `lost`: the lease turned out to be lost just now; ask again when the work under
 * it has ended. `code`: the system's, for a lock file that cannot be used.
 */
export type LeaseAnswer =
  | { kind: "held"; lease: Lease }
  | { kind: "lost" }
  | { kind: "refused"; reason: RefusalReason; code: string | null };

/** The lease as `status` shows it. */
export interface LeaseView {
  state: "free" | "standby" | "held" | "lost";
  /** The fence in force, or the last one when the lease is lost; null otherwise. */
  fence: number | null;
  /** Since when it stands so, in wall milliseconds. */
  sinceMs: number;
}

/** How one try to get the lock ended; `failed`: locked, but the store issued no fence. */
export type AcquisitionResult = "acquired" | "failed" | RefusalReason;

/** What the lock of a mailbox works with. */
export interface PollerLockDeps {
  clock: Clock;
  log: Log;
  /** Mailbox id, for the log. */
  mailbox: string;
  /** Lock file, see {@link lockPathFor}. */
  path: string;
  takeLocalLock: TakeLocalLock;
  /** Asks the store for the next fence, durably. */
  issueFence: () => Promise<number>;
  /** Does another living process say that it holds this mailbox? Asked after a newer fence was seen. */
  heldElsewhere: () => Promise<boolean>;
  /** Told of every try, for the metric. */
  onAcquisition?: (result: AcquisitionResult) => void;
}

/** The lock of one mailbox. */
export interface PollerLock {
  /**
   * Returns the held lease, or tries once to get it. After a loss, call it only when the work under the
   * old lease has ended. When no fence can be issued the lock is given back and the store's error
   * escapes as it is.
   */
  acquire(): Promise<LeaseAnswer>;
  /** Gives it back, after in-flight work ended. Doing it twice is no harm. */
  release(): Promise<void>;
  /**
   * The store has seen a newer fence than that of `lease`: somebody holds the mailbox under another lock
   * file. It is lost, and not tried for again while that process lives. Nothing happens when `lease` is
   * not the present one: late news of old work says nothing of the lease taken since.
   */
  overtaken(lease: Lease): Promise<void>;
  view(): LeaseView;
}

/** So long after a newer fence was seen, its holder has told of itself if it lives. */
const STAND_OFF_MS = 10_000;

/** How often `assert` looks whether the lock file is still the locked one; a look is two system calls. */
const LOOK_EVERY_MS = 1000;

const VIEWS: Record<LeaseState["kind"], LeaseView["state"]> = {
  free: "free",
  acquiring: "free",
  releasing: "free",
  standby: "standby",
  lock_delay: "held",
  held: "held",
  lost: "lost",
};

/** The lock file of a mailbox: the bare path for `default`, as the Python service has it. */
export const lockPathFor = (base: string, mailbox: string): string =>
  mailbox === "default" ? base : `${base}.${mailbox}`;

/** One tenure of the lock: what is needed to judge it and to end it. */
interface Tenure {
  local: LocalLock;
  lease: Lease;
  controller: AbortController;
  lookedMs: number;
}

/** What a poller lock remembers. */
interface Memory {
  deps: PollerLockDeps;
  state: LeaseState;
  tenure: Tenure | null;
  view: LeaseView;
  /** When a newer fence was seen (monotonic); null: never, or its holder is gone. */
  overtakenMs: number | null;
}

const moment = ({ deps }: Memory): LeaseMoment => ({ ...LOCAL_LEASE, nowMs: deps.clock.monoMs() });

const carryOut = (memory: Memory, command: LeaseCommand): void => {
  const { deps, tenure } = memory;
  const { log, mailbox } = deps;
  switch (command.kind) {
    case "warn": {
      const { reason, holder: code, refusals } = command;
      log("lock.refused", { mailbox, reason, code, refusals });
      return;
    }
    case "abort_work":
      log("lock.lost", { mailbox, fence: tenure?.lease.fence, reason: command.reason });
      tenure?.controller.abort();
      return;
    case "release":
      tenure?.controller.abort();
      tenure?.local.release();
      if (command.clean) log("lock.released", { mailbox, fence: tenure?.lease.fence });
      memory.tenure = null;
      apply(memory, { kind: "released" });
      return;
    case "acquire":
    case "renew":
      // Acquiring is the caller's next line; a lock without a deadline is never renewed.
      return;
  }
};

const apply = (memory: Memory, event: LeaseEvent): void => {
  const [state, commands] = stepLease(memory.state, event, moment(memory));
  memory.state = state;
  const shown = VIEWS[state.kind];
  if (state.kind !== "acquiring" && shown !== memory.view.state) {
    const isKnown = shown === "held" || shown === "lost";
    const fence = isKnown ? (memory.tenure?.lease.fence ?? null) : null;
    memory.view = { state: shown, fence, sinceMs: memory.deps.clock.wallMs() };
  }
  for (const command of commands) carryOut(memory, command);
};

/** Is the locked file still the one at its path? Looks when the last look is `everyMs` old. */
const look = (memory: Memory, tenure: Tenure, everyMs: number): void => {
  const nowMs = memory.deps.clock.monoMs();
  if (memory.state.kind !== "held" || nowMs - tenure.lookedMs < everyMs) return;
  tenure.lookedMs = nowMs;
  if (tenure.local.stillInPlace()) return;
  apply(memory, { kind: "renewal_refused", reason: "lock_file_replaced" });
};

const createLease = (memory: Memory, fence: number, signal: AbortSignal): Lease => ({
  fence,
  signal,
  async assert() {
    const { tenure } = memory;
    if (tenure?.lease.fence !== fence) throw new LeaseLostError("it was given back");
    look(memory, tenure, LOOK_EVERY_MS);
    if (mayStart(memory.state, moment(memory)) === "yes") return;
    throw new LeaseLostError("another process has taken the mailbox, or its lock file");
  },
});

const refuse = (memory: Memory, reason: RefusalReason, code: string | null): LeaseAnswer => {
  apply(memory, { kind: "refused", reason, holder: code, pulse: null });
  memory.deps.onAcquisition?.(reason);
  return { kind: "refused", reason, code };
};

/** The lock is ours from here on, whatever the store says; work begins under its fence. */
const begin = async (memory: Memory, local: LocalLock, sentMs: number): Promise<LeaseAnswer> => {
  const { clock, issueFence, log, mailbox, onAcquisition } = memory.deps;
  let fence: number;
  try {
    fence = await issueFence();
  } catch (error) {
    local.release();
    apply(memory, { kind: "release" });
    apply(memory, { kind: "failed" });
    onAcquisition?.("failed");
    throw error;
  }
  const controller = new AbortController();
  const lease = createLease(memory, fence, controller.signal);
  memory.tenure = { local, lease, controller, lookedMs: clock.monoMs() };
  apply(memory, { kind: "granted", fence, clean: true, sentMs });
  log("lock.acquired", { mailbox, fence });
  onAcquisition?.("acquired");
  return { kind: "held", lease };
};

/** Two processes that do not share a lock file would take the mailbox from each other for ever. */
const mustStandOff = async (memory: Memory): Promise<boolean> => {
  const { clock, heldElsewhere } = memory.deps;
  if (memory.overtakenMs === null) return false;
  if (clock.monoMs() - memory.overtakenMs < STAND_OFF_MS) return true;
  if (await heldElsewhere()) return true;
  memory.overtakenMs = null;
  return false;
};

const tryOnce = async (memory: Memory): Promise<LeaseAnswer> => {
  if (memory.state.kind === "lost") apply(memory, { kind: "release" });
  const { tenure } = memory;
  if (tenure !== null) {
    look(memory, tenure, 0);
    return tenure.controller.signal.aborted
      ? { kind: "lost" }
      : { kind: "held", lease: tenure.lease };
  }

  const { clock, path, takeLocalLock } = memory.deps;
  if (await mustStandOff(memory)) return refuse(memory, "held_by_other", "FENCED");
  apply(memory, { kind: "wanted" });
  const sentMs = clock.monoMs();
  const answer = takeLocalLock(path);
  if (answer.kind === "busy") return refuse(memory, "held_by_other", null);
  if (answer.kind === "error") return refuse(memory, "lock_file_error", answer.code);
  return begin(memory, answer.lock, sentMs);
};

/** Builds the lock of a mailbox; nothing is touched before the first `acquire`. */
export const createPollerLock = (deps: PollerLockDeps): PollerLock => {
  const memory: Memory = {
    deps,
    state: { kind: "free" },
    tenure: null,
    view: { state: "free", fence: null, sinceMs: deps.clock.wallMs() },
    overtakenMs: null,
  };
  let last: Promise<unknown> = Promise.resolve();
  /** One at a time: a release that comes while a fence is being issued waits for it. */
  const inTurn = <T>(run: () => Promise<T>): Promise<T> => {
    const mine = last.then(run);
    last = mine.catch(() => undefined);
    return mine;
  };
  return {
    acquire: () => inTurn(() => tryOnce(memory)),
    overtaken: (lease) =>
      inTurn(async () => {
        if (memory.tenure?.lease !== lease) return;
        memory.overtakenMs = deps.clock.monoMs();
        apply(memory, { kind: "renewal_refused", reason: "taken_over" });
      }),
    release: () => inTurn(async () => apply(memory, { kind: "release" })),
    view: () => memory.view,
  };
};
