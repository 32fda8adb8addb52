// What follows from looks at the cluster: since when a value stands still, who may take or must give back
// a mailbox, and whether another host is at work. Looks are plain values; time is a number.
import { describe, expect, test } from "vitest";
import { CLUSTER } from "./cluster.ts";
import {
  type ClusterView,
  EMPTY_VIEW,
  type Viewer,
  isOtherHostSeen,
  mayTakeIn,
  mustGiveBackIn,
  seenValue,
  viewAfter,
} from "./cluster-view.ts";
import { formatMember } from "./members.ts";

const ME = "00000000-0000-4000-8000-000000000001";
const OTHER = "00000000-0000-4000-8000-000000000002";

const me: Viewer = { node: ME, host: "here", constants: CLUSTER, leaseMs: 15_000 };

/** By node: its beat, and where it is configured for what. */
type Beats = Readonly<
  Record<string, { beat: number; host?: string; mailboxes?: readonly string[] }>
>;

const look = (
  before: ClusterView,
  nowMs: number,
  { locks = {}, beats = {} }: { locks?: Record<string, string | null>; beats?: Beats },
): ClusterView => {
  const rows = Object.entries(beats).map(
    ([node, { beat, host = "here", mailboxes = ["default"] }]) =>
      [node, formatMember({ host, mailboxes }, beat)] as const,
  );
  const seen = {
    locks: new Map(Object.entries(locks)),
    versions: new Map(),
    members: new Map(rows),
    server: null,
  };
  return viewAfter(before, seen, { nowMs, constants: CLUSTER });
};

/** Looks once a second from after the view's own look until `untilMs`, always at the same. */
const lookOn = (before: ClusterView, untilMs: number, what: Parameters<typeof look>[2]) => {
  let view = before;
  for (let ms = (view.lookedMs ?? 0) + 1000; ms <= untilMs; ms += 1000) view = look(view, ms, what);
  return view;
};

const value = (owner: string, renewals = 0): string => `${owner}:1795507200000:${renewals}`;

describe("a value seen in a lock", () => {
  test("stands since the first answer that showed it", () => {
    const locks = { default: value(OTHER) };
    const first = look(EMPTY_VIEW, 5000, { locks });
    expect(seenValue(first, "default")).toEqual({ value: value(OTHER), sinceMs: 5000 });
    expect(seenValue(lookOn(first, 9000, { locks }), "default")?.sinceMs).toBe(5000);
    const renewed = look(first, 6000, { locks: { default: value(OTHER, 1) } });
    expect(seenValue(renewed, "default")).toEqual({ value: value(OTHER, 1), sinceMs: 6000 });
  });

  test("does not stand still while nobody could look", () => {
    const locks = { default: value(OTHER) };
    const before = lookOn(look(EMPTY_VIEW, 0, { locks }), 4000, { locks });
    const after = look(before, 304_000, { locks });
    // Of the five minutes without a look, three looks' worth count.
    expect(304_000 - (seenValue(after, "default")?.sinceMs ?? 0)).toBe(7000);
  });

  test("is not known before the first look at its mailbox", () => {
    expect(seenValue(EMPTY_VIEW, "default")).toBeNull();
    expect(seenValue(look(EMPTY_VIEW, 0, { locks: { sales: null } }), "default")).toBeNull();
  });

  test("of a mailbox that is no longer configured is forgotten", () => {
    const before = look(EMPTY_VIEW, 0, { locks: { sales: null } });
    expect(seenValue(look(before, 1000, { locks: {} }), "sales")).toBeNull();
  });
});

describe("taking a mailbox", () => {
  const may = (view: ClusterView, nowMs: number, reachableSinceMs = 0): boolean =>
    mayTakeIn(view, "default", { me, nowMs, reachableSinceMs });
  const onlyMe = { [ME]: { beat: 1 } };
  const onlyOther = { [ME]: { beat: 1, mailboxes: [] }, [OTHER]: { beat: 1 } };
  const beating = (untilMs: number, locks: Record<string, string | null>, beats: Beats) => {
    let view = EMPTY_VIEW;
    for (let ms = 0; ms <= untilMs; ms += 1000) {
      const moved = Object.entries(beats).map(
        ([node, one]) => [node, { ...one, beat: ms }] as const,
      );
      view = look(view, ms, { locks, beats: Object.fromEntries(moved) });
    }
    return view;
  };

  test("is for the node that prefers it, once it has looked around", () => {
    const view = look(EMPTY_VIEW, 0, { locks: { default: null }, beats: onlyMe });
    expect([may(view, 999), may(view, 1000)]).toEqual([false, true]);
    expect(may(view, 1999, 1000)).toBe(false);
  });

  test("is for another only when nobody took it for so long", () => {
    const view = beating(10_000, { default: null }, onlyOther);
    expect([may(view, 9999), may(view, 10_000)]).toEqual([false, true]);
  });

  test("is for another only so long after its holder must be dead", () => {
    const view = beating(25_000, { default: value(OTHER) }, onlyOther);
    expect([may(view, 24_999), may(view, 25_000)]).toEqual([false, true]);
  });

  test("is for whoever prefers it after the death of the holder's node", () => {
    const both = { [ME]: { beat: 1 }, [OTHER]: { beat: 1 } };
    const ids = Array.from({ length: 20 }, (_, index) => `mailbox-${index}`);
    const beats = Object.fromEntries(
      Object.entries(both).map(([node, one]) => [node, { ...one, mailboxes: ids }]),
    );
    const locks = Object.fromEntries(ids.map((id) => [id, value(OTHER)]));
    let view = look(EMPTY_VIEW, 0, { locks, beats });
    const mine = (nowMs: number): string[] =>
      ids.filter((id) => mayTakeIn(view, id, { me, nowMs, reachableSinceMs: 0 }));
    const before = mine(1000).length;
    expect(before).toBeGreaterThan(0);
    expect(before).toBeLessThan(20);
    for (let ms = 1000; ms <= 15_000; ms += 1000) {
      const mineBeats = { beat: ms, mailboxes: ids };
      view = look(view, ms, { locks, beats: { ...beats, [ME]: mineBeats } });
    }
    expect(mine(15_000)).toHaveLength(20);
  });

  test("is never for another while a foreign value stands there", () => {
    const locks = { default: "pid=7 host=x" };
    expect(may(beating(60_000, locks, onlyOther), 60_000)).toBe(false);
    expect(may(beating(5000, locks, onlyMe), 5000)).toBe(true);
  });

  test("is always for the node whose value stands there", () => {
    const view = look(EMPTY_VIEW, 0, { locks: { default: value(ME) }, beats: onlyOther });
    expect(may(view, 0)).toBe(true);
  });

  test("is for nobody who has not looked at it", () => {
    expect(may(EMPTY_VIEW, 60_000)).toBe(false);
  });
});

