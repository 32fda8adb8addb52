// The status report from a store and from live rows: its exact shape, what is unknown without a daemon
// and how several daemons of one store speak with one voice. The store is a hand-written fake.
import { describe, expect, test } from "vitest";
import {
  type LiveNode,
  type ReportSources,
  buildStatusReport,
  liveNodeOf,
} from "./status-report.ts";

const COUNTS = { delivered: 5, filtered: 4, parked: 1, gone: 2, reduced: 3 };

const LIVE: LiveNode = {
  node: "node-a",
  version: "1.2.3",
  mailboxes: [
    {
      id: "default",
      state: "polling",
      sinceMs: 1000,
      lastProofMs: 2000,
      uidvalidity: "7",
      settledUpTo: 12,
      lease: { state: "held", fence: 9, holder: "node-a", sinceMs: 500 },
    },
  ],
  destinations: [{ id: "default", breaker: "open" }],
  config: { source: "file", version: "v1", overridden: ["webhook.url"] },
};

const sources = (live: LiveNode | null): ReportSources => ({
  store: {
    counts: async () => COUNTS,
    readCursor: async (mailbox, folder) => ({
      mailbox,
      folder,
      uidvalidity: "7",
      accountHash: "",
      firstContactMs: 0,
      settledUpTo: 11,
      settledAbove: [],
    }),
    spoolUsage: async () => ({
      rows: 6,
      bytes: 60,
      maxBytes: null,
      parts: [
        { mailbox: "default", destination: "default", waiting: 2, parked: 1 },
        { mailbox: "gone", destination: "default", waiting: 0, parked: 1 },
        { mailbox: "default", destination: "rule-x", waiting: 2, parked: 0 },
      ],
    }),
  },
  live,
  mailboxes: [{ id: "default", folder: "Private Folder" }],
  version: "9.9.9",
  config: { source: "environment", version: "v0", overridden: [] },
});

describe("buildStatusReport", () => {
  test("shows what a running daemon knows, in exactly the documented shape", async () => {
    expect(await buildStatusReport(sources(LIVE))).toEqual({
      version: "1.2.3",
      node: "node-a",
      mailboxes: [
        {
          id: "default",
          state: "polling",
          since: "1970-01-01T00:00:01.000Z",
          last_proof_at: "1970-01-01T00:00:02.000Z",
          uidvalidity: "7",
          settled_up_to: 12,
          lease: { state: "held", fence: 9, holder: "node-a", since: "1970-01-01T00:00:00.500Z" },
          counts: COUNTS,
          spool: { waiting: 4, parked: 1 },
        },
      ],
      destinations: [
        { id: "default", breaker: "open", waiting: 2, parked: 2 },
        { id: "rule-x", breaker: null, waiting: 2, parked: 0 },
      ],
      config: { source: "file", version: "v1", overridden: ["webhook.url"] },
    });
  });

  test("reads the store alone when no daemon runs, and says so", async () => {
    const report = await buildStatusReport(sources(null));
    expect(report).toMatchObject({ version: "9.9.9", node: null, config: { version: "v0" } });
    expect(report.mailboxes[0]).toMatchObject({
      state: "not_running",
      since: null,
      last_proof_at: null,
      uidvalidity: "7",
      settled_up_to: 11,
      lease: { state: "unknown", fence: null, holder: null, since: null },
      counts: COUNTS,
    });
    expect(report.destinations[0]).toMatchObject({ id: "default", breaker: null });
  });

  test("shows no folder name", async () => {
    expect(JSON.stringify(await buildStatusReport(sources(LIVE)))).not.toContain("Private");
  });
});

describe("liveNodeOf", () => {
  const row = (node: LiveNode, wallMs: number) => ({
    node: node.node,
    live: JSON.stringify(node),
    wallMs,
  });

  test("returns a row as its daemon wrote it", () => {
    expect(liveNodeOf([row(LIVE, 100_000)], 115_000)).toEqual(LIVE);
  });

  test("takes a row older than 15 seconds for no daemon", () => {
    expect(liveNodeOf([row(LIVE, 100_000)], 115_001)).toBeNull();
  });

  test("takes a row that nobody can read for no daemon", () => {
    const rows = ["{", "{}", "null"].map((live) => ({ node: "x", live, wallMs: 0 }));
    expect(liveNodeOf(rows, 0)).toBeNull();
  });

  test("lets the holder of a lease speak for its mailbox, and an open breaker win", () => {
    const contender: LiveNode = {
      ...LIVE,
      node: "node-b",
      mailboxes: LIVE.mailboxes.map((mailbox) => ({
        ...mailbox,
        state: "standby" as const,
        lease: { ...mailbox.lease, state: "standby" as const },
      })),
      destinations: [{ id: "default", breaker: "closed" }],
    };
    const merged = liveNodeOf([row(LIVE, 1000), row(contender, 2000)], 3000);
    expect(merged?.node).toBe("node-b");
    expect(merged?.mailboxes).toEqual(LIVE.mailboxes);
    expect(merged?.destinations).toEqual([{ id: "default", breaker: "open" }]);
  });

  test("lets a holder that waits or is alone speak, and of two holders the newer fence", () => {
    const nodeWith = (
      name: string,
      lease: Partial<LiveNode["mailboxes"][0]["lease"]>,
    ): LiveNode => ({
      ...LIVE,
      node: name,
      mailboxes: LIVE.mailboxes.map((mailbox) => ({
        ...mailbox,
        lease: { ...mailbox.lease, holder: null, ...lease },
      })),
    });
    const merged = (...nodes: readonly LiveNode[]) =>
      liveNodeOf(
        nodes.map((node, index) => row(node, 1000 - index)),
        1000,
      )?.mailboxes[0]?.lease;
    const standby = nodeWith("node-b", { state: "standby", fence: null });
    const delayed = nodeWith("node-c", { state: "lock_delay", fence: 12 });
    const alone = nodeWith("node-d", { state: "alone", fence: 11 });
    expect(merged(standby, alone)).toMatchObject({ state: "alone", holder: "node-d" });
    expect(merged(standby, alone, delayed)).toMatchObject({ fence: 12, holder: "node-c" });
    expect(merged(delayed, alone)).toMatchObject({ fence: 12, holder: "node-c" });
    expect(merged(standby)).toMatchObject({ state: "standby", holder: null });
  });
});
