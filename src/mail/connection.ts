// The one connection of a mailbox: opened when it is needed, destroyed when a command passes its
// deadline, so that there are never two. Every command of the orchestrator goes through `command`.
import type { Clock } from "../core/clock.ts";
import { DeadlineError, MailError } from "../core/errors.ts";
import { withDeadline, withProgress } from "../resilience/deadline.ts";
import type { MailSession, OpenSession, SessionRequest } from "./session.ts";

/** Connecting, logging in and opening the folder, together. */
const OPEN_TIMEOUT_MS = 60_000;

/** A command that moves few bytes; a server may think this long before it answers. */
const COMMAND_TIMEOUT_MS = 60_000;

/** The deadline of a command that reads much: a total, and a rate while it runs. */
export interface ReadingDeadline {
  totalMs: number;
  minBytesPerSecond: number;
}

/** The connection of one mailbox. */
export interface Connection {
  /**
   * The open session, or the one being opened; opens one when there is neither. Rejects with
   * `MailError`, and with an `AbortError` when it was ended while it was being opened.
   */
  session(): Promise<MailSession>;
  /**
   * Runs one command on the open session within its deadline; past it the session is destroyed
   * (`DeadlineError`). Opens none: rejects with `MailError` `unreachable` without one.
   */
  command<T>(
    what: string,
    run: (session: MailSession) => Promise<T>,
    reading?: ReadingDeadline,
  ): Promise<T>;
  /**
   * Waits on the open session until the server tells of mail ("news"), or `ms` passed or `stop` aborted
   * ("quiet"). Opens nothing.
   */
  wait(ms: number, stop: AbortSignal): Promise<"news" | "quiet">;
  /** Octets read by all sessions of this connection so far. */
  bytesRead(): number;
  /** Logs out politely, within a second. */
  close(): Promise<void>;
  /** Ends the session now, or the attempt to open one. */
  destroy(): void;
}

/** Is a session over after this error? A plain refusal leaves it as good as it was. */
const isOver = (error: unknown): boolean =>
  error instanceof DeadlineError ||
  (error instanceof MailError && !["refused", "folder_missing"].includes(error.failure));

/** Waits on a session, or without one just waits; ends early only by news or `stop`. */
const waitOn = async (
  clock: Clock,
  session: MailSession | null,
  { ms, stop }: { ms: number; stop: AbortSignal },
): Promise<"news" | "quiet"> => {
  const ended = new AbortController();
  const end = AbortSignal.any([stop, ended.signal]);
  const timer = clock.sleep(ms, end).then(() => ended.abort("ended"));
  try {
    if (session !== null) {
      // What a server may take to answer DONE comes on top of the wait itself.
      const bounds = { ms: ms + COMMAND_TIMEOUT_MS, what: "waiting for mail" };
      const heard = await withDeadline(clock, bounds, () => session.waitForMail(end));
      if (heard === "news") return "news";
    }
    // Also when a server ends IDLE early: the next look is not due before its time.
    await timer;
    return "quiet";
  } finally {
    ended.abort("ended");
  }
};

/** What a connection works with; `opened` is called after each success. */
interface ConnectionDeps {
  clock: Clock;
  /** Has a deadline of its own, see {@link openInTime}, and rejects at once when its signal aborts. */
  openSession: OpenSession;
  request: () => SessionRequest;
  opened: (session: MailSession) => void;
  /** Ends an attempt to connect at once. */
  stop: AbortSignal;
}

/**
 * Opens as `openSession` does, within a minute: then, or as soon as the signal aborts, it rejects, whether
 * `openSession` listens or not, and a session that comes later is destroyed.
 */
export const openInTime =
  (clock: Clock, openSession: OpenSession): OpenSession =>
  async (request, signal) => {
    const bounds = { ms: OPEN_TIMEOUT_MS, what: "connecting", signal };
    try {
      return await withDeadline(clock, bounds, async (given) => {
        const made = await openSession(request, given);
        if (given.aborted) made.destroy();
        return made;
      });
    } catch (error) {
      if (error instanceof DeadlineError) throw new MailError("unreachable", "ETIMEDOUT");
      throw error;
    }
  };

/** Opens until `end` aborts; `keep` takes the session as soon as it is there. */
const openUntil = async (
  { openSession, request, stop }: ConnectionDeps,
  end: AbortSignal,
  keep: (session: MailSession) => void,
): Promise<MailSession> => {
  const signal = AbortSignal.any([stop, end]);
  const made = await openSession(request(), signal);
  // After its end nobody waits for it any more, and the next one may be there already.
  if (signal.aborted) made.destroy();
  signal.throwIfAborted();
  keep(made);
  return made;
};

/** A connection that opens sessions by `request`. */
export const createConnection = (deps: ConnectionDeps): Connection => {
  const { clock } = deps;
  let open: MailSession | null = null;
  let opening: { session: Promise<MailSession>; end: AbortController } | null = null;
  let bytesBefore = 0;

  const forget = (): MailSession | null => {
    opening?.end.abort(new DOMException("the connection was given up", "AbortError"));
    opening = null;
    const session = open;
    bytesBefore += session?.bytesRead() ?? 0;
    open = null;
    return session;
  };

  const destroy = (): void => forget()?.destroy();

  const connect = async (end: AbortController): Promise<MailSession> => {
    try {
      return await openUntil(deps, end.signal, (made) => {
        open = made;
        deps.opened(made);
      });
    } finally {
      if (opening?.end === end) opening = null;
    }
  };

  const session = (): Promise<MailSession> => {
    if (open !== null) return Promise.resolve(open);
    if (opening === null) {
      const end = new AbortController();
      opening = { end, session: connect(end) };
    }
    return opening.session;
  };

  /** Runs on the session; one that is over is destroyed, and the next call opens another. */
  const using = async <T>(run: () => Promise<T>): Promise<T> => {
    try {
      return await run();
    } catch (error) {
      if (isOver(error)) destroy();
      throw error;
    }
  };

  return {
    session,
    destroy,
    command: async (what, run, reading) => {
      // Only a session whose folder was looked at may be used: another one may be numbered anew.
      const used = open;
      if (used === null) throw new MailError("unreachable", "NO_SESSION");
      if (reading === undefined) {
        const bounds = { ms: COMMAND_TIMEOUT_MS, what };
        return using(() => withDeadline(clock, bounds, () => run(used)));
      }
      const readBytes = (): number => used.bytesRead();
      return using(() => withProgress(clock, { ...reading, readBytes, what }, () => run(used)));
    },
    wait: (ms, stop) => using(() => waitOn(clock, open, { ms, stop })),
    bytesRead: () => bytesBefore + (open?.bytesRead() ?? 0),
    close: async () => {
      await forget()?.close();
    },
  };
};
