// Messages that are read from their octets, on the whole daemon under a virtual clock: when that is tried,
// how often a connection may fail under it, who pays for that, and what goes out in the end.
import { describe, expect, test } from "vitest";
import { MailError } from "../src/core/errors.ts";
import type { ParseInWorker } from "../src/mail/raw/raw-message.ts";
import { startFakeDaemon } from "./support/fake-daemon.ts";

const RANGE = 512 * 1024;

const closed = (): never => {
  throw new MailError("closed", "ECONNRESET");
};

type Here = Awaited<ReturnType<typeof startFakeDaemon>>;

/** A parser to which all octets are the text; keeps what it was given. */
const withParser = (here: Here): { bytes: number; cut: boolean }[] => {
  const given: { bytes: number; cut: boolean }[] = [];
  const parse: ParseInWorker = async ({ raw, cut }) => {
    given.push({ bytes: raw.length, cut });
    const text = Buffer.from(raw).toString().slice(0, 100);
    return { text, html: null, attachments: [], truncated: cut ? ["text"] : [] };
  };
  here.parser.parse = parse;
  return given;
};

describe("a message without a usable structure", () => {
  test("goes out with what its octets hold, the others beside it as ever", async () => {
    const here = await startFakeDaemon();
    const given = withParser(here);
    here.server.deliver("one", "text of one");
    here.server.shapeless("two", "octets with https://wetransfer.com/downloads/x");
    here.server.deliver("three", "text of three");
    await here.clock.runUntil(() => here.receiver.requests.length === 3, 60_000);
    expect(here.posted().find(({ uid }) => uid === 2)).toMatchObject({
      subject: "two",
      text: "octets with https://wetransfer.com/downloads/x",
      links: [{ provider: "wetransfer", url: "https://wetransfer.com/downloads/x" }],
      truncated: [],
      unreadable: null,
    });
    expect(here.posted().every(({ unreadable }) => unreadable === null)).toBe(true);
    expect(given).toEqual([{ bytes: 46, cut: false }]);
    expect(here.eventsOf("message.read_raw")).toMatchObject([{ mailbox: "default", uid: 2 }]);
    expect(here.eventsOf("message.reduced")).toEqual([]);
    await here.stop();
  });

  test("is read in ranges and no further than 4 MiB", async () => {
    const here = await startFakeDaemon();
    const given = withParser(here);
    const offsets: number[] = [];
    here.server.trouble.octets = (_, offset) => void offsets.push(offset / RANGE);
    here.server.shapeless("long", "x".repeat(9 * RANGE));
    here.server.shapeless("short", "x".repeat(RANGE));
    await here.clock.runUntil(() => here.receiver.requests.length === 2, 60_000);
    expect(offsets).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 0, 1]);
    expect(given).toEqual([
      { bytes: 8 * RANGE, cut: true },
      { bytes: RANGE, cut: false },
    ]);
    await here.stop();
  });

  test("is not read when its sender is not of interest", async () => {
    const here = await startFakeDaemon({
      polling: { sender_of_interest_for_polling: ["somebody@else.test"] },
    });
    const given = withParser(here);
    here.server.shapeless("unwanted", "octets");
    await here.clock.advance(60_000);
    expect([given, here.receiver.requests]).toEqual([[], []]);
    await here.stop();
  });

  test("goes out reduced when the parser fails, and so it does when our own code does", async () => {
    const here = await startFakeDaemon();
    here.server.shapeless("one", "octets");
    await here.clock.runUntil(() => here.receiver.requests.length === 1, 60_000);
    here.parser.parse = () => Promise.reject(new TypeError("of our own"));
    here.server.shapeless("two", "octets");
    await here.clock.runUntil(() => here.receiver.requests.length === 2, 60_000);
    expect(here.posted().map(({ subject, unreadable }) => [subject, unreadable])).toEqual([
      ["one", "malformed"],
      ["two", "malformed"],
    ]);
    expect(here.eventsOf("message.suspect")).toEqual([]);
    expect(here.server.attempts).toHaveLength(1);
    await here.stop();
  });

  test("is gone when it vanishes before it is read, or in the middle", async () => {
    const here = await startFakeDaemon();
    const given = withParser(here);
    here.server.trouble.octets = (uid, offset) => {
      if (uid === 1 || offset > 0) here.server.expunge(uid);
    };
    here.server.shapeless("one", "octets");
    here.server.shapeless("two", "x".repeat(2 * RANGE));
    here.server.shapeless("three", "octets");
    await here.clock.runUntil(() => here.receiver.requests.length === 1, 60_000);
    await here.clock.advance(60_000);
    expect(here.posted()).toMatchObject([{ uid: 3, unreadable: null }]);
    expect(here.eventsOf("message.gone").map(({ uid }) => uid)).toEqual([1, 2]);
    expect(given).toHaveLength(1);
    await here.stop();
  });
});

