// Sample records for the suites of this folder, and the way they open a store. Every value that a test
// does not care about has a default here, so that a test shows only what it is about.
import { createHash } from "node:crypto";
import type { Random } from "../../core/random.ts";
import type { CursorRecord, DueQuery, Receipt, SpoolEntry, Store, TailEntry } from "../store.ts";

/** A store under test, and the way to more stores on the same state. */
export interface OpenedStore extends AsyncDisposable {
  store: Store;
  /** Another store on the same state, as a second process opens it; ended with this one. */
  reopen(): Promise<Store>;
}

/** Opens a store on fresh state. */
export type OpenStore = () => Promise<OpenedStore>;

/** 2026-11-24, in milliseconds. */
export const NOW = 1_795_508_534_000;
export const DAY = 86_400_000;

/** Chance that repeats: the same bytes in every run, and never the same twice in one. */
export const repeatableRandom = (): Random => {
  let drawn = 0;
  const block = (): Buffer => createHash("sha256").update(String(drawn++)).digest();
  return {
    u32: () => block().readUInt32BE(0),
    bytes: (count) => new Uint8Array(block().subarray(0, count)),
  };
};

export const cursorOf = (fields: Partial<CursorRecord> = {}): CursorRecord => ({
  mailbox: "m",
  folder: "INBOX",
  uidvalidity: "7",
  accountHash: "account",
  firstContactMs: NOW - DAY,
  settledUpTo: 3,
  settledAbove: [[5, 6]],
  ...fields,
});

const eventOf = (uid: number): string => `evt_${uid}`;

export const receiptOf = (uid: number, fields: Partial<Receipt> = {}): Receipt => ({
  eventId: eventOf(uid),
  mailbox: "m",
  folder: "INBOX",
  uidvalidity: "7",
  uid,
  outcome: "delivered",
  reason: null,
  reduced: false,
  pairs: { default: { kind: "delivered", attempts: 1 } },
  steps: { metadata: 2, deliver: 11 },
  todo: false,
  settledMs: NOW,
  ...fields,
});

/** The receipt of a message whose one delivery waits. */
export const spooledReceiptOf = (uid: number, fields: Partial<Receipt> = {}): Receipt =>
  receiptOf(uid, {
    outcome: "spooled",
    pairs: { default: { kind: "waiting", attempts: 1, errorClass: "timeout" } },
    ...fields,
  });

/** The receipt of a message whose one delivery is parked. */
export const parkedReceiptOf = (uid: number): Receipt =>
  receiptOf(uid, {
    outcome: "parked",
    pairs: { default: { kind: "parked", attempts: 4, reason: "http_4xx" } },
  });

export const entryOf = (uid: number, fields: Partial<SpoolEntry> = {}): SpoolEntry => ({
  eventId: eventOf(uid),
  destination: "default",
  mailbox: "m",
  uid,
  state: "waiting",
  attempts: 1,
  counted: 1,
  nextAttemptMs: NOW,
  errorClass: "timeout",
  reason: null,
  sinceMs: NOW,
  parkedMs: null,
  payload: `{"uid":${uid}}`,
  ...fields,
});

export const parkedEntryOf = (uid: number): SpoolEntry =>
  entryOf(uid, {
    state: "parked",
    attempts: 4,
    counted: 4,
    errorClass: "http_4xx",
    reason: "http_4xx",
    parkedMs: NOW,
  });

export const tailEntryOf = (uid: number, fields: Partial<TailEntry> = {}): TailEntry => ({
  uid,
  internalDateMs: NOW - 1000,
  hash: `hash-${uid}`,
  settledMs: NOW,
  ...fields,
});

/** A number of things made of 1, 2, 3, … */
export const many = <T>(count: number, make: (place: number) => T): T[] =>
  Array.from({ length: count }, (_, index) => make(index + 1));

/** All that is due now in mailbox `m`, whatever it waits for. */
export const dueQueryOf = (fields: Partial<DueQuery> = {}): DueQuery => ({
  mailbox: "m",
  nowMs: NOW,
  limit: 9,
  maxBytes: 8 * 1024 * 1024,
  except: [],
  ...fields,
});

/** What is due now in mailbox `m`. */
export const dueOf = async (store: Store, nowMs = NOW): Promise<readonly SpoolEntry[]> =>
  await store.dueEntries(dueQueryOf({ nowMs, limit: 100 }));
