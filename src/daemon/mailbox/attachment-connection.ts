// The second connection of a mailbox, on which attachments are read: opened when it is needed, soon given
// up when it cannot be had, and closed when it is not used. Whatever becomes of it is not held against the
// mailbox. Made by the runner.
import type { Clock } from "../../core/clock.ts";
import { DeadlineError, MailError, isAbort } from "../../core/errors.ts";
import { type Connection, createConnection } from "../../mail/connection.ts";
import type { OpenSession, SessionRequest } from "../../mail/session.ts";
import { withDeadline } from "../../resilience/deadline.ts";

/** So long a message waits for a place among the account's connections, and for the login. */
const OPEN_MS = 10_000;

/** After a failure the next messages need not wait for the same. */
const REST_MS = 60_000;

/** A connection that nobody used for so long is closed. */
const IDLE_MS = 60_000;

/** What it takes. */
export interface AttachmentConnectionDeps {
  clock: Clock;
  openSession: OpenSession;
  request: () => SessionRequest;
  /** Ends an attempt to connect, and the watch over an idle connection. */
  stop: AbortSignal;
}

/** A connection that nobody waits long for. */
export const createAttachmentConnection = (deps: AttachmentConnectionDeps): Connection => {
  const { clock, stop } = deps;
  const connection = createConnection({ ...deps, opened: () => void watchIdle() });
  let inUse = 0;
  let usedMs = clock.monoMs();
  let restUntilMs = -Infinity;
  let watch = new AbortController();

  /** Closes the session that was just opened, once it has been idle; until then or until it is ended. */
  const watchIdle = async (): Promise<void> => {
    watch.abort("another one");
    const mine = new AbortController();
    watch = mine;
    const ends = AbortSignal.any([stop, mine.signal]);
    usedMs = clock.monoMs();
    while (!ends.aborted) {
      const idleMs = inUse > 0 ? 0 : clock.monoMs() - usedMs;
      if (idleMs >= IDLE_MS) return connection.close();
      await clock.sleep(IDLE_MS - idleMs, ends);
    }
  };

  const using = async <T>(run: () => Promise<T>): Promise<T> => {
    inUse += 1;
    try {
      return await run();
    } finally {
      inUse -= 1;
      usedMs = clock.monoMs();
    }
  };

  return {
    ...connection,
    session: async () => {
      if (clock.monoMs() < restUntilMs) throw new MailError("unreachable", "RESTING");
      try {
        const bounds = { ms: OPEN_MS, what: "connecting for attachments" };
        return await withDeadline(clock, bounds, () => connection.session());
      } catch (error) {
        // Our own end of it, with a lost lease, says nothing about the server.
        if (!isAbort(error)) restUntilMs = clock.monoMs() + REST_MS;
        // Gives up its place in the line, too.
        if (error instanceof DeadlineError) connection.destroy();
        throw error;
      }
    },
    command: (what, run, reading) => using(() => connection.command(what, run, reading)),
    close: async () => {
      watch.abort("closed");
      await connection.close();
    },
    destroy: () => {
      watch.abort("destroyed");
      connection.destroy();
    },
  };
};
