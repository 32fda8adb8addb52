// The contract of a store that several hosts share, beyond that of every store: each mailbox's state has
// a version, so that a node can tell whether it lost something, and what a node remembers can be
// published into it. Redis keeps it; the routed store and the journal work with it.
import type { RedisServer } from "../../redis/server-info.ts";
import type { CursorRecord, Receipt, SpoolEntry, Store, TailRecord } from "../store.ts";

/** How new the state of a mailbox is: by fence, then by the number of writes. */
export interface StateVersion {
  fence: number;
  revision: number;
}

/** Is `a` newer than `b`? */
export const isNewer = (a: StateVersion, b: StateVersion): boolean =>
  a.fence > b.fence || (a.fence === b.fence && a.revision > b.revision);

/** A delivery in the spool, waiting or parked, without its content. */
export interface OpenPair {
  eventId: string;
  destination: string;
  uid: number;
}

/** Names a delivery in a set. */
export const pairKey = (pair: Pick<OpenPair, "eventId" | "destination">): string =>
  `${pair.eventId} ${pair.destination}`;

/** What the shared store has of one mailbox, all of one instant. */
export interface SharedState {
  /** Null: nothing at all. */
  version: StateVersion | null;
  cursors: readonly CursorRecord[];
  open: readonly OpenPair[];
}

/** What a node puts into the shared state of one mailbox. */
export interface Publication {
  mailbox: string;
  /** The state must still have this version (null: nothing at all), or nothing is written. */
  expected: StateVersion | null;
  /** The version it has then; each number is the greater of this and what is there. */
  version: StateVersion;
  /** Written over what is there. */
  cursors: readonly CursorRecord[];
  /** Added to what is there, by folder. */
  tail: readonly (TailRecord & { folder: string })[];
  /** Rows and their receipts, as in a commit; a pair that the store knows as delivered stays so. */
  spool: readonly SpoolEntry[];
  receipts: readonly Receipt[];
  /** Rows that go, with their payloads: they were delivered since this state was saved. */
  closed: readonly OpenPair[];
}

/** A store that several hosts share. Every method of it may reject with `RedisError`. */
export interface SharedStore extends Store {
  /** The version after the last write of this mailbox that this store made or read; null: none. */
  knownVersion(mailbox: string): StateVersion | null;
  /** Grows when another process was seen to have written between two writes of this store. */
  foreignWrites(mailbox: string): number;
  readState(mailbox: string): Promise<SharedState>;
  /**
   * The version the state has then; null: it has another one than `expected`, read it again. Needs no
   * lease.
   */
  publish(publication: Publication): Promise<StateVersion | null>;
  /** Names this installation of the shared state; null after it was lost, until somebody sets it. */
  readMarker(): Promise<string | null>;
  /** Sets the marker when there is none; returns the one that stands. */
  setMarker(marker: string): Promise<string>;
  /** The shared HMAC key; the first one offered stands. `hmacKey` rejects until there is one. */
  offerHmacKey(key: Uint8Array): Promise<Uint8Array>;
  readServer(): Promise<RedisServer>;
}
