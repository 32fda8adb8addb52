// One mailbox's spool worked off by hand, on a store in memory and a network that answers as told: what
// is sent when, what a failing store must not cost, and how much is in memory at a time.
import { describe, expect, test } from "vitest";
import { createSeededRandom } from "../../test/support/seeded-random.ts";
import { createVirtualClock } from "../../test/support/virtual-clock.ts";
import { createMetrics } from "../app-logging/metrics.ts";
import type { WebhookSettings } from "../core/settings.ts";
import type { HttpResult } from "../net/send-http.ts";
import { createGate } from "../resilience/gate.ts";
import { openSqliteMemory } from "../store/sqlite.adapter.ts";
import { createSqliteStore } from "../store/sqlite.ts";
import type { SpoolEntry, Store } from "../store/store.ts";
import { createDeliver } from "../webhook/deliver.ts";
import { createDestinations } from "../webhook/destinations.ts";
import { type SpoolContext, workSpool } from "./work-spool.ts";

const HOUR_MS = 3_600_000;
const SECRET = `whsec_${Buffer.alloc(32, 7).toString("base64")}`;

const webhookOf = (maxAttempts: number): WebhookSettings => ({
  url: "https://hooks.example.com/in",
  ...{
    secrets: [SECRET],
    namedSecrets: new Map(),
    timeoutMs: 30_000,
    concurrency: 16,
    maxAttempts,
  },
  allowPrivateAddresses: false,
});

const OK: HttpResult = { kind: "answered", status: 200, retryAfter: null };
const REFUSED: HttpResult = { kind: "failed", errorClass: "refused" };

/** A spool with what it takes; `broken` names store methods that throw while it holds them. */
const start = ({ maxAttempts = 20, capacityBytes = 1_000_000 } = {}) => {
  const clock = createVirtualClock();
  const random = createSeededRandom(3);
  const lines: { event: string; reason?: unknown }[] = [];
  const log: SpoolContext["log"] = (event, fields = {}) => void lines.push({ event, ...fields });
  const broken = new Set<keyof Store>();
  const real = createSqliteStore({ database: openSqliteMemory(), random, spoolKeys: [] });
  const store = new Proxy(real, {
    get: (target, name: keyof Store, receiver): unknown =>
      broken.has(name)
        ? () => Promise.reject(new Error("busy"))
        : Reflect.get(target, name, receiver),
  });
  const network = { answer: (): HttpResult | Promise<HttpResult> => OK, requests: 0 };
  const sendHttp = async (): Promise<HttpResult> => {
    network.requests += 1;
    return network.answer();
  };
  const destinations = createDestinations({ clock, log });
  const bytesInFlight = createGate(capacityBytes);
  const stop = new AbortController();
  let woken = 0;
  const contextOf = (mailboxId: string): SpoolContext => ({
    ...{ clock, random, log, store, destinations, bytesInFlight, mailboxId },
    metrics: createMetrics(),
    deliver: createDeliver({ clock, sendHttp, destinations, finishPayload: null }),
    webhook: webhookOf(maxAttempts),
    rules: [],
    lease: { fence: 1, assert: async () => undefined, signal: stop.signal },
    wakeSpools: () => void (woken += 1),
    writeFailing: () => undefined,
    abort: stop.signal,
    ending: stop.signal,
  });
  const spool = async (mailbox: string, uids: readonly number[], fields = {}): Promise<void> => {
    const entries = uids.map((uid): SpoolEntry => ({
      ...{ eventId: `evt_${mailbox}_${uid}`, destination: "default", mailbox, uid },
      ...{ state: "waiting", attempts: 1, counted: 1, nextAttemptMs: clock.wallMs() },
      ...{ errorClass: "refused", reason: null, sinceMs: clock.wallMs(), parkedMs: null },
      payload: "x".repeat(1000),
      ...fields,
    }));
    await real.commit({ mailbox, fence: 1, spool: entries });
  };
  const breakDefault = (): void => {
    for (let n = 0; n < 5; n += 1) destinations.failed("default", { probe: false });
  };
  const parts = { clock, lines, broken, network, store: real, destinations, bytesInFlight, stop };
  return { ...parts, context: contextOf("m"), contextOf, spool, breakDefault, woken: () => woken };
};

/** Works until there is nothing to do at once; milliseconds until there is. */
const workOff = async (context: SpoolContext): Promise<number> => {
  for (;;) {
    const restMs = await workSpool(context);
    if (restMs > 0) return restMs;
  }
};

