// What an error of the poller's loop means: the word for `/readyz`, the line for the log, and how long
// to back off before the next try. One judge per mailbox, because it remembers how often it failed.
import type { Log } from "../../app-logging/logger.ts";
import type { Metrics } from "../../app-logging/metrics.ts";
import type { Clock } from "../../core/clock.ts";
import {
  DeadlineError,
  LeaseLostError,
  MailError,
  type MailFailure,
  errorCode,
  isAbort,
} from "../../core/errors.ts";
import type { Random } from "../../core/random.ts";
import { SuspectError } from "../../orchestrator/reading/suspects.ts";
import type { Failure, LockWord, PollerWord } from "../../poller/background-email-poller-loop.ts";
import { RedisError, type RedisFailure } from "../../redis/redis.ts";
import { createBackoff } from "../../resilience/backoff.ts";

/** A connection that lived this long was a good one: the next back-off starts small again. */
const STABLE_MS = 2 * 60_000;

/** Full jitter from 1 s to 5 min (DESIGN section 6). */
const RECONNECT = { baseMs: 1000, capMs: 5 * 60_000 };

/** Our own errors, mostly of the store, harm nobody else: tried again at least once a minute. */
const OWN = { baseMs: 1000, capMs: 60_000 };

/** Wrong credentials are not tried in a hurry: providers ban hosts that do. */
const REJECTED = { firstMs: 60_000, longestMs: 3_600_000 };

/** A server that asked to be left alone is, for at least this long. */
const THROTTLED_MS = 30_000;

/** So many reconnects a minute are made at once, because of a message; more of them back off. */
const RECONNECTS_AT_ONCE = 10;

/** They back off a little only: good mail waits behind each such message. */
const HASTY = { baseMs: 1000, capMs: 10_000 };

const WORDS: Record<MailFailure, PollerWord> = {
  unreachable: "unreachable",
  closed: "unreachable",
  refused: "unreachable",
  rejected: "rejected",
  throttled: "throttled",
  folder_missing: "folder_missing",
  uidvalidity_invalid: "uidvalidity_invalid",
};

/** What Redis answers, in a word of `/readyz`. */
const REDIS_WORDS: Readonly<Record<RedisFailure, LockWord>> = {
  unreachable: "waiting_for_redis",
  noauth: "redis_noauth",
  readonly: "redis_readonly",
  oom: "redis_oom",
  wrong_type: "foreign_lock",
  other: "waiting_for_redis",
};

/** Judges errors of one mailbox. */
export interface FailureJudge {
  /** A session was opened. */
  connected(): void;
  /** A look ended well. */
  finished(): void;
  /** Logs the error once and says what follows from it. */
  judge(error: unknown): Failure;
}

/** A judge without a past. */
export const createFailureJudge = (
  deps: { clock: Clock; random: Random; log: Log; metrics: Metrics },
  mailbox: string,
): FailureJudge => {
  const { clock, random, log, metrics } = deps;
  const reconnect = createBackoff(random, RECONNECT);
  const own = createBackoff(random, OWN);
  const hasty = createBackoff(random, HASTY);
  let rejections = 0;
  let suspected: number[] = [];
  let connectedAtMs: number | null = null;

  /** Has this mailbox reconnected at once too often within a minute? Providers count log-ins. */
  const isOverBudget = (): boolean => {
    const nowMs = clock.monoMs();
    suspected = [...suspected.filter((ms) => nowMs - ms < 60_000), nowMs];
    return suspected.length > RECONNECTS_AT_ONCE;
  };

  const waitFor = (failure: MailFailure): number => {
    if (failure === "rejected") {
      const waitMs = Math.min(REJECTED.firstMs * 2 ** rejections, REJECTED.longestMs);
      rejections += 1;
      return waitMs;
    }
    const waitMs = reconnect.nextMs();
    return failure === "throttled" ? THROTTLED_MS + waitMs : waitMs;
  };

  const ofMail = (failure: MailFailure, error: unknown): Failure => {
    if (connectedAtMs !== null && clock.monoMs() - connectedAtMs >= STABLE_MS) reconnect.reset();
    connectedAtMs = null;
    const waitMs = waitFor(failure);
    metrics.reconnect(mailbox, failure);
    log("mailbox.failed", {
      mailbox,
      failure,
      code: errorCode(error),
      hint: error instanceof MailError ? (error.hint ?? null) : null,
      retry_ms: Math.round(waitMs),
    });
    return { word: WORDS[failure], waitMs };
  };

  return {
    connected: () => {
      rejections = 0;
      connectedAtMs = clock.monoMs();
    },
    finished: () => own.reset(),
    judge: (error) => {
      if (error instanceof SuspectError) {
        metrics.reconnect(mailbox, "suspect");
        return { word: "polling", waitMs: isOverBudget() ? hasty.nextMs() : 0 };
      }
      if (error instanceof MailError) return ofMail(error.failure, error);
      if (error instanceof DeadlineError) return ofMail("unreachable", error);
      // The lock has told of it already.
      if (error instanceof LeaseLostError) return { word: "standby", waitMs: 1000 };
      const waitMs = own.nextMs();
      const word = error instanceof RedisError ? REDIS_WORDS[error.failure] : "commit_failing";
      if (isAbort(error)) return { word: "polling", waitMs };
      log("cycle.failed", { mailbox, code: errorCode(error), retry_ms: Math.round(waitMs) });
      return { word, waitMs };
    },
  };
};
