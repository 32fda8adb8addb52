// Placement as every node works it out: independent of order, bounded, even, and calm when a node comes or
// goes. Properties over random clusters; the figures are those of 100 mailboxes.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createSeededRandom } from "../../../test/support/seeded-random.ts";
import { uuid } from "../../core/random.ts";
import { place } from "./placement.ts";

const loadsOf = (placed: ReadonlyMap<string, string>): ReadonlyMap<string, number> => {
  const loads = new Map<string, number>();
  for (const node of placed.values()) loads.set(node, (loads.get(node) ?? 0) + 1);
  return loads;
};

/** Nodes that are each configured for some of the mailboxes. */
const clusters = fc
  .tuple(
    fc.uniqueArray(fc.stringMatching(/^[a-z0-9]{1,8}$/), { maxLength: 30 }),
    fc.uniqueArray(fc.uuid(), { maxLength: 6 }),
  )
  .chain(([mailboxes, nodes]) =>
    fc.record({
      mailboxes: fc.constant(mailboxes),
      members: fc.tuple(
        ...nodes.map((node) => fc.subarray(mailboxes).map((ids) => ({ node, mailboxes: ids }))),
      ),
    }),
  );

const HUNDRED = Array.from({ length: 100 }, (_, index) => `mailbox-${index}`);

/** `many` sets of `count` nodes, all configured for the hundred. */
const clustersOf = (count: number, many: number) => {
  const random = createSeededRandom(count);
  return Array.from({ length: many }, () =>
    Array.from({ length: count }, () => ({ node: uuid(random), mailboxes: HUNDRED })),
  );
};

/** How many mailboxes change from one node to another, both of which live before and after. */
const movedBetween = (
  before: ReadonlyMap<string, string>,
  after: ReadonlyMap<string, string>,
): number => {
  const survivors = new Set(before.values()).intersection(new Set(after.values()));
  return [...before].filter(([mailbox, node]) => {
    const next = after.get(mailbox) ?? "";
    return next !== node && survivors.has(node) && survivors.has(next);
  }).length;
};

describe("placement", () => {
  test("gives every mailbox to a node that is configured for it, if there is one", () => {
    fc.assert(
      fc.property(clusters, ({ mailboxes, members }) => {
        const placed = place(mailboxes, members);
        const ableFor = (mailbox: string): string[] =>
          members.filter((one) => one.mailboxes.includes(mailbox)).map(({ node }) => node);
        const possible = mailboxes.filter((mailbox) => ableFor(mailbox).length > 0);
        expect([...placed.keys()].toSorted()).toEqual(possible.toSorted());
        for (const [mailbox, node] of placed) expect(ableFor(mailbox)).toContain(node);
      }),
    );
  });

  test("is the same whatever the order of mailboxes and nodes", () => {
    fc.assert(
      fc.property(clusters, fc.nat(), ({ mailboxes, members }, seed) => {
        const random = createSeededRandom(seed);
        const shuffled = <T>(items: readonly T[]): T[] =>
          items
            .map((item) => ({ item, order: random.u32() }))
            .toSorted((a, b) => a.order - b.order)
            .map(({ item }) => item);
        const other = place(shuffled(mailboxes), shuffled(members));
        expect([...other].toSorted()).toEqual([...place(mailboxes, members)].toSorted());
      }),
    );
  });

  test("gives no node more than its bound where all are configured alike", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 60 }),
        fc.integer({ min: 1, max: 8 }),
        (many, count) => {
          const mailboxes = HUNDRED.slice(0, many);
          const members = Array.from({ length: count }, (_, n) => ({
            node: `node-${n}`,
            mailboxes,
          }));
          const most = Math.max(0, ...loadsOf(place(mailboxes, members)).values());
          expect(most).toBeLessThanOrEqual(Math.ceil(many / count) + 1);
        },
      ),
    );
  });

  test("lets a node have more when it alone can", () => {
    const placed = place(HUNDRED, [
      { node: "able", mailboxes: HUNDRED },
      { node: "other", mailboxes: [] },
    ]);
    expect(loadsOf(placed)).toEqual(new Map([["able", 100]]));
  });

  test("gives the mailboxes with little choice their nodes first", () => {
    const [special = "", ...rest] = HUNDRED.slice(0, 4).toReversed();
    const placed = place(
      [...rest, special],
      [
        { node: "a", mailboxes: [...rest, special] },
        { node: "b", mailboxes: rest },
      ],
    );
    expect(placed.get(special)).toBe("a");
    expect(Math.max(...loadsOf(placed).values())).toBeLessThanOrEqual(3);
  });

  test.each([3, 4])("spreads 100 mailboxes over %i nodes within 20 percent of even", (count) => {
    const even = 100 / count;
    for (const members of clustersOf(count, 1000)) {
      const loads = [...loadsOf(place(HUNDRED, members)).values()];
      expect(loads).toHaveLength(count);
      expect(Math.min(...loads)).toBeGreaterThanOrEqual(even * 0.8);
      expect(Math.max(...loads)).toBeLessThanOrEqual(even * 1.2);
    }
  });

  test.each([3, 4])("moves few mailboxes besides its own when one of %i nodes goes", (count) => {
    const moved = clustersOf(count, 100).map((members) =>
      movedBetween(place(HUNDRED, members), place(HUNDRED, members.slice(1))),
    );
    const average = moved.reduce((sum, one) => sum + one, 0) / moved.length;
    expect(average).toBeLessThanOrEqual(3);
    expect(Math.max(...moved)).toBeLessThanOrEqual(15);
  });

  test.each([3, 4])("moves few mailboxes but to the new one when a node joins %i", (count) => {
    const random = createSeededRandom(99);
    const moved = clustersOf(count, 100).map((members) => {
      const joined = [...members, { node: uuid(random), mailboxes: HUNDRED }];
      return movedBetween(place(HUNDRED, members), place(HUNDRED, joined));
    });
    const average = moved.reduce((sum, one) => sum + one, 0) / moved.length;
    expect(average).toBeLessThanOrEqual(3);
    expect(Math.max(...moved)).toBeLessThanOrEqual(15);
  });
});
