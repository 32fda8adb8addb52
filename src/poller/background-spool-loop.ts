// The second loop of a mailbox: works its spool off under the lease that the poller's loop holds. It
// goes on outside the active window, because the mail in the spool is already accepted. No error ends
// it; everything it needs comes in by parameter. Called by the daemon, once per mailbox.
import type { Clock } from "../core/clock.ts";

/** Everything the loop touches. */
export interface SpoolLoopDeps {
  clock: Clock;
  stop: AbortSignal;
  /**
   * Works off what is due; resolves with the milliseconds until something may be due again (0: at
   * once). Does nothing without a lease.
   */
  work(): Promise<number>;
  /** Waits so long, or until somebody says that something changed. */
  waitForWork(ms: number): Promise<void>;
  /** Logs an error; returns how long to wait. */
  failed(error: unknown): number;
}

/** The longest sleep, in case nobody says anything. */
const LONGEST_WAIT_MS = 60_000;

/** Works the spool off until `stop` aborts. */
export const backgroundSpoolLoop = async (deps: SpoolLoopDeps): Promise<void> => {
  while (!deps.stop.aborted) {
    try {
      const restMs = await deps.work();
      if (restMs > 0) await deps.waitForWork(Math.min(restMs, LONGEST_WAIT_MS));
    } catch (error) {
      if (deps.stop.aborted) return;
      await deps.clock.sleep(deps.failed(error), deps.stop);
    }
  }
};
