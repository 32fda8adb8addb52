// The lease in the hands of those who work under it: it is asked before every effect, and asks the clock
// each time, so that it holds after a pause of any length (DESIGN section 5). Made by poller-lock.ts.
import type { Clock } from "../core/clock.ts";
import { LeaseLostError } from "../core/errors.ts";
import { mayStart } from "./lease.ts";
import type { LeaseDriver } from "./lease-driver.ts";

/** The right to poll one mailbox. */
export interface Lease {
  /** Above every fence issued before (DESIGN section 5). */
  readonly fence: number;
  /** Resolves when an effect may start now; rejects with `LeaseLostError`. Call it before each one. */
  assert(): Promise<void>;
  /** Aborted when the lease is lost or given back; every port gets it. */
  readonly signal: AbortSignal;
}

/** The wall clock may drift this far from the monotonic one before the next effect renews first. */
const CLOCK_STEP_MS = 500;

/** Hands out a lease under `fence`. */
export const createLease = (deps: {
  clock: Clock;
  driver: LeaseDriver;
  fence: number;
  signal: AbortSignal;
  /** Is it still the one in force? */
  isCurrent(): boolean;
  /** Looks whether the lock file is still the locked one, and tells the driver. */
  look(): void;
}): Lease => {
  const { clock, driver, fence, signal } = deps;
  const gapMs = (): number => clock.wallMs() - clock.monoMs();
  let knownGapMs = gapMs();
  /** A clock that was set, or a host that slept: the lease's clock may be the one that is wrong. */
  const compareClocks = (): void => {
    if (Math.abs(gapMs() - knownGapMs) <= CLOCK_STEP_MS) return;
    knownGapMs = gapMs();
    driver.apply({ kind: "doubted" });
  };
  return {
    fence,
    signal,
    async assert() {
      let hasAsked = false;
      for (;;) {
        if (!deps.isCurrent()) throw new LeaseLostError("it was given back");
        deps.look();
        compareClocks();
        const answer = mayStart(driver.state(), driver.moment());
        if (answer === "yes") return;
        if (answer === "no") {
          throw new LeaseLostError("another process has taken the mailbox, or its lock file");
        }
        // Once: when the renewal fails, the driver repeats it each second.
        if (!hasAsked) driver.apply({ kind: "wanted" });
        hasAsked = true;
        // Waits from here on: the event just applied would end the wait at once, for ever.
        await driver.changed();
      }
    },
  };
};
