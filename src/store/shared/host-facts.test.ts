// Whether a data directory knows of another host, and whether it may do without Redis.
import { describe, expect, test } from "vitest";
import { DAY, NOW, repeatableRandom } from "../contract/samples.contract.ts";
import { openSqliteMemory } from "../sqlite.adapter.ts";
import { createSqliteStore } from "../sqlite.ts";
import {
  isOtherHostKnown,
  markOtherHost,
  markOwnHost,
  mustRefuseWithoutRedis,
} from "./host-facts.ts";
import type { Journal } from "./journal.ts";
import { createSqliteJournal } from "./sqlite-journal.ts";

const freshJournal = (): Journal => {
  const database = openSqliteMemory();
  createSqliteStore({ database, random: repeatableRandom(), spoolKeys: [] });
  return createSqliteJournal(database);
};

describe("another host", () => {
  test("is unknown until it is seen, and forgotten after thirty days", async () => {
    const journal = freshJournal();
    expect(await isOtherHostKnown(journal, NOW)).toBe(false);
    await markOtherHost(journal, NOW);
    expect(await isOtherHostKnown(journal, NOW)).toBe(true);
    expect(await isOtherHostKnown(journal, NOW + 30 * DAY - 1)).toBe(true);
    expect(await isOtherHostKnown(journal, NOW + 30 * DAY)).toBe(false);
  });

  test("that was seen in the future counts", async () => {
    const journal = freshJournal();
    await markOtherHost(journal, NOW);
    expect(await isOtherHostKnown(journal, NOW - 90 * DAY)).toBe(true);
  });

  test("is marked again once an hour and not more often", async () => {
    const journal = freshJournal();
    await markOtherHost(journal, NOW);
    await markOtherHost(journal, NOW + 3_599_999);
    expect((await journal.facts()).otherHostMs).toBe(NOW);
    await markOtherHost(journal, NOW + 3_600_000);
    expect((await journal.facts()).otherHostMs).toBe(NOW + 3_600_000);
  });

  test("wrote this directory when it bears another id", async () => {
    const journal = freshJournal();
    await markOwnHost(journal, "a", NOW);
    await markOwnHost(journal, "a", NOW + 1);
    expect(await isOtherHostKnown(journal, NOW + 1)).toBe(false);
    await markOwnHost(journal, "b", NOW + 2);
    expect(await journal.facts()).toMatchObject({ hostId: "b", otherHostMs: NOW + 2 });
  });
});

describe("a start without Redis", () => {
  test("is refused in a directory that used one", async () => {
    const journal = freshJournal();
    expect(mustRefuseWithoutRedis(await journal.facts())).toBe(false);
    await journal.writeFacts({ redisId: "r" });
    expect(mustRefuseWithoutRedis(await journal.facts())).toBe(true);
  });
});
