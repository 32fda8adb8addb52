// Hostile mail and hostile servers against the real daemon: each message is delivered or reduced, none is
// lost or sent twice, memory and turns stay within their bars, and the good mail behind it is not late.
// `npm run hostile` prints the figures.
// @module-tag resilience
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { problemsOf } from "./row.ts";
import { CASES, type Stages, openStages, runCase } from "./suite.ts";

/** A server that throttles twice, or two that hang one after the other. */
const CASE_TIMEOUT_MS = 180_000;

let stages: Stages;

beforeAll(async () => {
  stages = await openStages(CASES);
}, 120_000);
afterAll(async () => {
  await stages[Symbol.asyncDispose]();
});

describe("hostile mail and servers", () => {
  test.each(CASES.map((one) => [one.name, one] as const))(
    "%s costs no more than it may, and no other mail anything",
    async (_, one) => {
      expect(problemsOf(await runCase(stages, one))).toEqual([]);
    },
    CASE_TIMEOUT_MS,
  );
});
