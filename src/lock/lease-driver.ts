// Drives the lease state machine of lease.ts over time: ticks it when something is due, sends renewals,
// tells the log, and wakes whoever waits for a change. It knows nothing of how a lock is taken; that is
// poller-lock.ts, its only user.
import type { Log } from "../app-logging/logger.ts";
import type { Clock } from "../core/clock.ts";
import {
  type LeaseCommand,
  type LeaseConstants,
  type LeaseEvent,
  type LeaseMoment,
  type LeaseState,
  type LossReason,
  type Pulse,
  stepLease,
} from "./lease.ts";
import type { RenewalAnswer } from "./redis.ts";

/** The lease as `status` shows it. `alone`: held under the host's lock, while Redis is away. */
export interface LeaseView {
  state: "free" | "standby" | "lock_delay" | "held" | "alone" | "lost";
  /** The fence in force, or the last one when the lease is lost; null otherwise. */
  fence: number | null;
  /** Since when it stands so, in wall milliseconds. */
  sinceMs: number;
}

/** What a driver works with. */
export interface LeaseDriverDeps {
  clock: Clock;
  log: Log;
  mailbox: string;
  constants: LeaseConstants;
  /** One renewal at the shared lock. */
  renew(): Promise<RenewalAnswer>;
  /** Told when a renewal failed: may the work go on under the host's lock alone? */
  mayGoAlone(): Promise<boolean>;
  /** Work goes on under the host's lock alone. */
  wentAlone(): void;
  /** The lease is lost: work must end. */
  abortWork(reason: LossReason): void;
  /** All work has ended: give back what is held. The machine hears of it by the answer. */
  giveBack(clean: boolean): Promise<boolean>;
  /** How old the holder that refused us is; null: not known. */
  holderAgeMs(): number | null;
}

/** A lease that moves. */
export interface LeaseDriver {
  state(): LeaseState;
  moment(): LeaseMoment;
  view(): LeaseView;
  apply(event: LeaseEvent): void;
  /** Somebody wants the lock: the value to take it over from, if its holder is dead; else null. */
  want(seen: Pulse | null): string | null;
  /** Resolves at the next event. */
  changed(): Promise<void>;
  /** Resolves when a release that is under way is answered. */
  released(): Promise<void>;
}

const viewStateOf = (state: LeaseState): LeaseView["state"] => {
  switch (state.kind) {
    case "held":
      return state.alone ? "alone" : "held";
    case "acquiring":
    case "releasing":
      return "free";
    default:
      return state.kind;
  }
};

/** When the machine must be ticked next; Infinity: only an event moves it. */
const dueMs = (state: LeaseState): number => {
  if (state.kind !== "held" && state.kind !== "lock_delay") return Infinity;
  const { renewAtMs, deadlineMs } = state;
  return Math.min(renewAtMs, deadlineMs, state.kind === "lock_delay" ? state.untilMs : Infinity);
};

/** A wait that every event ends. */
const createBell = (): { signal(): AbortSignal; ring(): void } => {
  let controller = new AbortController();
  return {
    signal: () => controller.signal,
    ring: () => {
      controller.abort("rung");
      controller = new AbortController();
    },
  };
};

/** The machine, and what hangs on it. */
interface Core {
  deps: LeaseDriverDeps;
  bell: ReturnType<typeof createBell>;
  state: LeaseState;
  view: LeaseView;
  /** The release that is under way. */
  releasing: Promise<void>;
  isRunning: boolean;
  /** Raised when renewals under way come to mean nothing: they are of another lease, or of a wrong clock. */
  era: number;
}

const momentOf = ({ deps: { clock, constants } }: Core): LeaseMoment => ({
  ...constants,
  nowMs: clock.monoMs(),
});

