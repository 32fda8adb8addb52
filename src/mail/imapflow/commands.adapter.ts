// Commands of an imapflow client: one at a time, and every failure translated into our words, once.
// Codes come from closed lists (system codes, imapflow's own, IMAP response codes); texts that a server
// wrote stay in `cause`. The session adapter builds on it.
import type { FetchMessageObject, FetchQueryObject, ImapFlow } from "imapflow";
import { MailError } from "../../core/errors.ts";
import { sequenceSet, type UidSet } from "../../core/uid-set.ts";

/** How large a literal and a whole response may be, under imapflow's own names. */
interface ResponseLimits {
  maxLiteralSize: number;
  maxResponseSize: number;
}

/** A SEARCH reply of 20,000 UIDs and whatever else is no FETCH. */
export const USUAL_LIMITS: ResponseLimits = {
  maxLiteralSize: 64 * 1024,
  maxResponseSize: 512 * 1024,
};

/**
 * What a stranger may make us decode in one go: imapflow decodes every subject and name before it hands
 * over a row, and encoded words of the slowest charsets take two milliseconds a KiB. Enough for more than
 * a thousand recipients; what needs more ends the connection and is read as far as its header goes.
 */
export const METADATA_LIMITS: ResponseLimits = {
  maxLiteralSize: 64 * 1024,
  maxResponseSize: 96 * 1024,
};

/** Pieces of a body are not looked at by imapflow; these bound memory. */
export const PIECES_LIMITS: ResponseLimits = {
  maxLiteralSize: 4 * 1024 * 1024,
  maxResponseSize: 8 * 1024 * 1024,
};

/** Ranges in one command line: 200 of at most 22 characters, where servers allow 8,000. */
const RANGES_PER_COMMAND = 200;

/** Response codes that mean "not now" (RFC 5530 section 3; THROTTLED is Gmail's and Yahoo's). */
const THROTTLE_CODES = new Set(["LIMIT", "UNAVAILABLE", "INUSE", "OVERQUOTA", "THROTTLED"]);

/** Response codes that mean "no such folder" (RFC 5530, RFC 9051 section 7.1). */
const MISSING_CODES = new Set(["NONEXISTENT", "TRYCREATE"]);

/** The other response codes that may be shown; anything else a server writes there may not. */
const SHOWN_CODES = new Set([
  ...[...THROTTLE_CODES, ...MISSING_CODES, "ALERT", "AUTHENTICATIONFAILED", "AUTHORIZATIONFAILED"],
  ...["CANNOT", "CLIENTBUG", "CONTACTADMIN", "CORRUPTION", "EXPIRED", "EXPUNGEISSUED", "NOPERM"],
  ...["PARSE", "PRIVACYREQUIRED", "SERVERBUG"],
]);

/** imapflow's names for "the connection is gone"; what ended it says more. */
const GONE_CODES = new Set([
  "NoConnection",
  "EConnectionClosed",
  "StateLogout",
  "NoMailboxSelected",
]);

/** What imapflow puts on its errors, as far as it is looked at; `response` may be parsed or text. */
interface ForeignError {
  code?: unknown;
  responseStatus?: unknown;
  responseText?: unknown;
  serverResponseCode?: unknown;
  authenticationFailed?: unknown;
  mailboxMissing?: unknown;
  tlsFailed?: unknown;
}

const foreign = (error: unknown): ForeignError =>
  typeof error === "object" && error !== null ? error : {};

const shown = (code: unknown): string | null =>
  typeof code === "string" && SHOWN_CODES.has(code) ? code : null;

const responseCode = (error: unknown): string | null => shown(foreign(error).serverResponseCode);

/** A system code or one of imapflow's: a word, never a text. */
const ownCode = (error: unknown): string | null => {
  const { code } = foreign(error);
  return typeof code === "string" && /^[A-Za-z][A-Za-z0-9_]{1,40}$/.test(code) ? code : null;
};

const connectionCode = (error: unknown, fatal: unknown): string => {
  const code = ownCode(error);
  return (code !== null && !GONE_CODES.has(code) ? code : ownCode(fatal)) ?? code ?? "NoConnection";
};

const wasAnswered = (error: unknown): boolean => {
  const { responseStatus, code } = foreign(error);
  return responseStatus === "NO" || responseStatus === "BAD" || code === "ETHROTTLE";
};

/** A refusal whose class the server's code decides; null when the command has to. */
const refusal = (error: unknown, code: string | null): MailError | null => {
  if (foreign(error).code === "ETHROTTLE") {
    return new MailError("throttled", "ETHROTTLE", { cause: error });
  }
  if (code === null) return null;
  if (THROTTLE_CODES.has(code)) return new MailError("throttled", code, { cause: error });
  if (MISSING_CODES.has(code)) return new MailError("folder_missing", code, { cause: error });
  return null;
};

/** Why connecting or logging in failed: `throttled`, `rejected`, or else `unreachable`. */
export const connectError = (error: unknown, watch: Watch): MailError => {
  const { authenticationFailed, responseText, tlsFailed } = foreign(error);
  const known = refusal(error, responseCode(error));
  if (known?.failure === "throttled") return known;
  if (authenticationFailed === true) {
    // Gmail has no code of its own for an account with too many sessions.
    if (/too many (?:simultaneous )?connections/i.test(String(responseText))) {
      return new MailError("throttled", "LIMIT", { cause: error });
    }
    const hint = "check imap.user and imap.password; many providers want an app password";
    return new MailError("rejected", responseCode(error) ?? "LOGIN_REFUSED", {
      hint,
      cause: error,
    });
  }
  const code =
    tlsFailed === true && ownCode(error) === null
      ? "STARTTLS_UNAVAILABLE"
      : connectionCode(error, watch.fatal);
  const hint = "check imap.host, imap.port and imap.tls, and whether the server runs";
  return new MailError("unreachable", code, { hint, cause: error });
};

