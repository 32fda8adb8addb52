// The contract of the state (DESIGN section 4): cursors, spool, receipts, claims, written in fenced
// transactions. SQLite keeps it here; another store passes the same suite (store.contract.ts). Async
// throughout, even where a store is not.
import type { DeliveryErrorClass, Outcome, PairState, ParkReason } from "../core/outcome.ts";
import type { Settled } from "../core/uid-set.ts";

/** How far one folder is settled, under which UIDVALIDITY and for which account. */
export interface CursorRecord extends Settled {
  mailbox: string;
  folder: string;
  uidvalidity: string;
  /** HMAC of host and user; another account under the same id counts as another UIDVALIDITY. */
  accountHash: string;
  /** Mail older than this was there before the first contact. */
  firstContactMs: number;
}

/** A settled message as it is remembered to survive a UIDVALIDITY change. */
export interface TailEntry {
  uid: number;
  internalDateMs: number;
  /** Hash of Message-ID, size and INTERNALDATE. */
  hash: string;
  settledMs: number;
}

/** An entry of the tail as it is read: with the UIDVALIDITY under which its UID was valid. */
export interface TailRecord extends TailEntry {
  uidvalidity: string;
}

/** What became of one message. No content: ids, numbers and words from closed lists. */
export interface Receipt {
  eventId: string;
  mailbox: string;
  folder: string;
  uidvalidity: string;
  uid: number;
  outcome: Outcome;
  /** FilterReason, or why it was reduced; null otherwise. */
  reason: string | null;
  reduced: boolean;
  /** By destination id. */
  pairs: Readonly<Record<string, PairState>>;
  /** Milliseconds by step of the cycle. */
  steps: Readonly<Record<string, number>>;
  /** An `after_delivery` action is still owed once every pair is delivered. */
  todo: boolean;
  settledMs: number;
}

/** A delivery that waits or is parked. */
export interface SpoolRow {
  eventId: string;
  destination: string;
  mailbox: string;
  uid: number;
  state: "waiting" | "parked";
  /** Requests sent so far; the next one is `attempts + 1` in its header. */
  attempts: number;
  /** Of these, how many count against `max_attempts` (probes of an open breaker do not). */
  counted: number;
  nextAttemptMs: number;
  errorClass: DeliveryErrorClass | null;
  reason: ParkReason | null;
  /** Spooled or replayed last. */
  sinceMs: number;
  parkedMs: number | null;
}

/** A row with the body of its request. */
export interface SpoolEntry extends SpoolRow {
  payload: string;
}

/** Who claimed a subject group, until when. */
export interface Claim {
  key: string;
  eventId: string;
  expiresMs: number;
}

/**
 * One fenced transaction. An empty one proves that the store takes writes. The UIDs of its receipts are
 * suspects no longer, and their redelivery is done. A cursor with another UIDVALIDITY or account than the
 * stored one makes every UID name another message: suspects and redeliveries of the mailbox, and what
 * is owed after delivery in the folder, go before anything of this commit is written.
 */
export interface Commit {
  mailbox: string;
  fence: number;
  cursor?: CursorRecord;
  receipts?: readonly Receipt[];
  spool?: readonly SpoolEntry[];
  /** The first event to claim a key keeps it until it expires; now is the latest `settledMs` above. */
  claims?: readonly Claim[];
  /** Of the cursor's folder and UIDVALIDITY; needs `cursor`. */
  tail?: readonly TailEntry[];
  /**
   * Hashes of tail entries of an older UIDVALIDITY that were found again; for each hash listed, one
   * such entry leaves with this commit. Needs `cursor`.
   */
  tailMatched?: readonly string[];
}

/** What a commit did besides what it was told. */
export interface CommitResult {
  /** Actions after delivery that are owed no more, because their UIDs name other messages now. */
  droppedTodos: number;
}

/** What becomes of a spool row after an attempt. */
export type SpoolUpdate = { eventId: string; destination: string } & (
  | { kind: "delivered"; attempts: number }
  | {
      kind: "waiting";
      attempts: number;
      counted: number;
      nextAttemptMs: number;
      errorClass: DeliveryErrorClass;
    }
  | { kind: "parked"; attempts: number; reason: ParkReason; parkedMs: number }
);

