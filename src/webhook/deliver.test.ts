// One attempt from slot to verdict: over a scripted network under a clock that the test moves, and once
// over the real one to a receiver that checks the signature.
import { describe, expect, test } from "vitest";
import { createVirtualClock } from "../../test/support/virtual-clock.ts";
import { startReceiver } from "../../test/support/receiver.ts";
import type { HttpRequest, HttpResult, SendHttp } from "../net/send-http.ts";
import { createUndiciSender } from "../net/undici-sender.adapter.ts";
import type { Destination } from "./destination.ts";
import { createDeliver, type DeliveryAttempt } from "./deliver.ts";
import { LeaseLostError } from "../core/errors.ts";
import { createDestinations } from "./destinations.ts";

const secret = `whsec_${Buffer.alloc(32, 7).toString("base64")}`;

const destination: Destination = {
  id: "default",
  url: "https://hooks.example.com/in",
  secrets: [secret],
  allowPrivateAddresses: false,
  timeoutMs: 30_000,
  concurrency: 2,
};

const attemptOf = (more: Partial<DeliveryAttempt> = {}): DeliveryAttempt => ({
  destination,
  eventId: "evt_1",
  payload: '{"a":1}',
  attempt: 3,
  fence: 1_795_507_200_001,
  assertLease: () => Promise.resolve(),
  signal: new AbortController().signal,
  ...more,
});

const answered = (status: number, retryAfter: string | null = null): HttpResult => ({
  kind: "answered",
  status,
  retryAfter,
});

/** A network that answers as told and remembers what it was asked; it hangs until aborted on "hang". */
const start = (
  answer: (n: number) => HttpResult | "hang",
  finishPayload: ((payload: string) => Promise<string>) | null = null,
) => {
  const clock = createVirtualClock();
  const requests: HttpRequest[] = [];
  const sendHttp: SendHttp = async (request) => {
    requests.push(request);
    const result = answer(requests.length);
    if (result !== "hang") return result;
    await new Promise((resolve) => request.signal.addEventListener("abort", resolve));
    return { kind: "aborted" };
  };
  const destinations = createDestinations({ clock, log: () => undefined });
  return {
    clock,
    requests,
    destinations,
    deliver: createDeliver({ clock, sendHttp, destinations, finishPayload }),
  };
};

describe("a request", () => {
  test("carries its names, its signature and the limits of its destination", async () => {
    const { requests, clock, deliver } = start(() => answered(200));
    expect(await deliver(attemptOf())).toEqual({ kind: "delivered" });
    expect(requests).toMatchObject([
      {
        url: destination.url,
        body: '{"a":1}',
        allowPrivateAddresses: false,
        connections: 2,
        headers: {
          "content-type": "application/json",
          "user-agent": "signalpost",
          "webhook-id": "evt_1",
          "webhook-timestamp": String(Math.floor(clock.wallMs() / 1000)),
          "webhook-signature": expect.stringMatching(/^v1,[A-Za-z0-9+/]{43}=$/),
          "signalpost-fence": "1795507200001",
          "signalpost-attempt": "3",
          "signalpost-destination": "default",
        },
      },
    ]);
    expect(clock.sleepers()).toBe(0);
  });

  test("is verified by a real receiver over the real network", async () => {
    const receiver = await startReceiver({ secrets: [secret] });
    const sender = createUndiciSender();
    const clock = { ...createVirtualClock(), wallMs: () => Date.now() };
    const destinations = createDestinations({ clock, log: () => undefined });
    const { sendHttp } = sender;
    const deliver = createDeliver({ clock, sendHttp, destinations, finishPayload: null });
    const loopback = { ...destination, url: receiver.url, allowPrivateAddresses: true };
    const payload = JSON.stringify({ subject: "Été 🌞" });
    const end = await deliver(attemptOf({ destination: loopback, payload }));
    await sender.close();
    await receiver.stop();
    expect(end).toEqual({ kind: "delivered" });
    expect(receiver.requests).toMatchObject([
      { id: "evt_1", attempt: 3, destination: "default", body: payload, verified: true },
    ]);
  });

  test("is signed over what the payload is made at each attempt", async () => {
    let made = 0;
    const { requests, deliver } = start(
      () => answered(200),
      async (payload) => `${payload} ${(made += 1)}`,
    );
    await deliver(attemptOf());
    await deliver(attemptOf());
    expect(requests.map(({ body }) => body)).toEqual(['{"a":1} 1', '{"a":1} 2']);
    const [first, second] = requests.map(({ headers }) => headers["webhook-signature"]);
    expect(first).not.toBe(second);
  });

  test("is not made to a URL that the egress guard refuses", async () => {
    const { requests, deliver } = start(() => answered(200));
    const refused = { kind: "failed", errorClass: "egress_refused", permanent: true };
    for (const url of ["https://127.0.0.1/", "http://hooks.example.com/", "https://2130706433/"]) {
      expect(await deliver(attemptOf({ destination: { ...destination, url } }))).toEqual(refused);
    }
    expect(requests).toHaveLength(0);
  });
});

