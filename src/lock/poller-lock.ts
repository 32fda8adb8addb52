// Who may poll a mailbox: the host's lock first, the shared one second, under the lease state machine.
// Hands out the lease that every effect asserts, and logs each change of hands (DESIGN section 5). Called
// by the mailbox's loop.
import type { Log } from "../app-logging/logger.ts";
import type { Clock } from "../core/clock.ts";
import { createLease, type Lease } from "./held-lease.ts";
import { LOCAL_LEASE, type LossReason } from "./lease.ts";
import { createLeaseDriver, type LeaseDriver, type LeaseView } from "./lease-driver.ts";
import type { LocalLock, TakeLocalLock } from "./local-lock.ts";
import { parseLockValue } from "./lock-value.ts";
import type { SharedAnswer } from "./redis.ts";
import {
  livingHolder,
  pulseOf,
  REDIS_REASONS,
  type Refusal,
  type SharedPart,
} from "./shared-part.ts";

/**
 * The answer to one try. `delayed`: ours, but the former holder may still be at work. `lost`: the lease
 * turned out to be lost just now; ask again when the work under it has ended. `rejoin`: Redis is back
 * after a time alone; end the work under the lease, call `rejoin`, and ask again. `code`: the system's,
 * for a lock file that cannot be used.
 */
export type LeaseAnswer =
  | { kind: "held"; lease: Lease }
  | { kind: "delayed" }
  | { kind: "lost" }
  | { kind: "rejoin" }
  | { kind: "refused"; reason: Refusal; code: string | null };

/** How one try to get the lock ended; `failed`: locked, but the store issued no fence. */
export type AcquisitionResult = "acquired" | "failed" | Refusal;

/** What the lock of a mailbox works with. */
export interface PollerLockDeps {
  clock: Clock;
  log: Log;
  /** Mailbox id, for the log. */
  mailbox: string;
  /** Lock file, see {@link lockPathFor}. */
  path: string;
  takeLocalLock: TakeLocalLock;
  /** Null: this host alone. */
  shared: SharedPart | null;
  /** Asks the store for the next fence, durably; with Redis only for a time alone. */
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
  /** After the answer `rejoin`, when no work is under way: the host's lock is kept throughout. */
  rejoin(): Promise<void>;
  /** Gives it back, after in-flight work ended. Doing it twice is no harm. */
  release(): Promise<void>;
  /**
   * The store has seen a newer fence than that of `lease`: somebody holds the mailbox under another lock
   * file. It is lost, and not tried for again while that process lives. Nothing happens when `lease` is
   * not the present one: late news of old work says nothing of the lease taken since.
   */
  overtaken(lease: Lease): Promise<void>;
  /** As `overtaken`, because shared state lost what was written under it: to be tried for at once. */
  stateLost(lease: Lease): Promise<void>;
  view(): LeaseView;
}

/** So long after a newer fence was seen, its holder has told of itself if it lives. */
const STAND_OFF_MS = 10_000;

/** How often `assert` looks whether the lock file is still the locked one; a look is two system calls. */
const LOOK_EVERY_MS = 1000;

/** The lock file of a mailbox: the bare path for `default`, as the Python service has it. */
export const lockPathFor = (base: string, mailbox: string): string =>
  mailbox === "default" ? base : `${base}.${mailbox}`;

/** One tenure of the lock: what is needed to judge it and to end it. */
interface Tenure {
  lease: Lease;
  controller: AbortController;
}

/** What a poller lock remembers. */
interface Memory {
  deps: PollerLockDeps;
  driver: LeaseDriver;
  /** The host's lock: held from before the shared one is asked for until after it is given back. */
  local: LocalLock | null;
  lookedMs: number;
  tenure: Tenure | null;
  /** When a newer fence was seen (monotonic); null: never, or its holder is gone. */
  overtakenMs: number | null;
  /** Shared state does not know yet what was done alone: nobody on this host may poll before it does. */
  owesState: boolean;
}