describe("giving a mailbox back", () => {
  const holds = { default: value(ME) };
  const mustGive = (view: ClusterView): boolean => mustGiveBackIn(view, "default", me);

  /** Looks on, second by second, at beats that move. */
  const beat = (before: ClusterView, untilMs: number, beats: Beats): ClusterView => {
    let view = before;
    for (let ms = (view.lookedMs ?? -1000) + 1000; ms <= untilMs; ms += 1000) {
      const moved = Object.entries(beats).map(
        ([node, one]) => [node, { ...one, beat: ms }] as const,
      );
      view = look(view, ms, { locks: holds, beats: Object.fromEntries(moved) });
    }
    return view;
  };
  const other = { [ME]: { beat: 1, mailboxes: [] }, [OTHER]: { beat: 1 } };

  test("waits until the nodes stood as they do for two heartbeats", () => {
    const alone = beat(EMPTY_VIEW, 20_000, { [ME]: { beat: 1 } });
    expect(mustGive(alone)).toBe(false);
    const joined = beat(alone, 30_000, other);
    expect(mustGive(joined)).toBe(false);
    expect(mustGive(beat(joined, 31_000, other))).toBe(true);
  });

  test("is not asked for a node that comes and goes", () => {
    let view = beat(EMPTY_VIEW, 20_000, { [ME]: { beat: 1 } });
    for (let round = 1; round <= 5; round += 1) {
      view = beat(view, 20_000 + round * 10_000, round % 2 === 1 ? other : { [ME]: { beat: 1 } });
      expect(mustGive(view)).toBe(false);
    }
  });

  test("is not asked for a node that is dead or not configured for it", () => {
    let view = EMPTY_VIEW;
    const given: boolean[] = [];
    for (let ms = 0; ms <= 40_000; ms += 1000) {
      const beats = { [ME]: { beat: ms, mailboxes: [] }, [OTHER]: { beat: 1 } };
      view = look(view, ms, { locks: holds, beats });
      given.push(mustGive(view));
    }
    expect([given[9], given[14], given[15], given[40]]).toEqual([false, true, false, false]);
    const unable = { [ME]: { beat: 1 }, [OTHER]: { beat: 1, mailboxes: ["sales"] } };
    expect(mustGive(beat(EMPTY_VIEW, 60_000, unable))).toBe(false);
  });
});

describe("another host", () => {
  const seen = (before: ClusterView, after: ClusterView): boolean =>
    isOtherHostSeen(before, after, me);

  test("is seen by a node of it that lives", () => {
    const here = look(EMPTY_VIEW, 0, { beats: { [ME]: { beat: 1 }, [OTHER]: { beat: 1 } } });
    expect(seen(EMPTY_VIEW, here)).toBe(false);
    const there = look(here, 1000, { beats: { [OTHER]: { beat: 1, host: "there" } } });
    expect(seen(here, there)).toBe(true);
  });

  test("is seen by a lock that moves and that no node of our host holds", () => {
    const still = look(EMPTY_VIEW, 0, { locks: { default: value(OTHER) } });
    expect(seen(EMPTY_VIEW, still)).toBe(false);
    expect(seen(still, look(still, 1000, { locks: { default: value(OTHER) } }))).toBe(false);
    const moved = look(still, 1000, { locks: { default: value(OTHER, 1) } });
    expect(seen(still, moved)).toBe(true);
  });

  test("is not seen in a lock of our own, of a neighbour or of another program", () => {
    const beats = { [ME]: { beat: 1 }, [OTHER]: { beat: 1 } };
    const free = look(EMPTY_VIEW, 0, { locks: { default: null }, beats });
    for (const taken of [value(ME), value(OTHER), "pid=7 host=x"]) {
      expect(seen(free, look(free, 1000, { locks: { default: taken }, beats }))).toBe(false);
    }
  });
});
