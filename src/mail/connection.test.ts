// The one connection of a mailbox over a server that takes its time: what is opened once, and what ends an
// attempt to open.
import { describe, expect, test } from "vitest";
import { createFakeServer } from "../../test/support/fake-world.ts";
import { createVirtualClock } from "../../test/support/virtual-clock.ts";
import { MailError, isAbort } from "../core/errors.ts";
import { createConnection, openInTime } from "./connection.ts";
import type { MailSession, SessionRequest } from "./session.ts";

const request: SessionRequest = {
  imap: {
    host: "imap.fake.test",
    port: 993,
    tls: "implicit",
    user: "someone",
    password: "word",
    maxConnections: 10,
  },
  folder: "INBOX",
  readOnly: true,
};

/** A connection whose sessions take `openMs` to open and do not listen to signals. */
const setUp = (openMs: number) => {
  const clock = createVirtualClock();
  const server = createFakeServer(clock);
  const destroyed: MailSession[] = [];
  let opened = 0;
  const connection = createConnection({
    clock,
    stop: new AbortController().signal,
    request: () => request,
    opened: () => (opened += 1),
    openSession: openInTime(clock, async (wanted, signal) => {
      await clock.sleep(openMs);
      const session = await server.openSession(wanted, signal);
      return { ...session, destroy: () => void destroyed.push(session) };
    }),
  });
  return { clock, server, connection, destroyed, opened: () => opened };
};

describe("the connection of a mailbox", () => {
  test("opens one session for all who ask at the same time", async () => {
    const { clock, connection, opened, server } = setUp(1000);
    const both = Promise.all([connection.session(), connection.session()]);
    await clock.advance(1000);
    const [one, other] = await both;
    expect(one).toBe(other);
    expect(await connection.session()).toBe(one);
    expect([opened(), server.attempts.length]).toEqual([1, 1]);
  });

  test("gives up at once what is being opened when it is destroyed", async () => {
    const { clock, connection, destroyed, opened } = setUp(50_000);
    const given = connection.session().catch((error: unknown) => error);
    connection.destroy();
    expect(isAbort(await given)).toBe(true);
    const next = connection.session();
    await clock.advance(50_000);
    await next;
    // The late first one is ended; the second is the one that counts.
    expect([destroyed.length, opened()]).toEqual([1, 1]);
  });

  test("tells of a server that does not answer, and tries anew when asked", async () => {
    const { clock, connection } = setUp(61_000);
    const late = connection.session().catch((error: unknown) => error);
    await clock.advance(60_000);
    expect(await late).toMatchObject({ failure: "unreachable", code: "ETIMEDOUT" });
    expect(await late).toBeInstanceOf(MailError);
    const next = connection.session().catch(() => "late again");
    await clock.advance(60_000);
    expect(await next).toBe("late again");
  });
});
