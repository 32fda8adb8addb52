// How blame is laid on messages that break things: only on one that was read alone, and not for ever.
import { describe, expect, test } from "vitest";
import { createFolderMemory } from "../folder-context.ts";
import {
  MAX_HEADER_FAILURES,
  acquit,
  givenUpReason,
  headerFailed,
  nextBatch,
  strike,
} from "./suspects.ts";

describe("suspects", () => {
  test("a batch that dies makes suspects of all and blames none", () => {
    const memory = createFolderMemory();
    for (let death = 0; death < 5; death += 1) strike(memory, [1, 2], "closed");
    expect([...memory.suspects.keys()]).toEqual([1, 2]);
    expect(givenUpReason(memory, 1)).toBeNull();
  });

  test("a message that ends the connection twice alone is given up as malformed", () => {
    const memory = createFolderMemory();
    strike(memory, [7], "closed");
    expect(givenUpReason(memory, 7)).toBeNull();
    strike(memory, [7], "closed");
    expect(givenUpReason(memory, 7)).toBe("malformed");
  });

  test("a message that passes its deadline three times alone is given up as a timeout", () => {
    const memory = createFolderMemory();
    strike(memory, [7], "late");
    strike(memory, [7], "late");
    expect(givenUpReason(memory, 7)).toBeNull();
    strike(memory, [7], "late");
    expect(givenUpReason(memory, 7)).toBe("timeout");
  });

  test("a message that ended two processes alone is given up as a crash", () => {
    const memory = createFolderMemory();
    memory.soloDeaths.set(7, 1);
    expect(givenUpReason(memory, 7)).toBeNull();
    memory.soloDeaths.set(7, 2);
    expect(givenUpReason(memory, 7)).toBe("crash");
  });

  test("nothing is held against a message that is settled", () => {
    const memory = createFolderMemory();
    memory.soloDeaths.set(7, 2);
    strike(memory, [7], "closed");
    strike(memory, [7], "closed");
    acquit(memory, 7);
    expect(givenUpReason(memory, 7)).toBeNull();
    expect(memory.suspects.size).toBe(0);
  });

  test("the least suspicious is read next, and alone; without suspects up to 64 are", () => {
    const memory = createFolderMemory();
    const uids = Array.from({ length: 100 }, (_, index) => index + 1);
    expect(nextBatch(memory, uids)).toEqual(uids.slice(0, 64));
    strike(memory, [5], "closed");
    strike(memory, [8, 9], "closed");
    expect(nextBatch(memory, uids)).toEqual([8]);
    strike(memory, [8], "late");
    expect(nextBatch(memory, uids)).toEqual([9]);
  });

  test("a header that fails gives its message another whole try, but not for ever", () => {
    const memory = createFolderMemory();
    for (let failure = 1; failure < MAX_HEADER_FAILURES; failure += 1) {
      strike(memory, [7], "closed");
      strike(memory, [7], "closed");
      expect(givenUpReason(memory, 7)).toBe("malformed");
      expect(headerFailed(memory, 7)).toBe(false);
      expect(givenUpReason(memory, 7)).toBeNull();
    }
    expect(headerFailed(memory, 7)).toBe(true);
  });
});
