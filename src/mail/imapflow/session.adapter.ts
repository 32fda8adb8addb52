// The mail session over imapflow: a real connection to a real server, one selected folder. It promises
// that every failure is a `MailError`, that no command outlives `destroy`, and that nothing a server
// sends costs more memory than the limits below. Opened by mail/connection through `OpenSession`.
import { performance } from "node:perf_hooks";
import { ImapFlow, type ImapFlowOptions, type SearchObject } from "imapflow";
import { MailError } from "../../core/errors.ts";
import type { ImapSettings } from "../../core/settings.ts";
import { sequenceSet, uidSetOf } from "../../core/uid-set.ts";
import {
  type Commands,
  USUAL_LIMITS,
  commandSets,
  connectError,
  createCommands,
  folderError,
  type Watch,
  watchClient,
} from "./commands.adapter.ts";
import type { FolderState, MailSession, OpenSession } from "../session.ts";
import { createReader } from "./reader.adapter.ts";

/** One line without a literal; what is longer ends the connection. */
const MAX_LINE_BYTES = 256 * 1024;

/** UIDs that one SEARCH reply may hold: eleven characters each stay below the longest line. */
const SEARCH_WINDOW = 20_000;

/** An IDLE that ends by itself within this is none: such a server is waited for without it. */
const SHORTEST_IDLE_MS = 1000;

const LOGOUT_TIMEOUT_MS = 1000;
const DAY_MS = 86_400_000;

const clientOptions = (imap: ImapSettings, clientVersion: string): ImapFlowOptions => ({
  host: imap.host,
  port: imap.port,
  secure: imap.tls === "implicit",
  // Left unset, imapflow goes on in plain text when a server (or whoever sits before it) offers no TLS.
  doSTARTTLS: imap.tls === "starttls",
  tls: { minVersion: "TLSv1.2", rejectUnauthorized: true },
  auth: { user: imap.user, pass: imap.password },
  clientInfo: { name: "signalpost", version: clientVersion, vendor: false, "support-url": false },
  logger: false,
  emitLogs: false,
  disableAutoIdle: true,
  disableAutoEnable: true,
  disableCompression: true,
  disableIMAP4rev2: true,
  maxLineLength: MAX_LINE_BYTES,
  ...USUAL_LIMITS,
  maxLockHoldTime: false,
  connectionTimeout: 30_000,
  greetingTimeout: 30_000,
  socketTimeout: 60_000,
});

/** imapflow has UID EXPUNGE only behind a STORE; its own command channel is not in its types. */
interface CommandChannel {
  exec(
    command: string,
    attributes: readonly { type: string; value: string }[],
  ): Promise<{ next(): void }>;
}

const folderState = (client: ImapFlow): FolderState => {
  const { mailbox, capabilities } = client;
  const offers = (name: string): boolean =>
    capabilities.has(name) || (capabilities.has("IMAP4rev2") && !capabilities.has("IMAP4rev1"));
  return {
    uidvalidity: String((mailbox === false ? undefined : mailbox.uidValidity) ?? 0n),
    uidnext: (mailbox === false ? undefined : mailbox.uidNext) || null,
    canIdle: offers("IDLE"),
    canUidExpunge: offers("UIDPLUS"),
    canMove: offers("MOVE"),
  };
};

/** UID SEARCH in windows, so that no reply is longer than the longest line. */
const createSearch = (client: ImapFlow, commands: Commands) => {
  const messageCount = (): number => (client.mailbox === false ? 0 : client.mailbox.exists || 0);
  const searchOnce = (query: SearchObject): Promise<number[]> =>
    commands.call(async () => {
      const uids = await client.search(query, { uid: true });
      return Array.isArray(uids) ? uids : false;
    });

  /**
   * UIDs that match `query` and are at or above `from`, ascending; `atMost` so many can match. Where
   * one reply could be too long it goes through windows of sequence numbers from the top: an expunge
   * in between only moves messages down, into what is still to come. UIDs rise with sequence numbers,
   * so with `from` an empty window is the last.
   */
  return async (
    query: SearchObject,
    { from, atMost = Infinity }: { from?: number; atMost?: number } = {},
  ): Promise<number[]> => {
    const wanted = (uid: number): boolean => from === undefined || uid >= from;
    if (Math.min(messageCount(), atMost) <= SEARCH_WINDOW) {
      return (await searchOnce(query)).filter(wanted);
    }
    const found = new Set<number>();
    for (
      let done = Infinity, top = messageCount();
      top > 0;
      top = Math.min(done - 1, messageCount())
    ) {
      const first = Math.max(1, top - SEARCH_WINDOW + 1);
      const seq = `${first}:${done === Infinity ? "*" : top}`;
      const matching = (await searchOnce({ ...query, seq })).filter(wanted);
      if (matching.length === 0 && from !== undefined) break;
      for (const uid of matching) found.add(uid);
      done = first;
    }
    return [...found].toSorted((a, b) => a - b);
  };
};