/** Why a command failed: `throttled`, `folder_missing` (the target of a move), `refused` or `closed`. */
const commandError = (error: unknown, watch: Watch): MailError => {
  if (!wasAnswered(error)) {
    return new MailError("closed", connectionCode(error, watch.fatal), { cause: error });
  }
  const code = responseCode(error) ?? shown(watch.lastCode);
  return (
    refusal(error, code) ?? new MailError("refused", code ?? "COMMAND_REFUSED", { cause: error })
  );
};

/** Why the folder could not be opened: `throttled`, `folder_missing`, or `closed`. */
export const folderError = (error: unknown, watch: Watch): MailError => {
  const known = refusal(error, responseCode(error));
  if (known !== null || !wasAnswered(error)) return known ?? commandError(error, watch);
  const hint = "check mailboxes[].folder; it is written as the server lists it";
  const code = foreign(error).mailboxMissing === true ? "NONEXISTENT" : "SELECT_REFUSED";
  return new MailError("folder_missing", code, { hint, cause: error });
};

/** What imapflow tells by events, for the whole life of the client. */
export interface Watch {
  /** The error that ended the connection, when one did. */
  fatal: unknown;
  /** The response code of the last tagged reply, as the server wrote it. */
  lastCode: string | undefined;
  /** The message count has risen since this was last set to false. */
  news: boolean;
  /** Called when `news` becomes true and when the connection ends. */
  wake: () => void;
}

/** Listens to a client for its whole life: an `error` event without a listener ends the process. */
export const watchClient = (client: ImapFlow): Watch => {
  const watch: Watch = { fatal: null, lastCode: undefined, news: false, wake: () => {} };
  client.on("error", (error) => {
    watch.fatal ??= error;
  });
  client.on("response", ({ code }) => {
    watch.lastCode = code?.toUpperCase();
  });
  client.on("exists", ({ count, prevCount }) => {
    if (count <= prevCount) return;
    watch.news = true;
    watch.wake();
  });
  client.on("close", () => watch.wake());
  return watch;
};

/** Parts of `set` that fit into one command line each. */
export const commandSets = (set: UidSet): UidSet[] => {
  const pieces: UidSet[] = [];
  for (let at = 0; at < set.length; at += RANGES_PER_COMMAND) {
    pieces.push(set.slice(at, at + RANGES_PER_COMMAND));
  }
  return pieces;
};

/** How the session adapter talks to its client. */
export interface Commands {
  /** Runs `command` after those before it, whatever became of them; its responses keep to `limits`. */
  inOrder<T>(command: () => Promise<T>, limits?: ResponseLimits): Promise<T>;
  /** One imapflow call; where imapflow tells a refusal by `false`, that is a failure too. */
  call<T>(command: () => Promise<T | false | undefined>): Promise<T>;
  /** The rows of a UID FETCH as they arrive. No command may be awaited between two rows. */
  rows(uids: UidSet, query: FetchQueryObject): AsyncGenerator<FetchMessageObject>;
  /** A failure as a `MailError`; what was `closed` is over for good. */
  fail(error: unknown): MailError;
  /** Resolves when no command is under way. */
  settled(): Promise<unknown>;
  /** How many commands were ordered so far. */
  ordered(): number;
}

/** The commands of `client`. */
export const createCommands = (client: ImapFlow, watch: Watch): Commands => {
  let last: Promise<unknown> = Promise.resolve();
  let ordered = 0;

  const fail: Commands["fail"] = (error) => {
    const failure = commandError(error, watch);
    if (failure.failure === "closed") client.close();
    return failure;
  };

  // imapflow's stream reads its limits whenever it measures something; its types do not tell of it.
  const { streamer } = client as unknown as { streamer: ResponseLimits };

  const inOrder: Commands["inOrder"] = (command, limits = USUAL_LIMITS) => {
    ordered += 1;
    const result = last.then(() => {
      Object.assign(streamer, limits);
      return command();
    });
    last = result.catch(() => {});
    return result;
  };

  const call: Commands["call"] = async (command) => {
    if (!client.usable) throw fail({ code: "NoConnection" });
    watch.lastCode = undefined;
    const answer = await command().catch((error: unknown) => {
      throw fail(error);
    });
    if (answer !== false && answer !== undefined) return answer;
    if (!client.usable) throw fail({ code: "NoConnection" });
    throw fail({ responseStatus: "NO" });
  };

  async function* rows(uids: UidSet, query: FetchQueryObject): AsyncGenerator<FetchMessageObject> {
    for (const set of commandSets(uids)) {
      watch.lastCode = undefined;
      try {
        yield* client.fetch(sequenceSet(set), { ...query, uid: true }, { uid: true });
      } catch (error) {
        throw fail(error);
      }
    }
  }

  return { inOrder, call, rows, fail, settled: () => last, ordered: () => ordered };
};
