// The contract of a node's journal: what it remembers of shared state it held or copied, in its own
// database, so that a Redis that comes back empty or older loses nothing (DESIGN section 4). Cursors and
// tails lie in the tables of the node's own store, so that it can go on alone from where it stands.
import type { Commit, CursorRecord, DocumentName, StoredDocument, TailRecord } from "../store.ts";
import type { OpenPair, StateVersion } from "./shared-store.ts";

/** What a node remembers of one mailbox. */
export interface JournalEntry {
  version: StateVersion;
  cursors: readonly CursorRecord[];
  open: readonly OpenPair[];
}

/** Facts about this node and the Redis it knows, kept until they are changed. */
export interface JournalFacts {
  /** The Redis it used last (a hash of host, port and database); null: it never used one. */
  redisId: string | null;
  /** The marker under which all its mailboxes were accounted for. */
  marker: string | null;
  /** The shared HMAC key. */
  hmacKey: Uint8Array | null;
  /** The host on which this directory was written. */
  hostId: string | null;
  /** When another host was seen at the same Redis, wall milliseconds; null: never. */
  otherHostMs: number | null;
}

/** The journal of one node. Writes are durable when they resolve. */
export interface Journal {
  /**
   * What this node knows of a mailbox. What its own store wrote while the node was alone (or before it
   * knew any Redis) belongs to it and is newer than what was recorded under an older fence.
   */
  read(mailbox: string): Promise<JournalEntry | null>;
  /** The version that `read` would tell, cheaply. */
  version(mailbox: string): Promise<StateVersion | null>;
  /** Newest settled first. */
  readTail(mailbox: string): Promise<readonly (TailRecord & { folder: string })[]>;
  /**
   * A commit was made to shared state: remembers cursor, tail, claims, and the pairs it opened and
   * closed. The version that is remembered never falls.
   */
  record(commit: Commit, version: StateVersion): Promise<void>;
  /** Pairs that are no longer in the spool. */
  close(
    mailbox: string,
    pairs: readonly Omit<OpenPair, "uid">[],
    version: StateVersion,
  ): Promise<void>;
  /** These were delivered while the node was alone; their rows in the shared spool go at the return. */
  endAlone(mailbox: string, pairs: readonly Omit<OpenPair, "uid">[]): Promise<void>;
  /**
   * Copies what shared state has: replaces cursors and open pairs, adds to the tail. Does nothing when
   * this node knows a newer version.
   */
  copy(
    mailbox: string,
    entry: JournalEntry,
    tail: readonly (TailRecord & { folder: string })[],
  ): Promise<void>;
  /** This node held the mailbox through the Redis with this id. */
  markHeld(mailbox: string, redisId: string): Promise<void>;
  hasHeld(mailbox: string, redisId: string): Promise<boolean>;
  /** The highest fence this node saw for the mailbox, here or at Redis. */
  highWater(mailbox: string): Promise<number>;
  raiseHighWater(mailbox: string, fence: number): Promise<void>;
  facts(): Promise<JournalFacts>;
  writeFacts(facts: Partial<JournalFacts>): Promise<void>;
  /** The copy of the shared documents, which the node's own store answers with as well. */
  documents(): Promise<Readonly<Record<DocumentName, StoredDocument | null>>>;
  copyDocuments(documents: Readonly<Record<DocumentName, StoredDocument | null>>): Promise<void>;
}
