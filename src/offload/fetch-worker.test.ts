// The fetch worker over a scripted network: what it is asked, which answers count, and when it is left
// alone.
import { describe, expect, test } from "vitest";
import { createVirtualClock } from "../../test/support/virtual-clock.ts";
import type { LogFields } from "../app-logging/logger.ts";
import { createMetrics } from "../app-logging/metrics.ts";
import type { ProviderLink } from "../core/message.ts";
import type { HttpRequest, HttpResult } from "../net/send-http.ts";
import { createAvailability } from "./availability.ts";
import { type LinkFetch, createFetchWorker } from "./fetch-worker.ts";
import { OutOfTimeError } from "./upload.ts";

const never = new AbortController().signal;

const SETTINGS = {
  ...{ url: "https://worker.test/fetch", token: "the token", bucket: "my-mail" },
  ...{ hosts: ["dropbox.com", "WeTransfer.com"], allowPrivateAddresses: false },
};

const SOURCE = new URL("https://www.dropbox.com/s/abc/film.zip?dl=1");

const requestOf = (fields: Partial<LinkFetch> = {}): LinkFetch => ({
  ...{ eventId: "evt_1", provider: "dropbox", source: SOURCE, signal: never },
  assertLease: () => Promise.resolve(),
  ...fields,
});

const json = (body: unknown, status = 200): HttpResult => ({
  ...{ kind: "answered", status, retryAfter: null, body: JSON.stringify(body) },
});

const GOOD = { success: true, r2_url: "https://files.test/mail/a/film.zip" };

const start = (answer: () => HttpResult | "hang" = () => json(GOOD), prefix = "in") => {
  const clock = createVirtualClock();
  const requests: HttpRequest[] = [];
  const told: string[] = [];
  const log = (event: string, fields: LogFields = {}): void =>
    void told.push(`${event} ${String(fields["class"] ?? "")}`.trim());
  const availability = createAvailability({ clock, log, metrics: createMetrics(), what: "link" });
  const worker = createFetchWorker({
    clock,
    sendHttp: async (request) => {
      requests.push(request);
      const result = answer();
      if (result !== "hang") return result;
      await new Promise((resolve) => request.signal.addEventListener("abort", resolve));
      return { kind: "aborted" };
    },
    ...{ availability, prefix, settings: SETTINGS, publicBaseUrl: "https://files.test/mail" },
  });
  const link = (url: string, provider: ProviderLink["provider"] = "dropbox"): string | null =>
    worker.sourceOf({ provider, url, offloaded: null })?.href ?? null;
  return { clock, requests, told, worker, link };
};

describe("the worker", () => {
  test("is asked as the Python service asked it", async () => {
    const { worker, requests } = start();
    expect(await worker.fetch(requestOf())).toEqual({
      ...{ kind: "fetched", url: GOOD.r2_url, filename: null },
    });
    const [request] = requests;
    expect(request).toMatchObject({
      url: SETTINGS.url,
      headers: { "content-type": "application/json", "x-r2-fetch-token": "the token" },
      ...{ allowPrivateAddresses: false, maxBodyBytes: 65_536 },
    });
    expect(JSON.parse(request?.body ?? "")).toEqual({
      source_url: SOURCE.href,
      object_key: expect.stringMatching(/^in\/dropbox\/[0-9a-f]{8}\/[0-9a-f]{8}\/film\.zip$/),
      ...{ bucket: "my-mail", provider: "dropbox", email_id: "evt_1" },
    });
  });

  test("is asked with a key that begins with no slash when there is no prefix", async () => {
    const { worker, requests } = start(undefined, "");
    await worker.fetch(requestOf());
    expect(requests[0]?.body).toContain('"object_key":"dropbox/');
  });

  test("is given links of its hosts alone, by https", () => {
    const { link } = start();
    expect(link("http://www.dropbox.com/s/a")).toBe("https://www.dropbox.com/s/a?dl=1");
    expect(link("https://wetransfer.com/a", "wetransfer")).toBe("https://wetransfer.com/a");
    expect(link("https://fromsmash.com/a", "fromsmash")).toBeNull();
    expect(link("https://evildropbox.com/a")).toBeNull();
    expect(link("https://dropbox.com.evil.test/a")).toBeNull();
  });

  test("is never asked for another host, whoever let it through", async () => {
    const { worker, requests } = start();
    for (const url of ["https://evil.test/", "http://dropbox.com/", "https://a@dropbox.com/"]) {
      const result = await worker.fetch(requestOf({ source: new URL(url) }));
      expect(result).toMatchObject({ kind: "failed", failure: "request_refused" });
    }
    expect(requests).toHaveLength(0);
  });

  test.each([
    ["a", 15_000, "https://www.dropbox.com/s/abc/film.zip"],
    ["a folder's", 120_000, "https://www.dropbox.com/scl/fo/abc/xyz?rlkey=R"],
  ])("has the time for %s: %i ms", async (_, ms, url) => {
    const { clock, worker, requests } = start(() => "hang");
    const fetching = worker.fetch(requestOf({ source: new URL(url) }));
    await clock.advance(ms - 1);
    expect(requests[0]?.signal.aborted).toBe(false);
    await clock.advance(1);
    expect(await fetching).toMatchObject({ failure: "timeout" });
  });

  test("ends with its signal, in a word when that is the message's time", async () => {
    const { worker } = start(() => "hang");
    for (const [reason, end] of [
      [new OutOfTimeError(), { failure: "late" }],
      [new DOMException("cut", "AbortError"), { name: "AbortError" }],
    ] as const) {
      const stop = new AbortController();
      const fetching = worker.fetch(requestOf({ signal: stop.signal })).catch((error) => error);
      await Promise.resolve();
      stop.abort(reason);
      expect(await fetching).toMatchObject(end);
    }
  });
});

