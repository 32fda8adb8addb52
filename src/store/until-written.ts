// A write that must not be lost: tried again until the store takes it. What was delivered and is not
// written down would be delivered again, for as long as the disk is full. Used for the commits of a cycle
// and for what became of spooled deliveries.
import type { Log } from "../app-logging/logger.ts";
import type { Clock } from "../core/clock.ts";
import { FencedError, StateLostError, errorCode, isAbort } from "../core/errors.ts";
import type { Random } from "../core/random.ts";
import { createBackoff } from "../resilience/backoff.ts";

/** Waits between tries of a refused write. */
const RETRY = { baseMs: 500, capMs: 10_000 };

/** What writing again and again takes. */
export interface WriteParts {
  clock: Clock;
  random: Random;
  log: Log;
  /** For the log. */
  mailboxId: string;
  /** Asserted before each try. */
  lease: { assert(): Promise<void> };
  /** Told after each try: did the store refuse it? */
  writeFailing(isFailing: boolean): void;
  /** Ends the waiting. */
  abort: AbortSignal;
}

/** What no further try can change. */
const isFinal = (error: unknown): boolean =>
  error instanceof FencedError || error instanceof StateLostError || isAbort(error);

/**
 * The result of `write`, once it succeeds; it is given the number of tries that failed before. Rejects
 * with `LeaseLostError` when the lease is lost, with `FencedError` when a newer fence was issued, with
 * `StateLostError` when the store is not as this holder left it, and with an `AbortError` when `abort` ends the waiting or the store itself gave the write up.
 */
export const untilWritten = async <T>(
  { clock, random, log, mailboxId, lease, writeFailing, abort }: WriteParts,
  write: (failures: number) => Promise<T>,
): Promise<T> => {
  const backoff = createBackoff(random, RETRY);
  for (let failures = 0; ;) {
    await lease.assert();
    try {
      const written = await write(failures);
      writeFailing(false);
      return written;
    } catch (error) {
      if (isFinal(error)) throw error;
      failures += 1;
      writeFailing(true);
      log("commit.failed", { mailbox: mailboxId, code: errorCode(error), failures });
      await clock.sleep(backoff.nextMs(), abort);
      if (abort.aborted) throw new DOMException("the write was given up", "AbortError");
    }
  }
};
