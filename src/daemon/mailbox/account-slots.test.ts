// The slots of mail accounts over sessions made of plain objects, under a clock that the test moves: how
// many are open and being opened, who is next, and that nothing that fails or gives up keeps a slot.
import { describe, expect, test } from "vitest";
import { createFakeServer } from "../../../test/support/fake-world.ts";
import { createVirtualClock } from "../../../test/support/virtual-clock.ts";
import { MailError, isAbort } from "../../core/errors.ts";
import type { ImapSettings } from "../../core/settings.ts";
import type { MailSession, SessionRequest } from "../../mail/session.ts";
import { createAccountSlots } from "./account-slots.ts";

const account = (user: string, maxConnections = 2, host = "imap.fake.test"): ImapSettings => ({
  ...{ host, port: 993, tls: "implicit", user, password: "word", maxConnections },
});

const request = (imap: ImapSettings): SessionRequest => ({ imap, folder: "INBOX", readOnly: true });

const never = new AbortController().signal;

/** Slots over a server that takes `openMs` to log somebody in; `fails` says which logins it refuses. */
const setUp = (openMs = 0, fails: (user: string) => boolean = () => false) => {
  const clock = createVirtualClock();
  const server = createFakeServer(clock);
  const seen = { opening: 0, mostOpening: 0, ended: [] as string[] };
  const slots = createAccountSlots({
    clock,
    openSession: async (wanted, signal) => {
      const { user } = wanted.imap;
      seen.opening += 1;
      seen.mostOpening = Math.max(seen.mostOpening, seen.opening);
      await clock.sleep(openMs, signal);
      seen.opening -= 1;
      if (fails(user)) throw new MailError("rejected", "AUTH");
      const session = await server.openSession(wanted, signal);
      return {
        ...session,
        close: async () => {
          await clock.sleep(100);
          seen.ended.push(`closed ${user}`);
        },
        destroy: () => void seen.ended.push(`destroyed ${user}`),
      };
    },
  });
  const opened: MailSession[] = [];
  const errors: unknown[] = [];
  const open = (imap: ImapSettings, signal: AbortSignal = never): void =>
    void slots.openSession(request(imap), signal).then(
      (session) => opened.push(session),
      (error: unknown) => errors.push(error),
    );
  return { clock, slots, seen, opened, errors, open };
};

describe("the slots of an account", () => {
  test("bound its connections, and tell that one is wanted", async () => {
    const { clock, slots, opened, open } = setUp();
    const imap = account("someone");
    for (let n = 0; n < 3; n += 1) open(imap);
    await clock.advance(0);
    expect([opened.length, slots.isWanted(imap)]).toEqual([2, true]);
    expect(slots.isWanted(account("somebody else"))).toBe(false);
    opened[0]?.destroy();
    await clock.advance(0);
    expect([opened.length, slots.isWanted(imap)]).toEqual([3, false]);
  });

  test("are the same for two spellings of the host, and others for another user", async () => {
    const { clock, slots, opened, open } = setUp();
    const imap = account("someone", 1);
    open(imap);
    open(account("someone", 1, "IMAP.Fake.Test"));
    open(account("somebody else", 1));
    await clock.advance(0);
    expect([opened.length, slots.isWanted(imap)]).toEqual([2, true]);
  });

  test("go by the limit of who asks, and nobody passes who came first", async () => {
    const { clock, opened, open } = setUp();
    for (const limit of [2, 2, 1, 5]) open(account("someone", limit));
    await clock.advance(0);
    expect(opened).toHaveLength(2);
    opened[0]?.destroy();
    await clock.advance(0);
    expect(opened).toHaveLength(2);
    opened[1]?.destroy();
    await clock.advance(0);
    expect(opened).toHaveLength(4);
  });

  test("are free when the server has taken leave, however often a session is ended", async () => {
    const { clock, seen, opened, open } = setUp();
    const imap = account("someone", 1);
    for (let n = 0; n < 3; n += 1) open(imap);
    await clock.advance(0);
    void opened[0]?.close();
    await clock.advance(99);
    expect(opened).toHaveLength(1);
    await clock.advance(1);
    expect([opened.length, seen.ended]).toEqual([2, ["closed someone"]]);
    opened[0]?.destroy();
    await clock.advance(0);
    expect(opened).toHaveLength(2);
  });

  test("are free after a login that failed", async () => {
    const { clock, errors, opened, open, slots } = setUp(0, (user) => user === "wrong");
    const imap = account("wrong", 1);
    open(imap);
    open(imap);
    await clock.advance(0);
    expect(errors).toMatchObject([{ failure: "rejected" }, { failure: "rejected" }]);
    expect([opened.length, slots.isWanted(imap)]).toEqual([0, false]);
  });

  test("are not waited for by who gave up, before or while he waited", async () => {
    const { clock, errors, opened, open, slots } = setUp();
    const imap = account("someone", 1);
    const given = new AbortController();
    open(imap);
    open(imap, given.signal);
    open(imap);
    await clock.advance(0);
    given.abort();
    open(imap, AbortSignal.abort());
    await clock.advance(0);
    expect(errors.map(isAbort)).toEqual([true, true]);
    opened[0]?.destroy();
    await clock.advance(0);
    expect([opened.length, slots.isWanted(imap)]).toEqual([2, false]);
  });
});

describe("the logins of a process", () => {
  test("are at most four under way, over all accounts", async () => {
    const { clock, seen, opened, open } = setUp(1000);
    for (let n = 0; n < 10; n += 1) open(account(`user-${n}`));
    await clock.advance(1000);
    expect([opened.length, seen.mostOpening]).toEqual([4, 4]);
    await clock.advance(2000);
    expect([opened.length, seen.mostOpening]).toEqual([10, 4]);
  });

  test("have their time from the login on, however long they waited for their turn", async () => {
    const { clock, errors, opened, open } = setUp(50_000);
    const imap = account("someone", 1);
    open(imap);
    open(imap);
    await clock.advance(300_000);
    expect([opened.length, errors]).toEqual([1, []]);
    opened[0]?.destroy();
    await clock.advance(50_000);
    expect([opened.length, errors]).toEqual([2, []]);
  });

  test("end after a minute when the server does not answer, and make room", async () => {
    const { clock, errors, opened, open, seen } = setUp(61_000);
    for (let n = 0; n < 5; n += 1) open(account(`user-${n}`));
    await clock.advance(60_000);
    expect(errors).toHaveLength(4);
    expect(errors[0]).toMatchObject({ failure: "unreachable", code: "ETIMEDOUT" });
    await clock.advance(60_000);
    expect([opened.length, errors.length]).toEqual([0, 5]);
    await clock.advance(1000);
    expect(seen.opening).toBe(0);
  });

  test("give slot and turn back at once when they are given up", async () => {
    const { clock, errors, opened, open } = setUp(1000);
    const given = new AbortController();
    const imap = account("someone", 4);
    for (let n = 0; n < 4; n += 1) open(imap, given.signal);
    open(imap);
    await clock.advance(500);
    given.abort();
    await clock.advance(1000);
    expect([errors.length, opened.length]).toEqual([4, 1]);
  });
});
