// The contract of one connection to one folder: what the rest of the program may ask of a mail server.
// The imapflow adapter keeps it for real servers, the simulator for simulated ones. Above this line
// there are plain promises only.
import type { MessageMetadata } from "../core/message.ts";
import type { ImapSettings } from "../core/settings.ts";
import type { UidSet } from "../core/uid-set.ts";

/** What to open. `readOnly` selects with EXAMINE (RFC 9051 section 6.3.3). */
export interface SessionRequest {
  imap: ImapSettings;
  folder: string;
  readOnly: boolean;
}

/** What SELECT or EXAMINE told, and what the server can do. */
export interface FolderState {
  /** Decimal; "0" when the server gave none that is usable. */
  uidvalidity: string;
  /** Null when the server sent none. */
  uidnext: number | null;
  canIdle: boolean;
  canUidExpunge: boolean;
  canMove: boolean;
}

/** A piece of a body part: `lengthBytes` octets as transferred, from `offsetBytes`. */
export interface PartRange {
  part: string;
  offsetBytes: number;
  lengthBytes: number;
}

/** The pieces wanted of one message. */
export interface PartsRequest {
  uid: number;
  ranges: readonly PartRange[];
}

/** A message known by little more than its header's first octets. */
export interface BareMessage {
  internalDateMs: number;
  sizeBytes: number;
  header: Uint8Array;
}

/** What arrived of one message: by part number, the octets as transferred. */
export type PartsReceived = (uid: number, parts: ReadonlyMap<string, Uint8Array>) => void;

/**
 * One selected folder. Every method rejects with `MailError` (`closed` when the connection died under
 * it, whatever the reason; `refused` when the server said NO); none has a deadline of its own: the caller ends a wait by `destroy`.
 * Commands run one at a time, in the order of the calls.
 */
export interface MailSession {
  readonly folder: FolderState;
  /** UIDs of `from` and above, ascending (UID SEARCH UID from:*); never a UID below `from`. */
  searchFrom(from: number): Promise<readonly number[]>;
  /** Which of these UIDs exist now. */
  searchUids(uids: UidSet): Promise<readonly number[]>;
  /** UIDs whose internal date is on the UTC day of `sinceMs`, the day before it, or later. */
  searchSince(sinceMs: number): Promise<readonly number[]>;
  /** Metadata of those of `uids` that still exist; `headers` in lower case, fetched with PEEK. */
  fetchMetadata(
    uids: readonly number[],
    headers: readonly string[],
  ): Promise<readonly MessageMetadata[]>;
  /**
   * Metadata of a message that ended a connection before: its envelope is made from the header's first
   * 60 KiB, because an ENVELOPE may be longer than anybody can take. Null when it is gone.
   */
  fetchSuspect(uid: number, headers: readonly string[]): Promise<MessageMetadata | null>;
  /**
   * What can be had of a message whose ENVELOPE or BODYSTRUCTURE cannot: date, size and the first
   * `maxBytes` octets of the header (BODY.PEEK[HEADER]<0.n>); null when it is gone.
   */
  fetchHeader(uid: number, maxBytes: number): Promise<BareMessage | null>;
  /** Body pieces, PEEKed; messages with the same wish share a command. Missing messages are left out. */
  fetchParts(requests: readonly PartsRequest[], received: PartsReceived): Promise<void>;
  /**
   * `lengthBytes` octets of the whole message from `offsetBytes` on (BODY.PEEK[]<o.n>), fewer at its end;
   * null when the server shows none, as of a message that is gone.
   */
  fetchRaw(uid: number, offsetBytes: number, lengthBytes: number): Promise<Uint8Array | null>;
  /** IDLE (or a plain wait where the server cannot): "news" at an EXISTS, "quiet" when stopped. */
  waitForMail(stop: AbortSignal): Promise<"news" | "quiet">;
  /** Adds a flag (`\Seen`, `\Deleted`) silently. */
  addFlag(uids: readonly number[], flag: string): Promise<void>;
  /** UID MOVE (RFC 6851); only when `folder.canMove`. */
  move(uids: readonly number[], target: string): Promise<void>;
  /** UID EXPUNGE (RFC 4315) of exactly these; only when `folder.canUidExpunge`. */
  expunge(uids: readonly number[]): Promise<void>;
  /** Octets read from the socket since it opened. */
  bytesRead(): number;
  /** LOGOUT, at most a second of it; never rejects. */
  close(): Promise<void>;
  /** Ends the connection now; what is pending rejects with `MailError` `closed`. */
  destroy(): void;
}

/**
 * Connects, logs in and opens the folder. Rejects with `MailError`: `unreachable`, `rejected`
 * (credentials), `throttled`, `folder_missing`. An abort of `signal` destroys the attempt.
 */
export type OpenSession = (request: SessionRequest, signal: AbortSignal) => Promise<MailSession>;
