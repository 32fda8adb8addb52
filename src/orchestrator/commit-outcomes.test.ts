// How outcomes are put into commits, with a store that writes down what it is given: how large a commit
// becomes, what a refused one is preceded by, and that nothing is dropped without a word.
import { describe, expect, test } from "vitest";
import { createSeededRandom } from "../../test/support/seeded-random.ts";
import { createVirtualClock } from "../../test/support/virtual-clock.ts";
import type { Commit, CursorRecord, SpoolEntry, Store } from "../store/store.ts";
import { commitOutcomes, commitSurely } from "./commit-outcomes.ts";
import type { Settling } from "./deliver-message.ts";
import { type FolderContext, createFolderMemory } from "./folder-context.ts";

const MIB = 1024 * 1024;

const cursor: CursorRecord = {
  mailbox: "m",
  folder: "INBOX",
  uidvalidity: "7",
  accountHash: "account",
  firstContactMs: 0,
  settledUpTo: 0,
  settledAbove: [],
};

const settlingOf = (uid: number, payload: string): Settling => ({
  uid,
  receipt: {
    ...{ eventId: `evt_${uid}`, mailbox: "m", folder: "INBOX", uidvalidity: "7", uid },
    ...{ outcome: "spooled", reason: null, reduced: false, todo: false, settledMs: 1 },
    pairs: {},
    steps: {},
  },
  spool: [{ eventId: `evt_${uid}`, payload } as SpoolEntry],
  claim: null,
  tail: null,
  shown: {},
});

/** A context whose store takes what `refuses` does not. */
const start = (refuses: (place: number) => boolean = () => false) => {
  const clock = createVirtualClock();
  const commits: Commit[] = [];
  const commit: Store["commit"] = async (one) => {
    commits.push(one);
    if (refuses(commits.length)) throw new Error("full");
    return { droppedTodos: 2 };
  };
  const memory = { ...createFolderMemory(), cursor };
  const context = {
    ...{ clock, memory, random: createSeededRandom(1), abort: new AbortController().signal },
    mailbox: { id: "m" },
    lease: { fence: 1, assert: async () => undefined },
    store: { commit },
    log: () => undefined,
    metrics: { messageSettled: () => undefined },
    spooled: () => undefined,
  } as unknown as FolderContext;
  return { clock, commits, context, memory };
};

describe("committing outcomes", () => {
  test("keeps a commit under eight MiB as stored, whatever letters the mail is written in", async () => {
    const { commits, context, memory } = start();
    // Three octets each in UTF-8, one unit each in memory.
    const payload = "語".repeat(MIB);
    const settlings = [1, 2, 3, 4, 5].map((uid) => settlingOf(uid, payload));
    await commitOutcomes(context, settlings, [[8, 8]]);
    const uids = commits.map(({ receipts = [] }) => receipts.map(({ uid }) => uid));
    expect(uids).toEqual([[1, 2], [3, 4], [5]]);
    expect(commits.map((one) => one.cursor?.settledUpTo)).toEqual([2, 4, 5]);
    expect(memory.cursor).toMatchObject({ settledUpTo: 5, settledAbove: [[8, 8]] });
  });

  test("refuses to forget what was delivered when there is no cursor to move", async () => {
    const { commits, context, memory } = start();
    memory.cursor = null as unknown as CursorRecord;
    const lost = commitOutcomes(context, [settlingOf(1, "{}")], []);
    await expect(lost).rejects.toMatchObject({ code: "cycle/no-cursor" });
    expect(commits).toEqual([]);
  });

  test("after a refusal sends an empty commit ahead, and tells what the store did", async () => {
    const { clock, commits, context, memory } = start((place) => place <= 2);
    const done = commitSurely(context, { mailbox: "m", fence: 1, cursor });
    await clock.runUntil(() => memory.commitFailing, 1000);
    await clock.advance(60_000);
    expect(await done).toEqual({ droppedTodos: 2 });
    expect(memory.commitFailing).toBe(false);
    expect(memory.progress).toBe(3);
    const hasCursor = commits.map((one) => one.cursor !== undefined);
    expect(hasCursor).toEqual([true, false, false, true]);
  });
});
