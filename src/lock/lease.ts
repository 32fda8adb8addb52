// The lease on one mailbox as a pure state machine: (state, event, now) -> [state, commands]. The same
// machine runs over the host's flock (no deadline, no delay) and over a shared lock with a lease in it.
// It holds no clock and does no input or output; poller-lock.ts carries out its commands.
//
// The one who drives it sends one request at a time and answers each by one event: acquire by granted,
// refused or failed; renew by renewed, renewal_refused or renewal_failed; release by released or failed.
// A reply that comes after its timeout is thrown away. All times are monotonic milliseconds.

/** Durations of a lease (DESIGN section 5). `leaseMs: Infinity` is a lock that its owner cannot outlive. */
export interface LeaseConstants {
  leaseMs: number;
  /** Taken off each deadline: clocks that drift, and the time between a check and its effect. */
  marginMs: number;
  renewEveryMs: number;
  /** How long a new holder waits after an unclean hand-over before its first effect. */
  lockDelayMs: number;
  /** An effect starts only when this much of the lease is left. */
  startGuardMs: number;
  /** After a refusal or an unanswered request. */
  retryMs: number;
  /** How often a refusal that goes on is worth a warning. */
  warnEveryMs: number;
}

/** The lease over flock alone: the kernel frees it with its process. */
export const LOCAL_LEASE: LeaseConstants = {
  leaseMs: Infinity,
  marginMs: 2150,
  renewEveryMs: 5000,
  lockDelayMs: 0,
  startGuardMs: 4000,
  retryMs: 1000,
  warnEveryMs: 300_000,
};

/** The lease inside the time to live of a lock in Redis. */
export const SHARED_LEASE: LeaseConstants = {
  ...LOCAL_LEASE,
  leaseMs: 15_000,
  lockDelayMs: 16_000,
};

/** Why a lock was not given. `foreign_lock`: what stands there is not of our making. */
export type RefusalReason =
  | "held_by_other"
  /** Another process of this host has the lock file, whatever Redis says. */
  | "held_on_host"
  | "lock_file_error"
  | "foreign_lock"
  | "redis_noauth"
  | "redis_readonly"
  | "redis_oom"
  | "redis_unsafe";

/**
 * Why a lease ended against our will. `vanished`: somebody deleted the lock, or Redis lost it.
 * `state_lost`: Redis lost what was written under it.
 */
export type LossReason =
  | "expired"
  | "taken_over"
  | "vanished"
  | "state_lost"
  | "lock_file_replaced";

/** A holder's sign of life, and since when we see it unchanged. */
export interface Pulse {
  pulse: string;
  sinceMs: number;
}

/** What was seen while waiting for a lock that somebody else has. */
export interface Waiting {
  reason: RefusalReason | "unreachable";
  /** Who has it, or the error code; a change is worth a warning. */
  holder: string | null;
  sinceMs: number;
  /** The holder's sign of life, which each renewal changes; null: a lock never taken over. */
  pulse: string | null;
  pulseSinceMs: number;
  retryAtMs: number;
  /** Refusals since the last warning. */
  refusals: number;
  warnedMs: number;
}

/**
 * A lock that is ours until `deadlineMs`; `renewAtMs` is Infinity while a renewal is under way. `alone`:
 * the shared lock cannot be reached, and the host's lock alone makes it ours.
 */
interface Holding {
  fence: number;
  deadlineMs: number;
  renewAtMs: number;
  alone: boolean;
}

/**
 * Where a lease stands.
 *
 * - `free`: nobody here wants the lock.
 * - `acquiring`: a request is out. `giveUp`: nobody wants it any more, a grant goes straight back.
 * - `standby`: somebody else has it, or it cannot be reached; tried again at `retryAtMs`.
 * - `lock_delay`: ours, but the last holder did not sign off and may still be at work: renew and wait.
 * - `held`: ours; effects may start while {@link mayStart} says so.
 * - `releasing`: work has ended and the lock is on its way back.
 * - `lost`: no longer ours while work may be in flight; `release` says that the work has ended.
 */
export type LeaseState =
  | { kind: "free" }
  | { kind: "acquiring"; waiting: Waiting | null; giveUp: boolean }
  | ({ kind: "standby" } & Waiting)
  | ({ kind: "lock_delay"; untilMs: number } & Holding)
  | ({ kind: "held"; sinceMs: number } & Holding)
  | { kind: "releasing" }
  | { kind: "lost"; reason: LossReason };

