// The daemon on fake ports under a virtual clock: the whole shipped program with the network, the disk,
// the timers and the calendar of this process made to throw. What holds here is what a simulator can
// rely on.
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import net from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startFakeDaemon } from "./support/fake-daemon.ts";

const HOUR_MS = 3_600_000;

/** Usable behind `instanceof`, as the test's own assertions need it, and with `new`. */
const forbidden = (what: string) =>
  function reached(): never {
    throw new Error(`${what} was reached around the ports`);
  };

describe("the daemon on fake ports", () => {
  const real = { Date, setTimeout, setInterval, setImmediate };
  const { readFileSync, writeFileSync, openSync, mkdirSync, statSync } = fs;
  const realFs = { readFileSync, writeFileSync, openSync, mkdirSync, statSync };
  const realNet = { connect: net.connect, createServer: net.createServer };

  beforeAll(() => {
    for (const name of [
      "readFileSync",
      "writeFileSync",
      "openSync",
      "mkdirSync",
      "statSync",
    ] as const) {
      Object.assign(fs, { [name]: forbidden(`fs.${name}`) });
    }
    Object.assign(net, {
      connect: forbidden("net.connect"),
      createServer: forbidden("net.createServer"),
    });
    syncBuiltinESMExports();
    Object.assign(globalThis, {
      Date: forbidden("Date"),
      setTimeout: forbidden("setTimeout"),
      setInterval: forbidden("setInterval"),
      setImmediate: forbidden("setImmediate"),
    });
  });

  afterAll(() => {
    Object.assign(globalThis, real);
    Object.assign(fs, realFs);
    Object.assign(net, realNet);
    syncBuiltinESMExports();
  });

  test("takes one message from arrival to commit", async () => {
    const here = await startFakeDaemon();
    await here.clock.advance(1000);
    here.server.deliver("hello", "a text");
    await here.clock.runUntil(() => here.receiver.requests.length === 1, 60_000);
    const [request] = here.receiver.requests;
    const payload = JSON.parse(request?.body ?? "") as { data: { subject: string; text: string } };
    expect(payload.data).toMatchObject({ subject: "hello", text: "a text", uid: 1 });
    expect(request?.headers).toMatchObject({ "signalpost-attempt": "1" });
    await here.stop();
    expect(here.exits).toEqual([]);
  });

  test("delivers after a receiver outage of a day, with the same id at every attempt", async () => {
    const here = await startFakeDaemon();
    here.receiver.answerWith(() => ({ kind: "failed", errorClass: "refused" }));
    await here.clock.advance(1000);
    here.server.deliver("patience", "worth waiting for");
    await here.clock.advance(24 * HOUR_MS);
    const failed = here.receiver.requests.length;
    expect(failed).toBeGreaterThan(5);
    let delivered = 0;
    here.receiver.answerWith(() => {
      delivered += 1;
      return { kind: "answered", status: 200, retryAfter: null };
    });
    await here.clock.runUntil(() => delivered > 0, HOUR_MS);
    await here.clock.advance(HOUR_MS);
    expect(delivered).toBe(1);
    const ids = new Set(here.receiver.requests.map(({ headers }) => headers["webhook-id"]));
    expect(ids.size).toBe(1);
    expect(here.eventsOf("delivery.parked")).toEqual([]);
    await here.stop();
  });

  test("backs off from a mail server that is down for ten minutes, and comes back", async () => {
    const here = await startFakeDaemon();
    await here.clock.advance(5000);
    const before = here.server.attempts.length;
    here.server.setDown(true);
    await here.clock.advance(600_000);
    // Full jitter doubling from 1 s to 5 min: about ten tries on average, never one a second.
    const tries = here.server.attempts.length - before;
    expect(tries).toBeGreaterThanOrEqual(4);
    expect(tries).toBeLessThanOrEqual(20);
    const waits = here.eventsOf("mailbox.failed").map((line) => Number(line["retry_ms"]));
    for (const [step, wait] of waits.entries()) {
      expect(wait).toBeLessThanOrEqual(Math.min(300_000, 1000 * 2 ** step));
    }
    expect(tries).toBe(waits.length - 1);
    here.server.setDown(false);
    here.server.deliver("after the outage", "still here");
    await here.clock.runUntil(() => here.receiver.requests.length === 1, 300_000);
    await here.stop();
    expect(here.exits).toEqual([]);
  });
});
