// The loop of one mailbox: take the lock, look at the clock, look at the folder, wait for mail, and
// never end on an error. Everything it needs comes in by parameter and it holds no module state, so
// tests and the simulator drive it with their own clock. Called by the daemon, once per mailbox.
import type { Clock } from "../core/clock.ts";
import type { CycleResult } from "../core/outcome.ts";
import type { PollingSettings } from "../core/settings.ts";
import type { Activity } from "./schedule.ts";

/**
 * May this process poll the mailbox now? `delayed`: soon, when the former holder must have stopped.
 * `waitMs`: when to ask again.
 */
export type LockAnswer =
  | { kind: "held" }
  | { kind: "delayed"; waitMs: number }
  | { kind: "refused"; word: LockWord; waitMs: number };

/** Why the mailbox is not polled here. */
export type LockWord =
  | "standby"
  | "lock_file_error"
  | "foreign_lock"
  | "waiting_for_redis"
  | "needs_decision"
  | "redis_noauth"
  | "redis_readonly"
  | "redis_oom"
  | "redis_unsafe";

/** The states that a loop can be in (DESIGN section 10). */
export type PollerWord =
  | "polling"
  | "standby"
  | "inactive"
  | "disabled"
  | "unreachable"
  | "rejected"
  | "throttled"
  | "folder_missing"
  | "uidvalidity_invalid"
  | "spool_full"
  | "commit_failing"
  | "lock_delay"
  | LockWord;

/** What an error means for the loop: the word for `/readyz` and how long to wait. */
export interface Failure {
  word: PollerWord;
  waitMs: number;
}

/** Everything the loop touches. */
export interface PollerLoopDeps {
  clock: Clock;
  /** Ends the loop; every wait ends with it. */
  stop: AbortSignal;
  /** The polling settings in force, looked at afresh. Never rejects: the last good ones stay. */
  settings(): Promise<PollingSettings>;
  activityAt(polling: PollingSettings, wallMs: number): Activity;
  /** Takes or confirms the lock. */
  lock(): Promise<LockAnswer>;
  /** Opens the connection ahead of time: reading is no effect. */
  connect(): Promise<void>;
  /** Sets the baseline of a folder that was never seen; cheap when it was. */
  firstContact(): Promise<void>;
  /** One look at the folder: at most 64 messages, committed when it resolves. */
  cycle(): Promise<CycleResult>;
  /** Waits until the server tells of mail, somebody asks for a look, or `ms` passed. */
  waitForMail(ms: number): Promise<void>;
  /** Waits while nothing is to be polled, until somebody asks for a look or `ms` passed. */
  waitIdle(ms: number): Promise<void>;
  /** Gives up the connection: nothing is polled for a while. */
  disconnect(): Promise<void>;
  /** Judges and logs an error of any of the above. */
  failed(error: unknown): Failure;
  /** Tells the state of the mailbox to whoever shows it. */
  report(word: PollerWord): void;
}

/** How often the configuration is looked at while nothing is polled, at least. */
const INACTIVE_LOOK_MS = 30_000;

/** How long to wait before a full spool is looked at again. */
const FULL_WAIT_MS = 5000;

const inactiveSleepMs = (
  polling: PollingSettings,
  activity: Activity & { kind: "inactive" },
  wallMs: number,
): number => {
  const untilOpening = activity.wakeMs === null ? Infinity : activity.wakeMs - wallMs;
  const longest = Math.min(polling.inactiveIntervalMs, polling.intervalMs, INACTIVE_LOOK_MS);
  return Math.max(0, Math.min(untilOpening, longest));
};

/** One turn of the loop; resolves when it is time for the next. */
const turn = async (deps: PollerLoopDeps): Promise<void> => {
  const { clock, stop } = deps;
  const answer = await deps.lock();
  if (answer.kind === "refused") {
    deps.report(answer.word);
    await deps.disconnect();
    await clock.sleep(answer.waitMs, stop);
    return;
  }
  if (answer.kind === "delayed") {
    deps.report("lock_delay");
    await deps.connect();
    await clock.sleep(answer.waitMs, stop);
    return;
  }
  const polling = await deps.settings();
  const activity = deps.activityAt(polling, clock.wallMs());
  if (activity.kind === "inactive") {
    await deps.firstContact();
    await deps.disconnect();
    deps.report(activity.reason === "disabled" ? "disabled" : "inactive");
    await deps.waitIdle(inactiveSleepMs(polling, activity, clock.wallMs()));
    return;
  }
  const result = await deps.cycle();
  if (result.kind === "full") {
    deps.report("spool_full");
    await clock.sleep(FULL_WAIT_MS, stop);
    return;
  }
  deps.report("polling");
  if (result.kind === "idle") await deps.waitForMail(polling.intervalMs);
};

/**
 * Polls one mailbox until `stop` aborts. No error ends it: each is judged by `failed`, which also says
 * how long to back off (DESIGN section 6). Resolves when the last turn has unwound.
 */
export const backgroundEmailPollerLoop = async (deps: PollerLoopDeps): Promise<void> => {
  while (!deps.stop.aborted) {
    try {
      await turn(deps);
    } catch (error) {
      if (deps.stop.aborted) break;
      const { word, waitMs } = deps.failed(error);
      deps.report(word);
      await deps.clock.sleep(waitMs, deps.stop);
    }
  }
  await deps.disconnect();
};