describe("rest", () => {
  test("is endless when a broken destination is all there is and nothing waits for it", async () => {
    const { clock, context, breakDefault } = start();
    breakDefault();
    expect(await workOff(context)).toBe(Infinity);
    await clock.advance(60_000);
    expect(await workOff(context)).toBe(Infinity);
  });

  test("ends at the next probe of a destination that something of this mailbox waits for", async () => {
    const { clock, context, contextOf, spool, breakDefault, network } = start();
    network.answer = () => REFUSED;
    await spool("m", [1]);
    breakDefault();
    expect(await workOff(context)).toBe(30_000);
    expect(await workOff(contextOf("other"))).toBe(Infinity);
    await clock.advance(30_000);
    expect(await workOff(context)).toBe(60_000);
    expect(network.requests).toBe(1);
  });
});

describe("giving up", () => {
  test("no entry behind a broken destination is parked within 47 hours, however few attempts", async () => {
    const { clock, context, spool, breakDefault, network, lines } = start({ maxAttempts: 3 });
    network.answer = () => REFUSED;
    await spool("m", [1, 2]);
    breakDefault();
    const startedMs = clock.now();
    const parked = (): unknown[] => lines.filter(({ event }) => event === "delivery.parked");
    while (clock.now() - startedMs < 46.9 * HOUR_MS) await clock.advance(await workOff(context));
    expect(network.requests).toBeGreaterThan(500);
    expect(parked()).toEqual([]);
    await clock.advance(HOUR_MS);
    await workOff(context);
    expect(parked()).toMatchObject([{ reason: "attempts_exhausted" }]);
  });

  test("an entry that is tried, not probed, is parked after its attempts", async () => {
    const { clock, context, spool, network, lines } = start({ maxAttempts: 3 });
    network.answer = () => REFUSED;
    await spool("m", [1]);
    for (let looks = 0; looks < 4; looks += 1) {
      await workOff(context);
      await clock.advance(60_000);
    }
    expect(network.requests).toBe(2);
    expect(lines.at(-1)).toMatchObject({ event: "delivery.parked", reason: "attempts_exhausted" });
  });
});

describe("a store that fails", () => {
  test("does not cost what waited behind a breaker its early turn", async () => {
    const { clock, context, spool, breakDefault, broken, network, woken } = start();
    const nextAttemptMs = clock.wallMs() + 5 * HOUR_MS;
    await spool("m", [1, 2], { nextAttemptMs });
    breakDefault();
    await clock.advance(30_000);
    broken.add("makeDue");
    await expect(workOff(context)).rejects.toThrow("busy");
    expect(network.requests).toBe(1);
    broken.clear();
    await workOff(context);
    expect(network.requests).toBe(2);
    expect(woken()).toBe(1);
  });

  test("gives back the probes that it kept from being sent", async () => {
    const { clock, context, spool, breakDefault, destinations, store } = start();
    await spool("m", [1]);
    breakDefault();
    for (let n = 0; n < 5; n += 1) destinations.failed("rule-z", { probe: false });
    await clock.advance(30_000);
    expect(destinations.probesDue()).toEqual(["default", "rule-z"]);
    const oldestWaiting: Store["oldestWaiting"] = (mailbox, id) =>
      id === "rule-z" ? Promise.reject(new Error("busy")) : store.oldestWaiting(mailbox, id);
    const failing = { ...context, store: { ...store, oldestWaiting } };
    await expect(workOff(failing)).rejects.toThrow("busy");
    expect(destinations.probesDue()).toEqual(["default", "rule-z"]);
  });
});

describe("payloads in memory", () => {
  test("count among the bytes in flight and wait for their place before they are loaded", async () => {
    const { clock, contextOf, spool, network, bytesInFlight } = start({ capacityBytes: 5000 });
    network.answer = async () => {
      await clock.sleep(1000);
      return OK;
    };
    let most = 0;
    for (const mailbox of ["a", "b", "c"]) await spool(mailbox, [1, 2]);
    const ends = ["a", "b", "c"].map((mailbox) => workSpool(contextOf(mailbox)));
    await clock.advance(500);
    most = bytesInFlight.inUse();
    expect(network.requests).toBe(4);
    expect(most).toBe(4000);
    await clock.advance(1000);
    expect(network.requests).toBe(6);
    await clock.advance(1000);
    await Promise.all(ends);
    expect(bytesInFlight.inUse()).toBe(0);
  });

  test("a stop ends the wait for a place and sends nothing", async () => {
    const { clock, context, spool, network, bytesInFlight, stop } = start({ capacityBytes: 10 });
    await bytesInFlight.acquire(10);
    await spool("m", [1]);
    const worked = workSpool(context);
    await clock.advance(1000);
    stop.abort();
    await worked;
    expect(network.requests).toBe(0);
    expect(bytesInFlight.inUse()).toBe(10);
  });
});