/** UIDs being read by a process that may die of them, after an unclean stop. */
export interface Suspect {
  uid: number;
  /** How often it was being read alone when the process ended. */
  soloDeaths: number;
}

/** Which waiting rows are asked for. */
export interface DueQuery {
  mailbox: string;
  nowMs: number;
  /** Rows. */
  limit: number;
  /** Payload bytes. */
  maxBytes: number;
  /** Destination ids. */
  except: readonly string[];
}

/** How full the spool is, over all mailboxes. */
export interface SpoolUsage {
  rows: number;
  bytes: number;
  /** The most payload bytes that the store itself takes; null: as many as are configured. */
  maxBytes: number | null;
  /** One item per mailbox and destination. */
  parts: readonly { mailbox: string; destination: string; waiting: number; parked: number }[];
}

/** Messages by their present outcome; `reduced` counts over all outcomes. */
export interface OutcomeCounts {
  delivered: number;
  filtered: number;
  parked: number;
  gone: number;
  reduced: number;
}

/** The documents that change while the program runs (DESIGN section 4). */
export const DOCUMENTS = ["polling_config", "routing_rules", "webhook_config"] as const;

/** One of {@link DOCUMENTS}. */
export type DocumentName = (typeof DOCUMENTS)[number];

/** A document as it is stored; `document` is JSON that nobody has validated. */
export interface StoredDocument {
  /** Counts the writes from 1. */
  version: number;
  updatedMs: number;
  document: unknown;
}

/** How a write of a document ended; `version` is the one that is stored now (0: none). */
export interface DocumentWritten {
  kind: "written" | "conflict";
  version: number;
}

/** A pair named by an operator; without a destination, every pair of the event. `all`: every parked. */
export type PairSelector = { eventId: string; destination: string | null } | "all";

/**
 * State. Writes with a fence reject with `FencedError` when a newer fence was issued for the mailbox;
 * every write is one durable transaction or nothing. Errors of the medium (full, busy, unreadable)
 * reject as they are.
 */
export interface Store {
  /** Issues the next fence of a mailbox, above every one issued and at least `wallMs`; durable. */
  issueFence(mailbox: string, wallMs: number): Promise<number>;
  /** A secret of this store, made once; keys the HMACs of subject groups and accounts. */
  hmacKey(): Promise<Uint8Array>;

  readCursor(mailbox: string, folder: string): Promise<CursorRecord | null>;
  /** Newest settled first; at least the last 1,000 and all of 48 hours, at most 20,000. */
  readTail(mailbox: string, folder: string): Promise<readonly TailRecord[]>;
  /**
   * Writes all of it or nothing. Spool rows are idempotent by (event id, destination): a waiting row
   * stays as it is, a parked one is replaced. A pair whose receipt says delivered leaves the spool.
   */
  commit(commit: Commit): Promise<CommitResult>;
  /** The event ids behind those keys that are claimed and not expired at `nowMs`. */
  readClaims(keys: readonly string[], nowMs: number): Promise<ReadonlyMap<string, string>>;

  /** Marks the mailbox as being polled; tells whether the mark was still there (unclean stop). */
  beginRun(
    mailbox: string,
    fence: number,
  ): Promise<{ unclean: boolean; suspects: readonly Suspect[] }>;
  /** Takes the mark away: a clean stop. */
  endRun(mailbox: string, fence: number): Promise<void>;
  /** Replaces the suspects of a mailbox. */
  writeSuspects(mailbox: string, fence: number, suspects: readonly Suspect[]): Promise<void>;

