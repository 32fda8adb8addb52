// How blame is laid on messages that break things: only on one that was read alone, and not for ever.
import { describe, expect, test } from "vitest";
import { createFolderMemory } from "./folder-context.ts";
import { acquit, givenUpReason, strike } from "./suspects.ts";

describe("suspects", () => {
  test("a batch that dies makes suspects of all and blames none", () => {
    const memory = createFolderMemory();
    for (let death = 0; death < 5; death += 1) strike(memory, [1, 2], false);
    expect([...memory.suspects.keys()]).toEqual([1, 2]);
    expect(givenUpReason(memory, 1)).toBeNull();
  });

  test("a message that ends the connection twice alone is given up as malformed", () => {
    const memory = createFolderMemory();
    strike(memory, [7], false);
    expect(givenUpReason(memory, 7)).toBeNull();
    strike(memory, [7], false);
    expect(givenUpReason(memory, 7)).toBe("malformed");
  });

  test("a message that passes its deadline three times alone is given up as a timeout", () => {
    const memory = createFolderMemory();
    strike(memory, [7], true);
    strike(memory, [7], true);
    expect(givenUpReason(memory, 7)).toBeNull();
    strike(memory, [7], true);
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
    strike(memory, [7], false);
    strike(memory, [7], false);
    acquit(memory, 7);
    expect(givenUpReason(memory, 7)).toBeNull();
    expect(memory.suspects.size).toBe(0);
  });
});
