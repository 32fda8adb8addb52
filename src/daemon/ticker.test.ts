// The daemon's heartbeat under a virtual clock: a mailbox whose lock wants a look is told so, although
// its loop waits for mail.
import { expect, test } from "vitest";
import { createVirtualClock } from "../../test/support/virtual-clock.ts";
import { createSeededRandom } from "../../test/support/seeded-random.ts";
import { createMetrics } from "../app-logging/metrics.ts";
import type { LiveMailbox, LiveNode } from "../http/status-report.ts";
import { openSqliteMemory } from "../store/sqlite.adapter.ts";
import { createSqliteStore } from "../store/sqlite.ts";
import { runTicker } from "./ticker.ts";

const held = (id: string): LiveMailbox => ({
  ...{ id, state: "polling", sinceMs: 0, lastProofMs: 0, uidvalidity: "7", settledUpTo: 1 },
  lease: { state: "held", fence: 1, holder: "node", sinceMs: 0 },
});

const live: LiveNode = {
  ...{ node: "node", version: "1", mailboxes: [held("a"), held("b")], destinations: [] },
  config: { source: "file", version: "1", overridden: [] },
};

test("wakes the loop of a mailbox whose lock wants a look, and no other", async () => {
  const clock = createVirtualClock();
  const store = createSqliteStore({
    ...{ database: openSqliteMemory(), random: createSeededRandom(1), spoolKeys: [] },
  });
  const woken: string[] = [];
  const stopping = new AbortController();
  let preferred: string | null = null;
  const ticking = runTicker({
    ...{ clock, store, metrics: createMetrics(), log: () => undefined, stop: stopping.signal },
    mailboxes: {
      ...{ apply: async () => undefined, stop: async () => undefined, wakeSpools: () => undefined },
      ...{ live: () => [...live.mailboxes], has: () => true },
      wakePoller: (id) => void woken.push(id),
    },
    status: {
      ...{ live: () => live, words: () => [], fullestDestination: async () => null },
      report: () => Promise.reject(new Error("nobody asks")),
    },
    refreshHot: async () => undefined,
    parkOrphans: () => undefined,
    wantsTurn: (id) => id === preferred,
    droppedLogLines: () => 0,
  });
  await clock.advance(10_000);
  expect(woken).toEqual([]);
  preferred = "b";
  await clock.advance(5000);
  expect(woken).toEqual(["b"]);
  stopping.abort();
  await clock.advance(0);
  await ticking;
  await store.close();
});
