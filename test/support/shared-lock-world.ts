// A poller lock under virtual time between a host's lock and a shared one that are both made up: a test
// says how each answers, and reads afterwards what was asked of them, in order and with the time.
import { createPollerLock } from "../../src/lock/poller-lock.ts";
import type { Lease } from "../../src/lock/held-lease.ts";
import { SHARED_LEASE } from "../../src/lock/lease.ts";
import type { RenewalAnswer, SharedAnswer } from "../../src/lock/redis.ts";
import type { SharedPart } from "../../src/lock/shared-part.ts";
import { createVirtualClock } from "./virtual-clock.ts";

/** The process whose lock it is. */
export const ME = "aaaaaaaa-0000-4000-8000-000000000000";
/** Another one. */
export const OTHER = "bbbbbbbb-0000-4000-8000-000000000000";

/** What a test may change. */
const createSwitches = () => ({
  acquire: async (): Promise<SharedAnswer> => ({ kind: "granted", fence: 101, clean: true }),
  renew: async (): Promise<RenewalAnswer> => ({ kind: "renewed" }),
  release: async (): Promise<boolean> => true,
  raiseHighWater: async (): Promise<void> => undefined,
  mayGoAlone: async (): Promise<boolean> => true,
  issueFence: async (): Promise<number> => 500,
  seen: null as ReturnType<SharedPart["seen"]>,
  health: "usable" as ReturnType<SharedPart["health"]>,
  mayTake: true,
  isHostBusy: false,
});

/**
 * The lock; by default everything is free and granted. `calls` is what was asked of both locks and of the
 * store, `events` what was logged, each with its milliseconds.
 */
export const createSharedLockWorld = () => {
  const clock = createVirtualClock();
  const world = createSwitches();
  const calls: string[] = [];
  const events: string[] = [];
  const results: string[] = [];
  const call = (...words: unknown[]): void =>
    void calls.push([clock.now(), ...words.map(String)].join(" "));
  const shared: SharedPart = {
    lock: {
      owner: ME,
      acquire: (takeOver, highWater) => {
        call("acquire", takeOver, highWater);
        return world.acquire();
      },
      renew: () => {
        call("renew");
        return world.renew();
      },
      release: async (clean) => {
        call("release", clean ? "clean" : "unclean");
        return await world.release();
      },
    },
    constants: SHARED_LEASE,
    seen: () => world.seen,
    health: () => world.health,
    mayTake: () => world.mayTake,
    mayGoAlone: () => world.mayGoAlone(),
    highWater: async () => 40,
    raiseHighWater: (fence) => {
      call("raise", fence);
      return world.raiseHighWater();
    },
    wentAlone: (isAlone) => call(isAlone ? "alone" : "together"),
  };
  const lock = createPollerLock({
    ...{ clock, shared, mailbox: "default", path: "/somewhere/poller.lock" },
    log: (event, { fence, reason, code, refusals, delay_ms, alone } = {}) =>
      void events.push(
        [clock.now(), event, fence, reason, code, refusals, delay_ms, alone]
          .filter((part) => part !== undefined && part !== null)
          .join(" "),
      ),
    takeLocalLock: () => {
      if (world.isHostBusy) return { kind: "busy" };
      call("flock");
      return {
        kind: "held",
        lock: { stillInPlace: () => true, release: () => call("unflock") },
      };
    },
    issueFence: () => world.issueFence(),
    heldElsewhere: async () => false,
    onAcquisition: (result) => void results.push(result),
  });
  const acquire = async (): Promise<Lease> => {
    const answer = await lock.acquire();
    if (answer.kind !== "held") throw new Error(answer.kind);
    return answer.lease;
  };
  return { acquire, calls, clock, events, lock, results, world };
};
