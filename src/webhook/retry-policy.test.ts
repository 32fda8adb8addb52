// What answers mean, how long to wait, and what a Retry-After may ask for.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Random } from "../core/random.ts";
import {
  classifyStatus,
  isPermanent,
  longestWaitMs,
  parseRetryAfterMs,
  retryDelayMs,
} from "./retry-policy.ts";

const highest: Random = { u32: () => 2 ** 32 - 1, bytes: (n) => new Uint8Array(n) };

describe("retryDelayMs", () => {
  test("doubles from 5 s to 6 h", () => {
    expect([1, 2, 3].map((counted) => retryDelayMs(highest, counted))).toEqual([
      5000, 10_000, 20_000,
    ]);
    expect(retryDelayMs(highest, 14)).toBe(6 * 3_600_000);
    expect(retryDelayMs(highest, 5000)).toBe(6 * 3_600_000);
    expect(retryDelayMs(highest, 0)).toBe(5000);
  });

  test("sums up to about two days over twenty attempts", () => {
    expect(Math.floor(longestWaitMs(20) / 3_600_000)).toBe(47);
    expect(longestWaitMs(2)).toBe(5000);
    expect(longestWaitMs(1)).toBe(0);
  });
});

describe("classifyStatus", () => {
  test.each([
    [200, "delivered"],
    [204, "delivered"],
    [299, "delivered"],
    [300, "redirect"],
    [302, "redirect"],
    [308, "redirect"],
    [400, "http_4xx"],
    [401, "http_4xx"],
    [404, "http_4xx"],
    [410, "http_4xx"],
    [499, "http_4xx"],
    [408, "http_5xx"],
    [425, "http_5xx"],
    [429, "http_429"],
    [500, "http_5xx"],
    [503, "http_5xx"],
    [599, "http_5xx"],
    [101, "http_5xx"],
    [0, "http_5xx"],
    [999, "http_5xx"],
  ])("takes %i for %s", (status, verdict) => {
    expect(classifyStatus(status)).toBe(verdict);
  });

  test("calls permanent what only a person can change", () => {
    const permanent = ["redirect", "egress_refused", "http_4xx", "destination_gone"] as const;
    const passing = ["timeout", "refused", "dns", "tls", "reset", "http_429", "http_5xx"] as const;
    expect(permanent.every(isPermanent)).toBe(true);
    expect(passing.some(isPermanent)).toBe(false);
  });
});

describe("parseRetryAfterMs", () => {
  const sunday = Date.UTC(1994, 10, 6, 8, 49, 37);

  test.each([
    ["120", 120_000],
    [" 7 ", 7000],
    ["0", 0],
    ["1.5", 1500],
    ["-5", 0],
    ["86400", 86_400_000],
    ["86401", 86_400_000],
    ["999999999999999999999999", 86_400_000],
  ])("reads %j seconds", (value, ms) => {
    expect(parseRetryAfterMs(value, sunday)).toBe(ms);
  });

  test.each([
    "Sun, 06 Nov 1994 08:49:37 GMT",
    "Sunday, 06-Nov-94 08:49:37 GMT",
    "Sun Nov  6 08:49:37 1994",
  ])("reads the HTTP date %j", (value) => {
    expect(parseRetryAfterMs(value, sunday - 90_000)).toBe(90_000);
    expect(parseRetryAfterMs(value, sunday + 1)).toBe(0);
    expect(parseRetryAfterMs(value, 0)).toBe(86_400_000);
  });

  test("reads every date that a server may send", () => {
    const instants = fc.integer({ min: 0, max: 4_102_444_799 });
    fc.assert(
      fc.property(instants, fc.nat(86_400), (atS, aheadS) => {
        const value = new Date(atS * 1000).toUTCString();
        expect(parseRetryAfterMs(value, (atS - aheadS) * 1000)).toBe(aheadS * 1000);
      }),
    );
  });

  test.each([null, "", "soon", "12 apples", "0x10", "Sun, 06 Foo 1994 08:49:37 GMT"])(
    "cannot read %j",
    (value) => {
      expect(parseRetryAfterMs(value, sunday)).toBeNull();
    },
  );
});