const show = (core: Core): void => {
  const { state, view, deps } = core;
  const shown = viewStateOf(state);
  if (state.kind === "acquiring" || shown === view.state) return;
  const known = shown === "lost" ? view.fence : null;
  const fence = "fence" in state ? state.fence : known;
  core.view = { state: shown, fence, sinceMs: deps.clock.wallMs() };
};

/** Close to the deadline, with no answer from Redis, the host's lock may be enough. */
const considerAlone = async (core: Core): Promise<void> => {
  const { deps, era, state } = core;
  if (state.kind !== "held" || state.alone) return;
  if (state.deadlineMs - deps.clock.monoMs() >= deps.constants.startGuardMs) return;
  // Who cannot find out may not.
  const mayGo = await deps.mayGoAlone().catch(() => false);
  if (!mayGo || core.era !== era) return;
  apply(core, { kind: "went_alone", fence: state.fence });
  if (viewStateOf(core.state) === "alone") deps.wentAlone();
};

const renew = async (core: Core): Promise<void> => {
  const { deps, era } = core;
  const sentMs = deps.clock.monoMs();
  const answer = await deps.renew();
  if (core.era !== era) return;
  switch (answer.kind) {
    case "renewed":
      apply(core, { kind: "renewed", sentMs });
      return;
    case "lost": {
      const reason = answer.vanished ? "vanished" : "taken_over";
      apply(core, { kind: "renewal_refused", reason });
      return;
    }
    case "failed":
      apply(core, { kind: "renewal_failed" });
      if (answer.failure === "unreachable") await considerAlone(core);
  }
};

const carryOut = (core: Core, command: LeaseCommand): void => {
  const { deps } = core;
  switch (command.kind) {
    case "warn": {
      const { reason, holder: code, refusals } = command;
      const age = deps.holderAgeMs();
      const { log, mailbox } = deps;
      log("lock.refused", { mailbox, reason, code, refusals, holder_age_ms: age });
      return;
    }
    case "abort_work":
      return deps.abortWork(command.reason);
    case "release":
      core.releasing = deps.giveBack(command.clean).then((isAnswered) => {
        apply(core, { kind: isAnswered ? "released" : "failed" });
      });
      return;
    case "renew":
      void renew(core);
      return;
    case "acquire":
    // The caller's next line.
  }
};

const run = async (core: Core): Promise<void> => {
  if (core.isRunning) return;
  core.isRunning = true;
  const { clock } = core.deps;
  while (dueMs(core.state) < Infinity) {
    await clock.sleep(Math.max(0, dueMs(core.state) - clock.monoMs()), core.bell.signal());
    if (clock.monoMs() >= dueMs(core.state)) apply(core, { kind: "tick" });
  }
  core.isRunning = false;
};

const apply = (core: Core, event: LeaseEvent): readonly LeaseCommand[] => {
  if (["granted", "went_alone", "doubted"].includes(event.kind)) core.era += 1;
  const [next, commands] = stepLease(core.state, event, momentOf(core));
  core.state = next;
  show(core);
  for (const command of commands) carryOut(core, command);
  core.bell.ring();
  if (dueMs(core.state) < Infinity) void run(core);
  return commands;
};

/** A lease that is free; it runs as long as it is ours. */
export const createLeaseDriver = (deps: LeaseDriverDeps): LeaseDriver => {
  const core: Core = {
    deps,
    bell: createBell(),
    state: { kind: "free" },
    view: { state: "free", fence: null, sinceMs: deps.clock.wallMs() },
    releasing: Promise.resolve(),
    isRunning: false,
    era: 0,
  };
  return {
    state: () => core.state,
    moment: () => momentOf(core),
    view: () => core.view,
    apply: (event) => void apply(core, event),
    want: (seen) => {
      const commands = apply(core, { kind: "wanted", seen });
      const command = commands.find(({ kind }) => kind === "acquire");
      return command?.kind === "acquire" ? command.takeOver : null;
    },
    changed: () => deps.clock.sleep(Infinity, core.bell.signal()),
    released: () => core.releasing,
  };
};