describe("the verdict", () => {
  test.each([
    [answered(204), { kind: "delivered" }],
    [answered(302), { kind: "failed", errorClass: "redirect", permanent: true }],
    [answered(404), { kind: "failed", errorClass: "http_4xx", permanent: true }],
    [answered(429), { kind: "failed", errorClass: "http_429", permanent: false }],
    [answered(503, "soon"), { kind: "failed", errorClass: "http_5xx", permanent: false }],
    [answered(500, "60"), { kind: "failed", errorClass: "http_5xx", permanent: false }],
    [
      { kind: "failed", errorClass: "tls" } as const,
      { kind: "failed", errorClass: "tls", permanent: false },
    ],
    [
      { kind: "failed", errorClass: "egress_refused" } as const,
      { kind: "failed", errorClass: "egress_refused", permanent: true },
    ],
  ])("on %j is %j", async (answer, verdict) => {
    const { deliver } = start(() => answer);
    expect(await deliver(attemptOf())).toEqual(verdict);
  });

  test("is a timeout when no status line comes in time, and the request is aborted", async () => {
    const { clock, requests, deliver } = start(() => "hang");
    const end = deliver(attemptOf());
    await clock.advance(30_000);
    expect(await end).toEqual({ kind: "failed", errorClass: "timeout", permanent: false });
    expect(requests[0]?.signal.aborted).toBe(true);
    expect(clock.sleepers()).toBe(0);
  });
});

describe("a Retry-After", () => {
  test.each([429, 503])("with %i pauses the destination and counts for nothing", async (status) => {
    const { clock, destinations, deliver } = start(() => answered(status, "60"));
    for (let n = 0; n < 6; n += 1) {
      const untilMs = clock.wallMs() + 60_000;
      expect(await deliver(attemptOf())).toEqual({ kind: "paused", untilMs });
      expect(destinations.admission("default")).toBe("blocked");
      await clock.advance(60_000);
    }
    expect(destinations.view()).toMatchObject([{ breaker: "closed", pausedUntilMs: null }]);
  });

  test("of nothing still waits a second, so that it cannot spin", async () => {
    const { clock, deliver } = start(() => answered(429, "0"));
    const untilMs = clock.wallMs() + 1000;
    expect(await deliver(attemptOf())).toEqual({ kind: "paused", untilMs });
  });

  test("in answer to a probe gives the probe back", async () => {
    const { clock, destinations, deliver } = start(() => answered(503, "5"));
    for (let n = 0; n < 5; n += 1) destinations.failed("default", { probe: false });
    await clock.advance(30_000);
    destinations.claimProbe("default");
    await deliver(attemptOf({ probe: true }));
    expect(destinations.admission("default")).toBe("blocked");
    await clock.advance(5000);
    expect(destinations.admission("default")).toBe("probe_due");
  });
});

describe("the breaker", () => {
  test("opens after five failures, permanent ones too, and closes with a probe's success", async () => {
    const { clock, destinations, deliver } = start((n) => answered(n <= 5 ? 404 : 200));
    for (let n = 0; n < 5; n += 1) await deliver(attemptOf());
    expect(destinations.admission("default")).toBe("blocked");
    await clock.advance(30_000);
    expect(destinations.claimProbe("default")).toBe(true);
    expect(await deliver(attemptOf({ probe: true }))).toEqual({ kind: "delivered" });
    expect(destinations.admission("default")).toBe("open");
  });

  test("that opens meanwhile blocks what stands in line", async () => {
    const { clock, requests, deliver } = start(() => "hang");
    const ends = Array.from({ length: 9 }, () => deliver(attemptOf()));
    await clock.advance(90_000);
    const kinds = (await Promise.all(ends)).map(({ kind }) => kind);
    // Two at a time: the third pair brings the fifth failure, and the sixth is on its way by then.
    expect(kinds.filter((kind) => kind === "failed")).toHaveLength(6);
    expect(kinds.slice(6)).toEqual(["blocked", "blocked", "blocked"]);
    expect(requests).toHaveLength(6);
  });
});

describe("an abort", () => {
  test("ends the request and what stands in line, without harm to the breaker", async () => {
    const { destinations, deliver } = start(() => "hang");
    const abort = new AbortController();
    const ends = Array.from({ length: 9 }, () => deliver(attemptOf({ signal: abort.signal })));
    abort.abort();
    expect((await Promise.all(ends)).every(({ kind }) => kind === "aborted")).toBe(true);
    expect(destinations.view()).toMatchObject([{ breaker: "closed" }]);
    expect(destinations.gate("default", 2).inUse()).toBe(0);
  });

  test("of a probe gives the probe back", async () => {
    const { clock, destinations, deliver } = start(() => "hang");
    for (let n = 0; n < 5; n += 1) destinations.failed("default", { probe: false });
    await clock.advance(30_000);
    destinations.claimProbe("default");
    const abort = new AbortController();
    const end = deliver(attemptOf({ probe: true, signal: abort.signal }));
    abort.abort();
    expect(await end).toEqual({ kind: "aborted" });
    expect(destinations.admission("default")).toBe("probe_due");
  });

  test("under a lost lease sends nothing and gives its probe back", async () => {
    const { clock, destinations, deliver, requests } = start(() => answered(200));
    for (let n = 0; n < 5; n += 1) destinations.failed("default", { probe: false });
    await clock.advance(30_000);
    destinations.claimProbe("default");
    const assertLease = (): Promise<void> => Promise.reject(new LeaseLostError("test"));
    await expect(deliver(attemptOf({ probe: true, assertLease }))).rejects.toThrow(LeaseLostError);
    expect(requests).toEqual([]);
    expect(destinations.admission("default")).toBe("probe_due");
  });
});