describe("a connection that fails while octets are read", () => {
  test("is tried once more, at once, and costs no other message anything", async () => {
    const here = await startFakeDaemon();
    withParser(here);
    let failures = 1;
    here.server.trouble.octets = (uid) => {
      if (uid === 2 && (failures -= 1) >= 0) closed();
    };
    here.server.deliver("one", "text");
    here.server.shapeless("two", "octets");
    here.server.shapeless("three", "octets");
    await here.clock.runUntil(() => here.receiver.requests.length === 3, 5000);
    expect(here.posted().every(({ unreadable }) => unreadable === null)).toBe(true);
    expect(here.eventsOf("message.suspect")).toMatchObject([{ uid: 2, count: 1 }]);
    expect(here.server.attempts).toHaveLength(2);
    await here.stop();
  });

  test("twice makes a reduced event of that message alone", async () => {
    const here = await startFakeDaemon();
    withParser(here);
    here.server.trouble.octets = (uid) => (uid === 2 ? closed() : undefined);
    for (const name of ["one", "two", "three"]) here.server.shapeless(name, "octets");
    await here.clock.runUntil(() => here.receiver.requests.length === 3, 5000);
    const reduced = here.posted().filter(({ unreadable }) => unreadable !== null);
    expect(reduced).toMatchObject([{ uid: 2, subject: "two", unreadable: "malformed" }]);
    await here.clock.advance(600_000);
    expect(here.receiver.requests).toHaveLength(3);
    expect(here.server.attempts).toHaveLength(3);
    await here.stop();
  });

  test("twice behind the first range keeps what has arrived", async () => {
    const here = await startFakeDaemon();
    const given = withParser(here);
    here.server.trouble.octets = (_, offset) => (offset > 0 ? closed() : undefined);
    here.server.shapeless("long", "start ".repeat(RANGE));
    await here.clock.runUntil(() => here.receiver.requests.length === 1, 5000);
    expect(given).toEqual([{ bytes: RANGE, cut: true }]);
    expect(here.posted()).toMatchObject([{ unreadable: null, truncated: ["text"] }]);
    await here.stop();
  });

  test("once is enough when the server sends more than we take", async () => {
    const here = await startFakeDaemon();
    withParser(here);
    here.server.trouble.octets = () => {
      throw new MailError("closed", "LiteralTooLarge");
    };
    for (let count = 1; count <= 5; count += 1) here.server.shapeless(`mail ${count}`, "octets");
    await here.clock.runUntil(() => here.receiver.requests.length === 5, 30_000);
    expect(here.posted().every(({ unreadable }) => unreadable === "malformed")).toBe(true);
    expect(here.server.attempts.length).toBeLessThanOrEqual(6);
    await here.stop();
  });

  test("for many messages is the server's doing: the loop backs off, and none loses its text", async () => {
    const here = await startFakeDaemon();
    withParser(here);
    here.server.trouble.octets = closed;
    for (let count = 0; count < 10; count += 1) here.server.shapeless(`mail ${count}`, "octets");
    await here.clock.advance(30_000);
    expect(here.receiver.requests).toEqual([]);
    expect(here.eventsOf("mailbox.failed").length).toBeGreaterThan(0);
    delete here.server.trouble.octets;
    await here.clock.runUntil(() => here.receiver.requests.length === 10, 600_000);
    expect(here.posted().every(({ unreadable }) => unreadable === null)).toBe(true);
    await here.stop();
  });

  test("for ever lets every message out in the end, without spinning", async () => {
    const here = await startFakeDaemon();
    withParser(here);
    here.server.trouble.octets = closed;
    for (let count = 0; count < 10; count += 1) here.server.shapeless(`mail ${count}`, "octets");
    await here.clock.runUntil(() => here.receiver.requests.length === 10, 24 * 3_600_000);
    expect(here.server.attempts.length).toBeLessThan(120);
    await here.clock.advance(600_000);
    expect(here.receiver.requests).toHaveLength(10);
    await here.stop();
  });
});

describe("a message that was given up because it ended the connection", () => {
  test("goes out with what its octets hold", async () => {
    const here = await startFakeDaemon();
    withParser(here);
    here.server.trouble.metadata = (uids) => (uids.includes(2) ? closed() : undefined);
    for (const name of ["one", "two", "three"]) here.server.deliver(name, `text of ${name}`);
    await here.clock.runUntil(() => here.receiver.requests.length === 3, 60_000);
    expect(here.posted().find(({ uid }) => uid === 2)).toMatchObject({
      subject: "two",
      text: "text of two",
      unreadable: null,
    });
    await here.stop();
  });

  test("goes out reduced when its octets end the connection too", async () => {
    const here = await startFakeDaemon();
    withParser(here);
    here.server.trouble.metadata = (uids) => (uids.includes(2) ? closed() : undefined);
    here.server.trouble.octets = closed;
    for (const name of ["one", "two", "three"]) here.server.deliver(name, `text of ${name}`);
    await here.clock.runUntil(() => here.receiver.requests.length === 3, 60_000);
    expect(here.posted().find(({ uid }) => uid === 2)).toMatchObject({ unreadable: "malformed" });
    expect(here.server.attempts.length).toBeLessThan(10);
    await here.stop();
  });
});