const isOurs = ({ driver }: Memory): boolean =>
  driver.state().kind === "held" || driver.state().kind === "lock_delay";

const dropLocal = (memory: Memory): void => {
  memory.local?.release();
  memory.local = null;
};

/** Is the locked file still the one at its path? Looks when the last look is `everyMs` old. */
const look = (memory: Memory, everyMs: number): void => {
  const nowMs = memory.deps.clock.monoMs();
  if (memory.local === null || !isOurs(memory) || nowMs - memory.lookedMs < everyMs) return;
  memory.lookedMs = nowMs;
  if (memory.local.stillInPlace()) return;
  memory.driver.apply({ kind: "renewal_refused", reason: "lock_file_replaced" });
};

/** Work may begin under this fence as soon as the machine says so. */
const begin = (memory: Memory, fence: number): void => {
  const { driver, deps } = memory;
  const controller = new AbortController();
  const lease = createLease({
    ...{ clock: deps.clock, driver, fence, signal: controller.signal },
    isCurrent: () => memory.tenure?.lease === lease,
    look: () => look(memory, LOOK_EVERY_MS),
  });
  memory.tenure = { controller, lease };
  memory.lookedMs = deps.clock.monoMs();
};

const refuse = (memory: Memory, reason: Refusal, code: string | null): LeaseAnswer => {
  const { driver, deps } = memory;
  if (!memory.owesState || reason !== "unreachable") dropLocal(memory);
  driver.apply({ kind: "wanted" });
  if (reason === "unreachable") driver.apply({ kind: "failed" });
  else driver.apply({ kind: "refused", reason, holder: code, pulse: null });
  deps.onAcquisition?.(reason);
  return { kind: "refused", reason, code };
};

/** The host's lock; a refusal when it is not to be had. */
const takeLocal = (memory: Memory): LeaseAnswer | null => {
  if (memory.local !== null && !memory.local.stillInPlace()) dropLocal(memory);
  if (memory.local !== null) return null;
  const { deps } = memory;
  const answer = deps.takeLocalLock(deps.path);
  if (answer.kind === "busy") {
    return refuse(memory, deps.shared === null ? "held_by_other" : "held_on_host", null);
  }
  if (answer.kind === "error") return refuse(memory, "lock_file_error", answer.code);
  memory.local = answer.lock;
  return null;
};

/** What `run` resolves with; when it rejects, whatever was taken goes back first. */
const orAbandon = async <T>(memory: Memory, run: () => Promise<T>): Promise<T> => {
  const { driver, deps } = memory;
  try {
    return await run();
  } catch (error) {
    driver.apply({ kind: "release" });
    driver.apply({ kind: "failed" });
    await driver.released();
    deps.onAcquisition?.("failed");
    throw error;
  }
};

/** Polls under the host's lock alone, with a fence of the node's own store. */
const beginAlone = async (memory: Memory): Promise<LeaseAnswer> => {
  const { deps, driver } = memory;
  const { clock, issueFence, log, mailbox, onAcquisition, shared } = deps;
  const refusal = takeLocal(memory);
  if (refusal !== null) return refusal;
  driver.apply({ kind: "wanted" });
  const sentMs = clock.monoMs();
  shared?.wentAlone(true);
  const fence = await orAbandon(memory, issueFence);
  begin(memory, fence);
  if (shared === null) driver.apply({ kind: "granted", fence, clean: true, sentMs });
  else driver.apply({ kind: "went_alone", fence });
  log("lock.acquired", { mailbox, fence, alone: shared !== null });
  onAcquisition?.("acquired");
  return present(memory);
};