/** What happens to a lease. `sentMs`: when the request was sent that this answers. */
export type LeaseEvent =
  /** Somebody wants to work now: acquire, or renew first when too little is left. */
  | { kind: "wanted"; seen?: Pulse | null }
  /** `clean`: the holder before us signed off, so there is nobody to wait for. */
  | { kind: "granted"; fence: number; clean: boolean; sentMs: number }
  | { kind: "refused"; reason: RefusalReason; holder: string | null; pulse: string | null }
  /** No answer to acquire or release: it may or may not have been carried out. */
  | { kind: "failed" }
  | { kind: "renewed"; sentMs: number }
  /** The lock itself says that it is not ours. */
  | { kind: "renewal_refused"; reason: LossReason }
  | { kind: "renewal_failed" }
  /** The shared lock cannot be reached, and the host's lock alone is enough to go on. */
  | { kind: "went_alone"; fence: number }
  /** The shared lock can be reached again and no work is under way: ask for it. */
  | { kind: "rejoin" }
  /** The clocks disagree: renew before the next effect. A renewal under way proves nothing any more. */
  | { kind: "doubted" }
  | { kind: "tick" }
  /** All work under the lease has ended. */
  | { kind: "release" }
  | { kind: "released" };

/** What is to be done. */
export type LeaseCommand =
  /** Ask for the lock; `takeOver` also takes it from a holder whose pulse is still exactly this. */
  | { kind: "acquire"; takeOver: string | null }
  | { kind: "renew" }
  /** Give it back if it is ours; `clean` signs off, so that the next holder need not wait. */
  | { kind: "release"; clean: boolean }
  | { kind: "warn"; reason: Waiting["reason"]; holder: string | null; refusals: number }
  | { kind: "abort_work"; reason: LossReason };

/** The next state, and what is to be done. */
export type LeaseStep = readonly [LeaseState, readonly LeaseCommand[]];

/** The instant of a step, and the constants it goes by. */
export interface LeaseMoment extends LeaseConstants {
  nowMs: number;
}

/**
 * May an effect start? `renew_first`: ours, but with less than the start guard left. The check that
 * stands before every effect: it reads the clock, so it holds after a pause of any length.
 */
export const mayStart = (state: LeaseState, at: LeaseMoment): "yes" | "renew_first" | "no" => {
  if (state.kind !== "held" || at.nowMs >= state.deadlineMs) return "no";
  return state.deadlineMs - at.nowMs >= at.startGuardMs ? "yes" : "renew_first";
};

const stay = (state: LeaseState): LeaseStep => [state, []];

/** Counted from when the answered request was sent: it can only have been carried out later. */
const holding = (fence: number, sentMs: number, at: LeaseMoment): Holding => ({
  fence,
  deadlineMs: sentMs + at.leaseMs - at.marginMs,
  renewAtMs: at.leaseMs === Infinity ? Infinity : sentMs + at.renewEveryMs,
  alone: false,
});

/** A pulse that stood still for a whole lease on our own clock belongs to a dead holder. */
const acquire = (waiting: Waiting | null, seen: Pulse | null, at: LeaseMoment): LeaseStep => {
  const waited = waiting === null ? null : { pulse: waiting.pulse, sinceMs: waiting.pulseSinceMs };
  const { pulse, sinceMs } = seen ?? waited ?? { pulse: null, sinceMs: at.nowMs };
  const takeOver = at.nowMs - sinceMs >= at.leaseMs ? pulse : null;
  return [{ kind: "acquiring", waiting, giveUp: false }, [{ kind: "acquire", takeOver }]];
};

/** Work goes on, or begins, under the host's lock alone. */
const goAlone = (fence: number, { nowMs }: LeaseMoment): LeaseStep => {
  const endless = { deadlineMs: Infinity, renewAtMs: Infinity };
  return stay({ kind: "held", sinceMs: nowMs, fence, ...endless, alone: true });
};

type Ours = LeaseState & { kind: "lock_delay" | "held" };

const renew = (state: Ours): LeaseStep => [{ ...state, renewAtMs: Infinity }, [{ kind: "renew" }]];

const giveBack = (clean: boolean): LeaseStep => [
  { kind: "releasing" },
  [{ kind: "release", clean }],
];

const lose = (reason: LossReason): LeaseStep => [
  { kind: "lost", reason },
  [{ kind: "abort_work", reason }],
];

/** A new reason or holder is worth a warning, and so is every `warnEveryMs` of the same. */
const wait = (
  before: Waiting | null,
  seen: Pick<Waiting, "reason" | "holder" | "pulse">,
  { nowMs, retryMs, warnEveryMs }: LeaseMoment,
): LeaseStep => {
  const { reason, holder, pulse } = seen;
  const isNew = before === null || before.reason !== reason || before.holder !== holder;
  const warns = isNew || nowMs - before.warnedMs >= warnEveryMs;
  const refusals = (before?.refusals ?? 0) + 1;
  const state: LeaseState = {
    kind: "standby",
    reason,
    holder,
    pulse,
    sinceMs: before?.sinceMs ?? nowMs,
    pulseSinceMs: before !== null && before.pulse === pulse ? before.pulseSinceMs : nowMs,
    retryAtMs: nowMs + retryMs,
    refusals: warns ? 0 : refusals,
    warnedMs: warns ? nowMs : before.warnedMs,
  };
  return [state, warns ? [{ kind: "warn", reason, holder, refusals }] : []];
};

