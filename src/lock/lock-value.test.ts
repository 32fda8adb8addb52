// Checks what is taken for a lock value of ours: exactly what we write, so that nothing of another
// program, such as the Python service's `pid=…`, is ever taken over.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { formatLockValue, parseLockValue } from "./lock-value.ts";

const OWNER = "aaaaaaaa-0000-4000-8000-00000000000f";

describe("a lock value", () => {
  test("is read back as it was written", () => {
    const number = fc.nat({ max: 999_999_999_999_999 });
    fc.assert(
      fc.property(fc.uuid(), number, number, (owner, fence, renewals) => {
        const value = { owner, fence, renewals };
        expect(parseLockValue(formatLockValue(value))).toEqual(value);
      }),
    );
  });

  test("has the uuid, the fence and the count of renewals, with colons between", () => {
    const value = { owner: OWNER, fence: 1_795_507_200_000, renewals: 12 };
    expect(formatLockValue(value)).toBe(`${OWNER}:1795507200000:12`);
  });

  test.each([
    "",
    "pid=123",
    OWNER,
    `${OWNER}:1`,
    `${OWNER}:1:`,
    `${OWNER}:1:2:3`,
    `${OWNER}:1:-2`,
    `${OWNER}:1.5:2`,
    `${OWNER}: 1:2`,
    `${OWNER}:1:2\n`,
    `${OWNER.toUpperCase()}:1:2`,
    `${OWNER.slice(1)}:1:2`,
    `x${OWNER}:1:2`,
    `${OWNER}:12345678901234567:2`,
  ])("is not %j", (text) => {
    expect(parseLockValue(text)).toBe(null);
  });
});