/** What the answer of the shared lock means; the host's lock goes back unless it is a grant. */
const digest = async (
  memory: Memory,
  shared: SharedPart,
  { answer, sentMs }: { answer: SharedAnswer; sentMs: number },
): Promise<LeaseAnswer> => {
  const { driver, deps } = memory;
  if (answer.kind === "granted") {
    const { fence, clean } = answer;
    await shared.raiseHighWater(fence);
    memory.owesState = false;
    begin(memory, fence);
    driver.apply({ kind: "granted", fence, clean, sentMs });
    deps.log("lock.acquired", { mailbox: deps.mailbox, fence, alone: false });
    const delayMs = clean ? 0 : shared.constants.lockDelayMs;
    if (delayMs > 0) deps.log("lock.delayed", { mailbox: deps.mailbox, fence, delay_ms: delayMs });
    deps.onAcquisition?.("acquired");
    return present(memory);
  }
  const isAway = answer.kind === "failed" && REDIS_REASONS[answer.failure] === "unreachable";
  if (!memory.owesState || !isAway) dropLocal(memory);
  if (answer.kind === "refused") {
    const value = answer.pulse === null ? null : parseLockValue(answer.pulse);
    if (value !== null) await shared.raiseHighWater(value.fence);
    const reason = value === null ? "foreign_lock" : "held_by_other";
    driver.apply({ kind: "refused", reason, holder: value?.owner ?? null, pulse: answer.pulse });
    deps.onAcquisition?.(reason);
    return { kind: "refused", reason, code: null };
  }
  const reason = answer.kind === "wrong_type" ? "foreign_lock" : REDIS_REASONS[answer.failure];
  // The key that is wrong may be another than the lock itself.
  const holder = answer.kind === "wrong_type" ? answer.what : null;
  if (reason === "unreachable") driver.apply({ kind: "failed" });
  else driver.apply({ kind: "refused", reason, holder, pulse: null });
  deps.onAcquisition?.(reason);
  return { kind: "refused", reason, code: holder };
};

const askShared = async (memory: Memory, shared: SharedPart): Promise<LeaseAnswer> => {
  const { driver, deps } = memory;
  const nowMs = deps.clock.monoMs();
  const holder = livingHolder(shared, nowMs);
  if (holder !== null) {
    driver.apply({ kind: "wanted" });
    const answer = { kind: "refused", pulse: holder } as const;
    return orAbandon(memory, () => digest(memory, shared, { answer, sentMs: nowMs }));
  }
  const refusal = takeLocal(memory);
  if (refusal !== null) return refusal;
  const takeOver = driver.want(pulseOf(shared));
  return orAbandon(memory, async () => {
    const highWater = await shared.highWater();
    const sentMs = deps.clock.monoMs();
    const answer = await shared.lock.acquire(takeOver, highWater);
    return digest(memory, shared, { answer, sentMs });
  });
};

