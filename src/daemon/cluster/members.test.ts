// The nodes as their heartbeats show them: who lives, who is dead on our own clock, who said goodbye, and
// whose rows may go. Rows are texts as they stand in Redis; time is a number.
import { describe, expect, test } from "vitest";
import {
  EMPTY_ROSTER,
  type Roster,
  abandonedNodes,
  formatMember,
  observeMembers,
} from "./members.ts";

const DEAD_AFTER_MS = 15_000;

const row = (beat: number, host = "here", mailboxes: readonly string[] = ["default"]): string =>
  formatMember({ host, mailboxes }, beat);

const observe = (before: Roster, rows: Record<string, string>, nowMs: number): Roster =>
  observeMembers(before, new Map(Object.entries(rows)), { nowMs, deadAfterMs: DEAD_AFTER_MS });

const nodesOf = ({ living }: Roster): string[] => living.map(({ node }) => node);

describe("the members of the cluster", () => {
  test("live while their beat moves, in whatever direction", () => {
    let roster = observe(EMPTY_ROSTER, { a: row(7), b: row(7) }, 0);
    roster = observe(roster, { a: row(3), b: row(7) }, 10_000);
    roster = observe(roster, { a: row(3), b: row(7) }, 15_000);
    expect(nodesOf(roster)).toEqual(["a"]);
    expect(nodesOf(observe(roster, { a: row(3), b: row(8) }, 16_000))).toEqual(["a", "b"]);
  });

  test("are dead exactly when the beat stood still for long enough", () => {
    const first = observe(EMPTY_ROSTER, { a: row(1) }, 100);
    expect(nodesOf(observe(first, { a: row(1) }, 15_099))).toEqual(["a"]);
    expect(nodesOf(observe(first, { a: row(1) }, 15_100))).toEqual([]);
  });

  test("are gone at once when they said goodbye, and their host is remembered", () => {
    const before = observe(EMPTY_ROSTER, { a: row(1), b: row(1, "there") }, 0);
    const after = observe(before, { a: row(2) }, 1000);
    expect(nodesOf(after)).toEqual(["a"]);
    expect(after.hosts.get("b")).toBe("there");
    expect(after.hosts.get("c")).toBeUndefined();
  });

  test("tell their host and mailboxes", () => {
    const { living } = observe(EMPTY_ROSTER, { b: row(1, "there", ["x", "y"]), a: row(1) }, 0);
    expect(living).toEqual([
      { node: "a", host: "here", mailboxes: ["default"] },
      { node: "b", host: "there", mailboxes: ["x", "y"] },
    ]);
  });

  test("change when one comes, goes or is configured anew, and by no beat alone", () => {
    const first = observe(EMPTY_ROSTER, { a: row(1) }, 5);
    expect(first.changedMs).toBe(5);
    const beaten = observe(first, { a: row(2) }, 10);
    expect([beaten.changedMs, beaten.living]).toEqual([5, first.living]);
    expect(beaten.living).toBe(first.living);
    expect(observe(beaten, { a: row(3, "here", ["default", "x"]) }, 20).changedMs).toBe(20);
    expect(observe(beaten, { a: row(3), b: row(1) }, 30).changedMs).toBe(30);
    expect(observe(beaten, {}, 40).changedMs).toBe(40);
  });

  test.each(["", "{", "null", "[]", "7", '{"host":1,"beat":1,"mailboxes":[]}', '{"host":"h"}'])(
    "are not made of the row %j",
    (text) => {
      expect(nodesOf(observe(EMPTY_ROSTER, { a: text, b: row(1) }, 0))).toEqual(["b"]);
    },
  );

  test("leave rows that anybody may delete after ten minutes without a beat", () => {
    const first = observe(EMPTY_ROSTER, { a: row(1), b: row(1) }, 0);
    const almost = observe(first, { a: row(1), b: row(2) }, 599_999);
    expect(abandonedNodes(almost, 599_999)).toEqual([]);
    expect(abandonedNodes(almost, 600_000)).toEqual(["a"]);
  });

  test("are remembered by their hosts up to a thousand, the oldest leave first", () => {
    let roster = EMPTY_ROSTER;
    for (let n = 0; n <= 1000; n += 1) roster = observe(roster, { [`node-${n}`]: row(1) }, n);
    expect(roster.hosts.size).toBe(1000);
    expect(roster.hosts.has("node-0")).toBe(false);
    expect(roster.hosts.has("node-1000")).toBe(true);
  });
});