describe("an answer", () => {
  test.each([
    "https://files.test/mail/",
    "https://files.test/mail",
    "https://files.test/mailbox/a",
    "https://files.test/mail/../a",
    "https://files.test.evil/mail/a",
    "http://files.test/mail/a",
    "https://me:word@files.test/mail/a",
    "javascript:alert(1)",
    7,
    undefined,
  ])("with the address %j is refused", async (address) => {
    const { worker } = start(() => json({ ...GOOD, r2_url: address }));
    expect(await worker.fetch(requestOf())).toMatchObject({ failure: "invalid_answer" });
  });

  test.each([
    ["film.zip", "film.zip"],
    ["two\r\nlines", "two lines"],
    ["n".repeat(300), "n".repeat(255)],
    ["  ", null],
    [["film.zip"], null],
    [null, null],
  ])("with the name %j names the file %j", async (name, filename) => {
    const { worker } = start(() => json({ ...GOOD, original_filename: name }));
    expect(await worker.fetch(requestOf())).toMatchObject({ kind: "fetched", filename });
  });

  test.each([
    [json({ ...GOOD, success: "true" }), "invalid_answer"],
    [json([GOOD]), "invalid_answer"],
    [{ kind: "answered", status: 200, retryAfter: null } as const, "invalid_answer"],
    [json(GOOD, 201), "request_refused"],
    [json(GOOD, 401), "denied"],
    [json({}, 403), "denied"],
    [json({}, 404), "request_refused"],
    [json({}, 429), "server_error"],
    [json({}, 502), "server_error"],
    [json({ success: false }, 500), "not_fetched"],
    [json({ success: false }), "not_fetched"],
    [{ kind: "failed", errorClass: "egress_refused" } as const, "egress_refused"],
  ])("%j is %s", async (answer, failure) => {
    const { worker } = start(() => answer);
    expect(await worker.fetch(requestOf())).toMatchObject({ kind: "failed", failure });
  });
});

describe("a worker that fails", () => {
  test("is left alone after two failures in a row, and probed", async () => {
    let answer = json({}, 500);
    const { clock, worker, requests, told } = start(() => answer);
    for (let n = 0; n < 10; n += 1) await worker.fetch(requestOf());
    expect(requests).toHaveLength(2);
    answer = json(GOOD);
    await clock.advance(30_000);
    expect(await worker.fetch(requestOf())).toMatchObject({ kind: "fetched" });
    expect(told).toEqual(["offload.unavailable server_error", "offload.back"]);
  });

  test("is not one that cannot fetch a link", async () => {
    const { worker, requests, told } = start(() => json({ success: false }));
    for (let n = 0; n < 10; n += 1) await worker.fetch(requestOf());
    expect([requests.length, told]).toEqual([10, []]);
  });

  test("that refuses us is told once", async () => {
    const { worker, requests, told } = start(() => json({}, 403));
    for (let n = 0; n < 10; n += 1) await worker.fetch(requestOf());
    expect([requests.length, told]).toEqual([1, ["offload.denied denied"]]);
  });

  test("ends the wait of those in line when it is given up", async () => {
    const { clock, worker, requests } = start(() => "hang");
    const fetching = Array.from({ length: 6 }, () => worker.fetch(requestOf()));
    await clock.advance(30_000);
    const failures = (await Promise.all(fetching)).map(
      (end) => end.kind === "failed" && end.failure,
    );
    // The first to fail made room for one more.
    expect(requests).toHaveLength(5);
    expect(failures.filter((one) => one === "unavailable")).toHaveLength(1);
  });
});