/** Waiting for news by IDLE, or without it where the server cannot. */
const createWait = (client: ImapFlow, watch: Watch, commands: Commands) => {
  let idleWorks = folderState(client).canIdle;
  /** Any command makes imapflow send DONE; this one asks for nothing. */
  const endIdle = (): Promise<void> => client.noop().catch(() => {});

  /** Ends when IDLE is over; never, when it is over because this server cannot do it. */
  const idleEnd = async (): Promise<void> => {
    const startedMs = performance.now();
    const issuedBefore = commands.ordered();
    const answer = await client.idle().catch(() => undefined);
    if (!client.usable || commands.ordered() !== issuedBefore) return;
    const refused = (answer as unknown) === false;
    if (!refused && performance.now() - startedMs >= SHORTEST_IDLE_MS) return;
    idleWorks = false;
    await new Promise(() => {});
  };

  /** Resolves when there is something to look at; `idled` tells that the server pushed its changes. */
  return async (stop: AbortSignal): Promise<{ outcome: "news" | "quiet"; idled: boolean }> => {
    await commands.settled();
    const woken = new Promise<void>((resolve) => {
      watch.wake = resolve;
    });
    const { wake } = watch;
    stop.addEventListener("abort", wake, { once: true });
    // After news the caller may not have sent anything that would have ended the last IDLE.
    if (client.idling) await Promise.race([woken, endIdle()]);
    if (!watch.news && !stop.aborted && client.usable) {
      await Promise.race(idleWorks ? [woken, idleEnd()] : [woken]);
    }
    stop.removeEventListener("abort", wake);
    watch.wake = () => {};
    if (!client.usable) throw commands.fail({ code: "NoConnection" });
    const outcome = watch.news ? "news" : "quiet";
    watch.news = false;
    // After news the search that follows ends IDLE; otherwise nothing may follow for a while.
    if (outcome === "quiet" && client.idling) void endIdle();
    return { outcome, idled: idleWorks };
  };
};

/** The writing half of a session: never a plain EXPUNGE, which would take everybody's deleted mail. */
const createWriter = (client: ImapFlow, commands: Commands, folder: FolderState) => {
  const each = (uids: readonly number[], run: (set: string) => Promise<unknown>): Promise<void> =>
    commands.inOrder(async () => {
      for (const set of commandSets(uidSetOf(uids)))
        await commands.call(() => run(sequenceSet(set)));
    });
  const unsupported = (): Promise<never> => Promise.reject(new MailError("refused", "UNSUPPORTED"));

  const addFlag: MailSession["addFlag"] = (uids, flag) =>
    each(uids, (set) => client.messageFlagsAdd(set, [flag], { uid: true, silent: true }));
  const move: MailSession["move"] = (uids, target) =>
    folder.canMove
      ? each(uids, (set) => client.messageMove(set, target, { uid: true }))
      : unsupported();
  const expunge: MailSession["expunge"] = (uids) =>
    folder.canUidExpunge
      ? each(uids, async (set) => {
          const channel = client as unknown as CommandChannel;
          const answer = await channel.exec("UID EXPUNGE", [{ type: "SEQUENCE", value: set }]);
          answer.next();
          return true;
        })
      : unsupported();
  return { addFlag, move, expunge };
};

const createSession = (client: ImapFlow, watch: Watch): MailSession => {
  const folder = folderState(client);
  const commands = createCommands(client, watch);
  const search = createSearch(client, commands);
  const wait = createWait(client, watch, commands);
  const noop = (): Promise<true> => commands.call(() => client.noop().then((): true => true));
  // Some servers tell of new mail only when asked by NOOP; after SELECT and IDLE they have told.
  let fresh = true;

  const searchFrom: MailSession["searchFrom"] = (from) =>
    commands.inOrder(async () => {
      if (!fresh) await noop();
      fresh = false;
      watch.news = false;
      return search({ uid: `${from}:*` }, { from });
    });
  const searchUids: MailSession["searchUids"] = (uids) =>
    commands.inOrder(async () => {
      await noop();
      const found: number[] = [];
      for (const set of commandSets(uids)) {
        const atMost = set.reduce((sum, [first, final]) => sum + final - first + 1, 0);
        for (const uid of await search({ uid: sequenceSet(set) }, { atMost })) found.push(uid);
      }
      return found;
    });
  const searchSince: MailSession["searchSince"] = (sinceMs) =>
    // SINCE compares days in the server's own zone: from the day before on nothing can be missed.
    commands.inOrder(() =>
      search({ since: new Date(Math.floor(sinceMs / DAY_MS) * DAY_MS - DAY_MS) }),
    );
  const waitForMail: MailSession["waitForMail"] = async (stop) => {
    const { outcome, idled } = await wait(stop);
    fresh = idled;
    return outcome;
  };
  const close = async (): Promise<void> => {
    const late = setTimeout(() => client.close(), LOGOUT_TIMEOUT_MS);
    await client.logout().catch(() => {});
    clearTimeout(late);
    client.close();
  };
  return {
    folder,
    searchFrom,
    searchUids,
    searchSince,
    ...createReader(commands),
    waitForMail,
    ...createWriter(client, commands, folder),
    bytesRead: () => client.stats().received,
    close,
    destroy: () => client.close(),
  };
};

/** How the program opens real sessions; `clientVersion` is told to servers that ask (RFC 2971). */
export const createOpenSession =
  ({ clientVersion }: { clientVersion: string }): OpenSession =>
  async ({ imap, folder, readOnly }, signal) => {
    const client = new ImapFlow(clientOptions(imap, clientVersion));
    const watch = watchClient(client);
    const abort = (): void => client.close();
    signal.addEventListener("abort", abort, { once: true });
    try {
      if (signal.aborted) throw new MailError("closed", "ABORT_ERR");
      await client.connect().catch((error: unknown) => {
        throw signal.aborted
          ? new MailError("closed", "ABORT_ERR", { cause: error })
          : connectError(error, watch);
      });
      // Held for the session's life: imapflow then answers silence by NOOP, not by hanging up.
      await client.getMailboxLock(folder, { readOnly }).catch((error: unknown) => {
        throw folderError(error, watch);
      });
      return createSession(client, watch);
    } catch (error) {
      client.close();
      throw error;
    } finally {
      signal.removeEventListener("abort", abort);
    }
  };