const whileAcquiring = (
  state: LeaseState & { kind: "acquiring" },
  event: LeaseEvent,
  at: LeaseMoment,
): LeaseStep => {
  const { waiting, giveUp } = state;
  switch (event.kind) {
    case "wanted":
      return stay({ ...state, giveUp: false });
    case "release":
      return stay({ ...state, giveUp: true });
    case "granted": {
      if (giveUp) return giveBack(false);
      const held = holding(event.fence, event.sentMs, at);
      // The delay counts from now: an older holder renewed at the latest when we took over.
      return event.clean || at.lockDelayMs === 0
        ? stay({ kind: "held", sinceMs: at.nowMs, ...held })
        : stay({ kind: "lock_delay", untilMs: at.nowMs + at.lockDelayMs, ...held });
    }
    case "refused":
      return giveUp ? stay({ kind: "free" }) : wait(waiting, event, at);
    case "failed": {
      if (giveUp) return giveBack(false);
      const pulse = waiting?.pulse ?? null;
      return wait(waiting, { reason: "unreachable", holder: null, pulse }, at);
    }
    case "went_alone":
      return giveUp ? stay({ kind: "free" }) : goAlone(event.fence, at);
    default:
      return stay(state);
  }
};

const whileOurs = (state: Ours, event: LeaseEvent, at: LeaseMoment): LeaseStep => {
  const { fence, deadlineMs, renewAtMs, alone } = state;
  switch (event.kind) {
    case "renewed": {
      // A late answer from before we went on alone.
      if (alone) return stay(state);
      const next = holding(fence, event.sentMs, at);
      return stay({ ...state, ...next, deadlineMs: Math.max(deadlineMs, next.deadlineMs) });
    }
    case "renewal_failed":
      return alone ? stay(state) : stay({ ...state, renewAtMs: at.nowMs + at.retryMs });
    case "renewal_refused":
      return lose(event.reason);
    case "went_alone":
      // Only from work under way: whoever waits out the delay has begun nothing that must go on.
      return state.kind === "held" && at.nowMs < deadlineMs ? goAlone(fence, at) : stay(state);
    case "rejoin":
      return alone ? stay({ kind: "free" }) : stay(state);
    case "doubted":
      if (deadlineMs === Infinity) return stay(state);
      return stay({
        ...state,
        deadlineMs: Math.min(deadlineMs, at.nowMs + at.startGuardMs - 1),
        renewAtMs: at.nowMs,
      });
    case "release":
      // Leaving during the delay, we cannot vouch for the holder before us: no clean sign-off.
      // Nor can we after a time alone, of which shared state knows nothing yet.
      return giveBack(state.kind === "held" && !alone);
    case "wanted":
      return renewAtMs !== Infinity && mayStart(state, at) === "renew_first"
        ? renew(state)
        : stay(state);
    case "tick": {
      if (at.nowMs >= deadlineMs) return lose("expired");
      const isOver = state.kind === "lock_delay" && at.nowMs >= state.untilMs;
      const next: Ours = isOver
        ? { kind: "held", sinceMs: at.nowMs, fence, deadlineMs, renewAtMs, alone }
        : state;
      return at.nowMs >= renewAtMs ? renew(next) : stay(next);
    }
    default:
      return stay(state);
  }
};

/** One step of the machine. Pure: the same arguments give the same answer. */
export const stepLease = (state: LeaseState, event: LeaseEvent, at: LeaseMoment): LeaseStep => {
  switch (state.kind) {
    case "free":
      return event.kind === "wanted" ? acquire(null, event.seen ?? null, at) : stay(state);
    case "standby": {
      if (event.kind === "release") return stay({ kind: "free" });
      if (event.kind === "wanted") return acquire(state, event.seen ?? null, at);
      const isDue = event.kind === "tick" && at.nowMs >= state.retryAtMs;
      return isDue ? acquire(state, null, at) : stay(state);
    }
    case "acquiring":
      return whileAcquiring(state, event, at);
    case "lock_delay":
    case "held":
      return whileOurs(state, event, at);
    case "releasing": {
      // No answer is no harm: what was not given back stands still and is taken over.
      const isDone = event.kind === "released" || event.kind === "failed";
      return stay(isDone ? { kind: "free" } : state);
    }
    case "lost":
      return event.kind === "release" ? giveBack(false) : stay(state);
  }
};
