// The durations of lease and cluster at another scale, for tests of what takes minutes in earnest.
import { type Timing, TIMING } from "../../src/daemon/cluster/cluster.ts";

/** Everything that waits, `factor` times as long; a command keeps the time that a network needs. */
export const scaledTiming = (factor: number): Timing => {
  const scaled = <T extends object>(constants: T): T =>
    Object.fromEntries(
      Object.entries(constants).map(([name, ms]: [string, number]) => [name, ms * factor]),
    ) as T;
  return {
    lease: scaled(TIMING.lease),
    cluster: scaled(TIMING.cluster),
    lockTimeoutMs: Math.max(TIMING.lockTimeoutMs * factor, 250),
    copyEveryMs: TIMING.copyEveryMs * factor,
  };
};