  /**
   * Waiting rows of a mailbox due at `nowMs`, oldest first, none of the `except` destinations, none
   * that no configured key opens. Also ends at `maxBytes` of payload, but never without one row.
   */
  dueEntries(query: DueQuery): Promise<readonly SpoolEntry[]>;
  /** The payload bytes that `dueEntries` would load for the same query now. */
  dueBytes(query: DueQuery): Promise<number>;
  /** Destinations that rows of this mailbox wait for, due or not. */
  waitingDestinations(mailbox: string): Promise<readonly string[]>;
  /** When the next waiting row of a mailbox is due, none of the `except` destinations; null: never. */
  nextDueMs(mailbox: string, except: readonly string[]): Promise<number | null>;
  /** The waiting row of this mailbox and destination that waits longest, due or not. */
  oldestWaiting(mailbox: string, destination: string): Promise<SpoolEntry | null>;
  /** Applies the updates, and their receipts with them, in one fenced transaction. */
  updateSpool(mailbox: string, fence: number, updates: readonly SpoolUpdate[]): Promise<void>;
  /** Every waiting row of a destination, of all mailboxes, becomes due at `nowMs`. */
  makeDue(destination: string, nowMs: number): Promise<void>;
  spoolUsage(): Promise<SpoolUsage>;
  /** Rows whose payload no configured key opens; they wait. */
  undecryptable(): Promise<number>;

  listParked(): Promise<readonly SpoolRow[]>;
  /** Rows of one event, with payloads; without those that no configured key opens. */
  readEntries(eventId: string): Promise<readonly SpoolEntry[]>;
  /**
   * Parked rows become waiting and due; returns how many. Like `drop` and `parkMailbox` it works through
   * many rows in several transactions, each row whole or not at all.
   */
  replay(selector: PairSelector, nowMs: number): Promise<number>;
  /** Parked rows go for good; their receipt says `dropped`. Returns how many. */
  drop(selector: PairSelector): Promise<number>;
  /** Every waiting row of a mailbox that no configuration names is parked; returns how many. */
  parkMailbox(mailbox: string, reason: ParkReason, nowMs: number): Promise<number>;

  /** Newest settled first. */
  readReceipts(query: {
    mailbox?: string;
    uid?: number;
    last: number;
  }): Promise<readonly Receipt[]>;
  readReceipt(eventId: string): Promise<Receipt | null>;
  counts(mailbox: string): Promise<OutcomeCounts>;
  /** Delivered messages of this UIDVALIDITY whose `after_delivery` is owed. */
  openTodos(query: {
    mailbox: string;
    folder: string;
    uidvalidity: string;
    limit: number;
  }): Promise<readonly { eventId: string; uid: number }[]>;
  closeTodos(mailbox: string, fence: number, eventIds: readonly string[]): Promise<void>;

  /** An operator asks to send these messages again. */
  requestRedelivery(mailbox: string, uids: readonly number[]): Promise<void>;
  /** Mailboxes with such requests, for the daemon's ticker. */
  redeliveryMailboxes(): Promise<readonly string[]>;
  readRedeliveries(mailbox: string): Promise<readonly number[]>;
  clearRedeliveries(mailbox: string, fence: number, uids: readonly number[]): Promise<void>;

  readDocuments(): Promise<Readonly<Record<DocumentName, StoredDocument | null>>>;
  /** Writes when the stored version is `ifVersion` (0: none yet), or whatever it is with null. */
  writeDocument(
    name: DocumentName,
    document: unknown,
    options: { ifVersion: number | null; nowMs: number },
  ): Promise<DocumentWritten>;

  /**
   * An operator decides where a mailbox begins whose state is lost: `now`, `beginning` or a date. It
   * stands until a cursor of the mailbox is committed.
   */
  adopt(mailbox: string, startFrom: string): Promise<void>;
  readAdoption(mailbox: string): Promise<string | null>;

  /** Calls back soon after another process wrote to this store; returns how to stop that. */
  watch(changed: () => void): () => void;
  /** The live row of a daemon (JSON), for `status`. */
  writeNode(node: string, live: string, wallMs: number): Promise<void>;
  readNodes(): Promise<readonly { node: string; live: string; wallMs: number }[]>;
  /**
   * A process says that its configuration names these mailboxes. Said again every minute; a longer
   * silence, in which no process ran, counts for no mailbox.
   */
  nameMailboxes(mailboxes: readonly string[], wallMs: number): Promise<void>;
  /** When a process named this mailbox last, moved on by such silences; null: never. */
  lastNamedMs(mailbox: string): Promise<number | null>;

  /** Trims what is past its keep: receipts, tail, claims, node rows, free pages, the log. */
  housekeep(nowMs: number): Promise<void>;
  close(): Promise<void>;
}
