// The spool of a whole daemon while a receiver is broken, on fake ports under a virtual clock: how long
// it is patient, and that it rests while there is nothing to do.
import { describe, expect, test } from "vitest";
import { startFakeDaemon } from "./support/fake-daemon.ts";

const MINUTE_MS = 60_000;

describe("the spool of a daemon", () => {
  test("gives up nothing in an evening without a receiver, however few attempts it has", async () => {
    const here = await startFakeDaemon({ webhook: { max_attempts: 3 } });
    here.receiver.answerWith(() => ({ kind: "failed", errorClass: "refused" }));
    await here.clock.advance(1000);
    for (let mail = 0; mail < 30; mail += 1) here.server.deliver(`mail ${mail}`, "text");
    await here.clock.advance(4 * 60 * MINUTE_MS);
    expect(here.eventsOf("delivery.parked")).toEqual([]);
    here.receiver.answerWith(() => ({ kind: "answered", status: 200, retryAfter: null }));
    const before = here.receiver.requests.length;
    await here.clock.advance(10 * MINUTE_MS);
    expect(here.receiver.requests.length - before).toBe(30);
    await here.stop();
  });

  test("rests when a broken destination has nothing waiting for it", async () => {
    const here = await startFakeDaemon();
    here.receiver.answerWith(() => ({ kind: "answered", status: 404, retryAfter: null }));
    await here.clock.advance(1000);
    for (let mail = 0; mail < 5; mail += 1) here.server.deliver(`mail ${mail}`, "text");
    await here.clock.advance(5000);
    expect(here.eventsOf("delivery.breaker_opened")).toHaveLength(1);
    const { sleep } = here.clock;
    const waits: number[] = [];
    here.clock.sleep = (ms, signal) => {
      waits.push(ms);
      return sleep(ms, signal);
    };
    await here.clock.advance(5 * MINUTE_MS);
    expect(waits.length).toBeGreaterThan(0);
    expect(waits.length).toBeLessThan(500);
    await here.stop();
  });
});
