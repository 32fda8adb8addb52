// Messages and servers that fail, on the whole daemon under a virtual clock: what one message does must
// cost the others nothing, what the server does must cost no message its content, and nothing spins.
import { describe, expect, test } from "vitest";
import { MailError } from "../src/core/errors.ts";
import { startFakeDaemon } from "./support/fake-daemon.ts";

const closed = (): never => {
  throw new MailError("closed", "ECONNRESET");
};

describe("a message that ends every connection that reads it", () => {
  test("goes out reduced, and the others whole", async () => {
    const here = await startFakeDaemon();
    here.server.trouble.metadata = (uids) => (uids.includes(3) ? closed() : undefined);
    for (const name of ["one", "two", "three", "four", "five"]) here.server.deliver(name, name);
    await here.clock.runUntil(() => here.receiver.requests.length === 5, 60_000);
    const events = here.posted();
    expect(events.filter(({ unreadable }) => unreadable === null).map(({ uid }) => uid)).toEqual(
      expect.arrayContaining([1, 2, 4, 5]),
    );
    expect(events.find(({ uid }) => uid === 3)).toMatchObject({
      unreadable: "malformed",
      subject: "three",
      text: null,
    });
    expect(here.server.attempts.length).toBeLessThan(10);
    await here.stop();
  });

  test("goes out whole when its header can be read another way", async () => {
    const here = await startFakeDaemon();
    here.server.trouble.metadata = (uids) => (uids.includes(3) ? closed() : undefined);
    here.server.trouble.suspect = () => undefined;
    for (const name of ["one", "two", "three", "four"]) here.server.deliver(name, name);
    await here.clock.runUntil(() => here.receiver.requests.length === 4, 60_000);
    expect(here.posted().every(({ unreadable }) => unreadable === null)).toBe(true);
    expect(here.server.attempts).toHaveLength(2);
    await here.stop();
  });

  test("is tried again with back-off when its header fails too, and keeps its sender", async () => {
    const here = await startFakeDaemon({
      polling: { sender_of_interest_for_polling: ["sender@fake.test"] },
    });
    let failures = 3;
    here.server.trouble.metadata = (uids) => (uids.includes(1) ? closed() : undefined);
    here.server.trouble.header = () => ((failures -= 1) >= 0 ? closed() : undefined);
    here.server.deliver("wanted", "text");
    await here.clock.runUntil(() => here.receiver.requests.length === 1, 600_000);
    expect(here.posted()[0]).toMatchObject({ subject: "wanted", unreadable: "malformed" });
    await here.stop();
  });

  test("goes out without an envelope in the end, whoever sent it", async () => {
    const here = await startFakeDaemon({
      polling: { sender_of_interest_for_polling: ["somebody@else.test"] },
    });
    here.server.trouble.metadata = closed;
    here.server.trouble.header = closed;
    here.server.deliver("unknown", "text");
    await here.clock.runUntil(() => here.receiver.requests.length === 1, 3_600_000);
    expect(here.posted()[0]).toMatchObject({ from: null, unreadable: "malformed" });
    await here.stop();
  });
});

describe("many messages in a row that are too long to be told of", () => {
  test("cost one connection each, and the mail behind them waits for seconds only", async () => {
    const here = await startFakeDaemon();
    here.server.trouble.metadata = (uids) => {
      if (uids.some((uid) => uid <= 8)) throw new MailError("closed", "ResponseTooLarge");
    };
    for (let count = 1; count <= 9; count += 1) here.server.deliver(`mail ${count}`, "text");
    await here.clock.runUntil(() => here.receiver.requests.length === 9, 30_000);
    expect(here.server.attempts).toHaveLength(10);
    expect(here.posted().filter(({ unreadable }) => unreadable === null)).toHaveLength(1);
    await here.stop();
  });
});

describe("a server that answers no fetch", () => {
  test("costs no message its body: the loop backs off until it is well again", async () => {
    const here = await startFakeDaemon();
    here.server.trouble.bodies = () => {
      throw new MailError("refused", "SERVERBUG");
    };
    for (let count = 0; count < 20; count += 1) here.server.deliver(`mail ${count}`, "whole");
    await here.clock.advance(60_000);
    expect(here.receiver.requests).toEqual([]);
    delete here.server.trouble.bodies;
    await here.clock.runUntil(() => here.receiver.requests.length === 20, 600_000);
    expect(here.posted().every(({ text }) => text === "whole")).toBe(true);
    await here.stop();
  });
});

describe("an error of our own code on one message", () => {
  test("costs the others nothing and makes that one a reduced event", async () => {
    const here = await startFakeDaemon();
    here.server.deliver("good", "good");
    here.server.poison("bad");
    here.server.deliver("good too", "good");
    await here.clock.runUntil(() => here.receiver.requests.length === 3, 60_000);
    here.server.deliver("later", "good");
    await here.clock.runUntil(() => here.receiver.requests.length === 4, 60_000);
    const bad = here.posted().filter(({ unreadable }) => unreadable !== null);
    expect(bad).toHaveLength(1);
    await here.stop();
  });
});

describe("redelivery of a message that ends the connection", () => {
  test("does not spin and does not hold up new mail", async () => {
    const here = await startFakeDaemon();
    here.server.deliver("one", "one");
    here.server.deliver("two", "two");
    await here.clock.runUntil(() => here.receiver.requests.length === 2, 60_000);
    here.server.trouble.metadata = (uids) => (uids.includes(2) ? closed() : undefined);
    await here.store().requestRedelivery("default", [1, 2]);
    const before = here.server.attempts.length;
    here.server.deliver("three", "three");
    await here.clock.runUntil(() => here.receiver.requests.length === 5, 600_000);
    expect(here.server.attempts.length - before).toBeLessThan(20);
    expect(
      here
        .posted()
        .map(({ uid }) => uid)
        .toSorted(),
    ).toEqual([1, 1, 2, 2, 3]);
    await here.stop();
  });
});

describe("a folder without usable numbers", () => {
  test("is looked at again after a back-off, with a new session", async () => {
    const here = await startFakeDaemon({}, (server) => server.setUidvalidity("0"));
    await here.clock.advance(60_000);
    expect(here.server.attempts.length).toBeGreaterThan(1);
    here.server.setUidvalidity("7");
    here.server.deliver("after", "text");
    await here.clock.runUntil(() => here.receiver.requests.length === 1, 600_000);
    await here.stop();
  });
});

describe("a slow receiver", () => {
  test("has its own timeout, whatever the cycle's watch says", async () => {
    const here = await startFakeDaemon({ webhook: { timeout_seconds: 250 } });
    here.receiver.answerAfter(here.clock, 200_000);
    here.server.deliver("slow", "text");
    await here.clock.advance(1_000_000);
    expect(here.receiver.requests).toHaveLength(1);
    expect(here.eventsOf("cycle.overdue")).toEqual([]);
    await here.stop();
  });
});
