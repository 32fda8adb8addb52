// How many connections this process has at a time: so many to each mail account, whatever the number of its
// mailboxes, and few logins under way at once, so that a start does not look like an attack. Wraps the way
// sessions are opened; whoever has to wait is served in order.
import type { Clock } from "../../core/clock.ts";
import type { ImapSettings } from "../../core/settings.ts";
import { openInTime } from "../../mail/connection.ts";
import type { OpenSession } from "../../mail/session.ts";
import { createGate } from "../../resilience/gate.ts";

/** Logins of the whole process under way at a time. */
const MAX_LOGINS = 4;

/** Sessions within bounds. */
export interface AccountSlots {
  /**
   * Opens a session as soon as its account has room and its turn to log in has come; rejects with the
   * signal's reason when that aborts first. The time in which it must open begins then, not before.
   * Its slot is free again when the session was closed or destroyed.
   */
  openSession: OpenSession;
  /**
   * Is somebody waiting for a connection to this account? Then a mailbox closes its own after its cycle,
   * instead of keeping it until mail arrives.
   */
  isWanted(imap: ImapSettings): boolean;
}

interface Waiter {
  maxConnections: number;
  admit(): void;
}

/** The connections of one account. */
interface Account {
  inUse: number;
  waiting: Waiter[];
}

/** Two spellings of a host are one account. */
const accountKey = ({ host, user }: ImapSettings): string => `${host.toLowerCase()}\0${user}`;

/** The slots of all accounts. A limit is that of who asks: entries of one account may differ. */
const createSlots = () => {
  const accounts = new Map<string, Account>();

  const admitWaiting = (key: string, account: Account): void => {
    for (let first = account.waiting[0]; first !== undefined; first = account.waiting[0]) {
      if (account.inUse >= first.maxConnections) break;
      account.waiting.shift();
      first.admit();
    }
    if (account.inUse === 0 && account.waiting.length === 0) accounts.delete(key);
  };

  const take = (key: string, account: Account): (() => void) => {
    account.inUse += 1;
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      account.inUse -= 1;
      admitWaiting(key, account);
    };
  };

  /** Resolves with the function that gives the slot back. */
  const acquire = (imap: ImapSettings, signal: AbortSignal): Promise<() => void> =>
    new Promise((resolve, reject) => {
      signal.throwIfAborted();
      const key = accountKey(imap);
      const account = accounts.get(key) ?? { inUse: 0, waiting: [] };
      accounts.set(key, account);
      const waiter: Waiter = {
        maxConnections: imap.maxConnections,
        admit: () => {
          signal.removeEventListener("abort", giveUp);
          resolve(take(key, account));
        },
      };
      const giveUp = (): void => {
        account.waiting = account.waiting.filter((other) => other !== waiter);
        reject(signal.reason);
        admitWaiting(key, account);
      };
      signal.addEventListener("abort", giveUp, { once: true });
      account.waiting.push(waiter);
      admitWaiting(key, account);
    });

  const isWanted = (imap: ImapSettings): boolean =>
    (accounts.get(accountKey(imap))?.waiting.length ?? 0) > 0;

  return { acquire, isWanted };
};

/** Bounds the sessions that `openSession` opens; one per process. */
export const createAccountSlots = (deps: {
  clock: Clock;
  openSession: OpenSession;
}): AccountSlots => {
  const slots = createSlots();
  const logins = createGate(MAX_LOGINS);
  const open = openInTime(deps.clock, deps.openSession);

  const login: OpenSession = async (request, signal) => {
    const done = await logins.acquire(1, signal);
    try {
      return await open(request, signal);
    } finally {
      done();
    }
  };

  return {
    isWanted: slots.isWanted,
    openSession: async (request, signal) => {
      const giveBack = await slots.acquire(request.imap, signal);
      try {
        const session = await login(request, signal);
        return {
          ...session,
          close: async () => {
            // Only after the goodbye: the server counts the connection until then.
            await session.close().finally(giveBack);
          },
          destroy: () => {
            session.destroy();
            giveBack();
          },
        };
      } catch (error) {
        giveBack();
        throw error;
      }
    },
  };
};