/** One try for a lock that Redis has a say in. */
const tryShared = async (memory: Memory, shared: SharedPart): Promise<LeaseAnswer> => {
  const { clock } = memory.deps;
  const health = shared.health();
  if (health === "unsafe") return refuse(memory, "redis_unsafe", null);
  if (health === "usable") {
    if (!shared.mayTake()) {
      // After a time alone the host's lock is kept until somebody else has the mailbox.
      if (livingHolder(shared, clock.monoMs()) !== null) dropLocal(memory);
      return { kind: "refused", reason: "held_by_other", code: null };
    }
    return askShared(memory, shared);
  }
  const { failure, sinceMs } = health;
  const isLong = clock.monoMs() - sinceMs >= shared.constants.leaseMs;
  if (failure === "unreachable" && isLong && (await shared.mayGoAlone())) return beginAlone(memory);
  return refuse(memory, REDIS_REASONS[failure], null);
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

/** Redis does not answer; any answer, a refusal too, ends a time alone. */
const isAway = ({ health }: SharedPart): boolean => {
  const present = health();
  return typeof present === "object" && present.failure === "unreachable";
};

/** The lease as it stands, when it is ours or was until just now. */
const present = ({ driver, tenure, deps }: Memory): LeaseAnswer => {
  const state = driver.state();
  if (tenure === null || tenure.controller.signal.aborted) return { kind: "lost" };
  if (state.kind === "lock_delay") return { kind: "delayed" };
  const isAlone = state.kind === "held" && state.alone;
  if (isAlone && deps.shared !== null && !isAway(deps.shared)) return { kind: "rejoin" };
  return { kind: "held", lease: tenure.lease };
};

const tryOnce = async (memory: Memory): Promise<LeaseAnswer> => {
  const { driver, deps } = memory;
  if (driver.state().kind === "lost") {
    driver.apply({ kind: "release" });
    await driver.released();
  }
  if (isOurs(memory)) {
    look(memory, 0);
    return present(memory);
  }
  if (await mustStandOff(memory)) return refuse(memory, "held_by_other", "FENCED");
  return deps.shared === null ? beginAlone(memory) : tryShared(memory, deps.shared);
};

const carriedOut = async (memory: Memory, clean: boolean): Promise<boolean> => {
  const { tenure, deps } = memory;
  const { log, mailbox, shared } = deps;
  tenure?.controller.abort();
  const isAnswered = shared === null || (await shared.lock.release(clean));
  dropLocal(memory);
  shared?.wentAlone(false);
  if (clean) log("lock.released", { mailbox, fence: tenure?.lease.fence });
  memory.tenure = null;
  return isAnswered;
};

/** How old the lock of the holder that keeps us out is: a fence is at least the time it was issued. */
const holderAgeMs = ({ clock, shared }: PollerLockDeps): number | null => {
  const value = parseLockValue(shared?.seen()?.value ?? "");
  return value === null ? null : Math.max(0, Math.round(clock.wallMs() - value.fence));
};

const createMemory = (deps: PollerLockDeps): Memory => {
  const { clock, log, mailbox, shared } = deps;
  const memory: Memory = {
    deps,
    driver: createLeaseDriver({
      ...{ clock, log, mailbox, constants: shared?.constants ?? LOCAL_LEASE },
      renew: async () => shared?.lock.renew() ?? { kind: "renewed" },
      mayGoAlone: async () => (await shared?.mayGoAlone()) ?? false,
      wentAlone: () => {
        shared?.wentAlone(true);
        log("lock.alone", { mailbox, fence: memory.tenure?.lease.fence });
      },
      abortWork: (reason) => {
        log("lock.lost", { mailbox, fence: memory.tenure?.lease.fence, reason });
        memory.tenure?.controller.abort();
      },
      giveBack: (clean) => carriedOut(memory, clean),
      holderAgeMs: () => holderAgeMs(deps),
    }),
    local: null,
    lookedMs: 0,
    tenure: null,
    overtakenMs: null,
    owesState: false,
  };
  return memory;
};

/** Builds the lock of a mailbox; nothing is touched before the first `acquire`. */
export const createPollerLock = (deps: PollerLockDeps): PollerLock => {
  const memory = createMemory(deps);
  const { driver } = memory;
  let last: Promise<unknown> = Promise.resolve();
  /** One at a time: a release that comes while a fence is being issued waits for it. */
  const inTurn = <T>(run: () => Promise<T>): Promise<T> => {
    const mine = last.then(run);
    last = mine.catch(() => undefined);
    return mine;
  };
  const lose = (lease: Lease, reason: LossReason, first = (): unknown => undefined) =>
    inTurn(async () => {
      if (memory.tenure?.lease !== lease) return;
      first();
      driver.apply({ kind: "renewal_refused", reason });
    });
  return {
    acquire: () => inTurn(() => tryOnce(memory)),
    rejoin: () =>
      inTurn(async () => {
        memory.tenure?.controller.abort();
        memory.tenure = null;
        memory.owesState = true;
        deps.shared?.wentAlone(false);
        driver.apply({ kind: "rejoin" });
      }),
    overtaken: (lease) =>
      lose(lease, "taken_over", () => (memory.overtakenMs = deps.clock.monoMs())),
    stateLost: (lease) => lose(lease, "state_lost"),
    release: () =>
      inTurn(async () => {
        driver.apply({ kind: "release" });
        await driver.released();
        dropLocal(memory);
      }),
    view: () => driver.view(),
  };
};
