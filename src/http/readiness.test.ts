// The words of readiness: which of them are fine, and when a polling mailbox turns stale. The list
// itself is compared with the documentation's, so that neither changes alone.
import { describe, expect, test } from "vitest";
import { MAILBOX_WORDS, effectiveWord, isReadyWord } from "./readiness.ts";

describe("isReadyWord", () => {
  test("holds for exactly the words that need nobody's eye", () => {
    expect(MAILBOX_WORDS.filter(isReadyWord)).toEqual([
      "polling",
      "standby",
      "inactive",
      "disabled",
      "starting",
      "lock_delay",
      "island",
    ]);
    expect(MAILBOX_WORDS.filter((word) => !isReadyWord(word)).join(" ")).toBe(
      "stale unreachable rejected throttled folder_missing uidvalidity_invalid spool_full " +
        "commit_failing waiting_for_redis needs_decision foreign_lock lock_file_error " +
        "redis_noauth redis_readonly redis_oom redis_unsafe",
    );
  });
});

describe("effectiveWord", () => {
  const polling = { word: "polling", intervalMs: 30_000, nowMs: 1_000_000 } as const;

  test("keeps polling up to three intervals and a minute after the last proof", () => {
    expect(effectiveWord({ ...polling, lastProofMs: 1_000_000 - 150_000 })).toBe("polling");
  });

  test("turns polling into stale one millisecond later", () => {
    expect(effectiveWord({ ...polling, lastProofMs: 1_000_000 - 150_001 })).toBe("stale");
  });

  test("turns polling into stale when there never was a proof", () => {
    expect(effectiveWord({ ...polling, lastProofMs: null })).toBe("stale");
  });

  test("turns island into stale like polling", () => {
    const island = { ...polling, word: "island" } as const;
    expect(effectiveWord({ ...island, lastProofMs: 1_000_000 - 150_000 })).toBe("island");
    expect(effectiveWord({ ...island, lastProofMs: 1_000_000 - 150_001 })).toBe("stale");
  });

  test("leaves every other word as it is, however old the proof", () => {
    const others = MAILBOX_WORDS.filter((word) => word !== "polling" && word !== "island");
    expect(others.map((word) => effectiveWord({ ...polling, word, lastProofMs: 0 }))).toEqual(
      others,
    );
  });
});
