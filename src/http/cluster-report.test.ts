// The report on the cluster: its exact shape, two nodes that both believe to hold a mailbox, nodes that are
// gone and rows of earlier versions. The rows are plain values, as a store gives them.
import { describe, expect, test } from "vitest";
import { buildClusterReport } from "./cluster-report.ts";
import type { LiveMailbox, LiveNode } from "./status-report.ts";

const NOW_MS = 100_000;

const mailbox = (id: string, lease: Partial<LiveMailbox["lease"]>): LiveMailbox => ({
  id,
  state: "standby",
  sinceMs: 0,
  lastProofMs: null,
  uidvalidity: null,
  settledUpTo: null,
  lease: { state: "standby", fence: null, holder: null, sinceMs: 50_000, ...lease },
});

const node = (name: string, mailboxes: readonly LiveMailbox[]): LiveNode => ({
  node: name,
  version: "1.2.3",
  host: `host-of-${name}`,
  startedMs: 1000,
  mailboxes,
  destinations: [],
  config: { source: "file", version: "v1", overridden: [] },
});

const row = (live: object, wallMs = NOW_MS) => ({ node: "x", live: JSON.stringify(live), wallMs });

describe("the cluster report", () => {
  test("tells who holds and who stands by, in exactly the documented shape", () => {
    const rows = [
      row(node("b", [mailbox("sales", {}), mailbox("default", { state: "held", fence: 7 })])),
      row(node("a", [mailbox("sales", { state: "free" }), mailbox("default", {})])),
    ];
    expect(buildClusterReport(rows, NOW_MS)).toEqual({
      nodes: [
        {
          node: "a",
          host: "host-of-a",
          version: "1.2.3",
          since: "1970-01-01T00:00:01.000Z",
          held: 0,
        },
        {
          node: "b",
          host: "host-of-b",
          version: "1.2.3",
          since: "1970-01-01T00:00:01.000Z",
          held: 1,
        },
      ],
      mailboxes: [
        {
          id: "default",
          holder: "b",
          state: "held",
          since: "1970-01-01T00:00:50.000Z",
          fence: 7,
          lock_age_seconds: 50,
          standby: ["a"],
        },
        {
          id: "sales",
          holder: null,
          state: "free",
          since: null,
          fence: null,
          lock_age_seconds: null,
          standby: ["a", "b"],
        },
      ],
    });
  });

  test("believes the newer fence of two holders, and counts the other as standing by", () => {
    const rows = [
      row(node("a", [mailbox("default", { state: "held", fence: 7 })])),
      row(node("b", [mailbox("default", { state: "lock_delay", fence: 8 })])),
    ];
    const report = buildClusterReport(rows, NOW_MS);
    expect(report.mailboxes).toMatchObject([{ holder: "b", state: "lock_delay", standby: ["a"] }]);
  });

  test("leaves out nodes whose row is old, unreadable or signed off", () => {
    const rows = [
      row(node("a", []), NOW_MS - 15_001),
      row({}),
      { node: "c", live: "no JSON", wallMs: NOW_MS },
      row(node("d", []), NOW_MS - 15_000),
    ];
    expect(buildClusterReport(rows, NOW_MS).nodes.map((one) => one.node)).toEqual(["d"]);
  });

  test("shows a row of an earlier version without host and start", () => {
    const { host: _host, startedMs: _startedMs, ...earlier } = node("a", []);
    expect(buildClusterReport([row(earlier)], NOW_MS).nodes).toEqual([
      { node: "a", host: null, version: "1.2.3", since: null, held: 0 },
    ]);
  });
});
