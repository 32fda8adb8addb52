// The second connection of a mailbox under a clock that the test moves: how long it is waited for, how
// often it is tried, and when it is closed.
import { describe, expect, test } from "vitest";
import { createVirtualClock } from "../../../test/support/virtual-clock.ts";
import { MailError } from "../../core/errors.ts";
import type { MailSession } from "../../mail/session.ts";
import { createAttachmentConnection } from "./attachment-connection.ts";

const start = () => {
  const clock = createVirtualClock();
  const seen = { tries: 0, closed: 0, destroyed: 0, given: [] as AbortSignal[] };
  let opens: (signal: AbortSignal) => Promise<void> = () => Promise.resolve();
  const session = {
    bytesRead: () => 0,
    close: async () => void (seen.closed += 1),
    destroy: () => void (seen.destroyed += 1),
  } as Partial<MailSession> as MailSession;
  const stop = new AbortController();
  const connection = createAttachmentConnection({
    clock,
    stop: stop.signal,
    request: () => ({ folder: "INBOX", readOnly: true }) as never,
    openSession: async (_, signal) => {
      seen.tries += 1;
      seen.given.push(signal);
      await opens(signal);
      return session;
    },
  });
  /** How one try to have a session ends. */
  const open = async (passMs = 0): Promise<string> => {
    const opening = connection.session().then(
      () => "open",
      (error: { code?: string }) => String(error.code),
    );
    await clock.advance(passMs);
    return opening;
  };
  const setOpening = (next: typeof opens): void => {
    opens = next;
  };
  return { clock, seen, stop, connection, open, setOpening };
};

describe("the second connection", () => {
  test("is waited for ten seconds, and gives its place in the line up then", async () => {
    const { open, seen, setOpening } = start();
    setOpening(() => new Promise(() => undefined));
    expect(await open(10_000)).toBe("deadline/passed");
    expect(seen.given[0]?.aborted).toBe(true);
  });

  test("is not tried again for a minute after it could not be had", async () => {
    const { clock, open, seen, setOpening } = start();
    setOpening(() => Promise.reject(new MailError("throttled", "LIMIT")));
    expect(await open()).toBe("LIMIT");
    await clock.advance(59_000);
    expect(await open()).toBe("RESTING");
    setOpening(() => Promise.resolve());
    await clock.advance(1000);
    expect(await open()).toBe("open");
    expect(seen.tries).toBe(2);
  });

  test("is tried again at once when it was we who ended the attempt", async () => {
    const { clock, open, connection, setOpening } = start();
    setOpening(
      (signal) =>
        new Promise((_, reject) => {
          signal.addEventListener("abort", () => reject(signal.reason));
        }),
    );
    const first = open();
    await clock.advance(0);
    connection.destroy();
    expect(await first).not.toBe("open");
    setOpening(() => Promise.resolve());
    expect(await open()).toBe("open");
  });

  test("is closed when nobody used it for a minute, not while it is used", async () => {
    const { clock, open, connection, seen } = start();
    await open();
    await clock.advance(50_000);
    const reading = { totalMs: 600_000, minBytesPerSecond: 0 };
    const used = connection.command("reading", () => clock.sleep(100_000), reading);
    await clock.advance(100_000);
    await used;
    await clock.advance(59_000);
    expect(seen.closed).toBe(0);
    await clock.advance(1000);
    expect(seen.closed).toBe(1);
    expect(clock.sleepers()).toBe(0);
  });

  test("is watched no longer once it was closed, destroyed or stopped", async () => {
    for (const end of ["close", "destroy", "stop"] as const) {
      const { clock, open, connection, seen, stop } = start();
      await open();
      if (end === "stop") stop.abort();
      else await connection[end]();
      await clock.advance(0);
      expect(clock.sleepers()).toBe(0);
      expect(seen.closed + seen.destroyed).toBe(end === "stop" ? 0 : 1);
    }
  });
});
