// Storing attachments without ever holding mail up for long: few uploads at a time, none without a
// deadline, none while the storage is known to be down. The orchestrator calls it for each attachment.
import type { Metrics } from "../app-logging/metrics.ts";
import type { Clock } from "../core/clock.ts";
import { DeadlineError, errorCode } from "../core/errors.ts";
import type { StoredObject } from "../core/message.ts";
import type { OffloadSettings } from "../core/settings.ts";
import { type Gate, createGate } from "../resilience/gate.ts";
import type { Availability, Try } from "./availability.ts";
import { type ObjectStore, StorageError, type StorageFailure } from "./object-store.ts";
import {
  type Meter,
  OutOfTimeError,
  PATIENCE,
  type Patience,
  TooLargeError,
  createMeter,
  sendObject,
} from "./upload.ts";

/** Uploads of the whole process at a time, and of one mailbox. */
const MAX_UPLOADS = 4;
const MAX_UPLOADS_OF_MAILBOX = 2;

/**
 * Why an attachment was not stored: as the storage failed; `unknown` when it failed in a way that nobody
 * foresaw; `unavailable` when it was not even tried, because the storage is down; `too_large` when it
 * decoded to more than is wanted; `unreadable` when the mail server did not bring it; `late` when the
 * message's time was up.
 */
export type UploadFailure =
  | StorageFailure
  | "unknown"
  | "unavailable"
  | "too_large"
  | "unreadable"
  | "late";

/** One attachment. */
export interface Upload {
  mailbox: string;
  eventId: string;
  part: string;
  contentType: string;
  filename: string | null;
  /** Its decoded bytes; begun only when the storage takes them. */
  body: () => AsyncIterable<Uint8Array>;
  /** Asked right before it begins, after any wait in line: rejects when it must not. */
  assertLease(): Promise<void>;
  /** Called whenever something moves. */
  progress(): void;
  /** Ends it, also in line: for an `OutOfTimeError` it is `late`, for any other reason it rejects. */
  signal: AbortSignal;
}

/** What came of it; `isNews`: of this failure nothing else has told. `code` is of what was unreadable. */
export type UploadResult =
  | { kind: "stored"; object: StoredObject; sizeBytes: number }
  | { kind: "failed"; failure: UploadFailure; isNews: boolean; code?: string };

/** The storage of a daemon. */
export interface Storage {
  /** Would an upload be tried now? */
  isUsable(): boolean;
  /** Rejects as `assertLease` does and with the reason of its signal; every failure is a result. */
  put(upload: Upload): Promise<UploadResult>;
}

/** The URL of a public bucket's object. */
const publicUrl = (baseUrl: string, key: string): string =>
  [baseUrl, ...key.split("/").map(encodeURIComponent)].join("/");

/** Room for uploads, first come first served, and a fair share for each mailbox. */
const createRoom = () => {
  const all = createGate(MAX_UPLOADS);
  const ofMailbox = new Map<string, Gate>();
  const gateOf = (mailbox: string): Gate => {
    const gate = ofMailbox.get(mailbox) ?? createGate(MAX_UPLOADS_OF_MAILBOX);
    ofMailbox.set(mailbox, gate);
    return gate;
  };
  /** Its own place first: who waits for that must not keep others out. */
  return async (mailbox: string, signal: AbortSignal): Promise<() => void> => {
    const leave = await gateOf(mailbox).acquire(1, signal);
    try {
      const release = await all.acquire(1, signal);
      return () => {
        release();
        leave();
      };
    } catch (error) {
      leave();
      throw error;
    }
  };
};

/** What the storage is made of. */
export interface StorageDeps {
  clock: Clock;
  metrics: Pick<Metrics, "offloadBytes">;
  availability: Availability;
  objectStore: () => Pick<ObjectStore, "put">;
  settings: Pick<OffloadSettings, "prefix" | "publicBaseUrl" | "maxBytes">;
  patience?: Patience;
}

/** What ended an upload that was under way, in a word; null: our own signal, and no word at all. */
const failureOf = (error: unknown, { signal }: Upload, meter: Meter): UploadFailure | null => {
  if (signal.aborted) return signal.reason instanceof OutOfTimeError ? "late" : null;
  // What the storage says of a body that broke off is no matter of its own.
  if (meter.bodyError?.error instanceof TooLargeError) return "too_large";
  if (meter.bodyError !== null) return "unreadable";
  if (error instanceof StorageError) return error.failure;
  return error instanceof DeadlineError ? "timeout" : "unknown";
};

/** Failures that say nothing about the storage either. */
const NOT_ITS_FAULT: ReadonlySet<UploadFailure> = new Set(["late", "too_large"]);

/** The storage of a daemon, over one bucket. */
export const createStorage = (deps: StorageDeps): Storage => {
  const { clock, metrics, availability, objectStore, settings, patience = PATIENCE } = deps;
  const enter = createRoom();

  /** Waits for room; a word when there is none to wait for. */
  const takeRoom = async (upload: Upload, one: Try): Promise<(() => void) | UploadFailure> => {
    const { signal, mailbox } = upload;
    const opening = one.probe ? [] : [availability.opening()];
    try {
      return await enter(mailbox, AbortSignal.any([signal, ...opening]));
    } catch (error) {
      if (!signal.aborted) return "unavailable";
      if (signal.reason instanceof OutOfTimeError) return "late";
      throw error;
    }
  };

  /** One upload that has room. */
  const run = async (upload: Upload, one: Try): Promise<UploadResult> => {
    await upload.assertLease();
    const key = [settings.prefix, upload.eventId, upload.part].filter(Boolean).join("/");
    const meter = createMeter(clock);
    try {
      const sending = { clock, objectStore, patience, isDoubted: availability.isDoubted() };
      await sendObject(sending, { ...upload, key, maxBytes: settings.maxBytes }, meter);
    } catch (error) {
      const failure = failureOf(error, upload, meter);
      if (failure === null) throw error;
      if (failure === "unreadable") {
        return { kind: "failed", failure, isNews: true, code: errorCode(meter.bodyError?.error) };
      }
      if (NOT_ITS_FAULT.has(failure)) return { kind: "failed", failure, isNews: true };
      return { kind: "failed", failure, isNews: availability.failed(one, failure) };
    }
    availability.succeeded();
    metrics.offloadBytes(meter.bytes);
    const { publicBaseUrl } = settings;
    const url = publicBaseUrl === null ? null : publicUrl(publicBaseUrl, key);
    const object = { key, url, sha256: meter.sha256 };
    return { kind: "stored", object, sizeBytes: meter.bytes };
  };

  return {
    isUsable: availability.isUsable,
    put: async (upload) => {
      const one = availability.admit();
      if (one === null) return { kind: "failed", failure: "unavailable", isNews: false };
      try {
        const room = await takeRoom(upload, one);
        if (typeof room === "string") {
          return { kind: "failed", failure: room, isNews: room === "late" };
        }
        try {
          return await run(upload, one);
        } finally {
          room();
        }
      } finally {
        // Says nothing when something was said before.
        availability.abandoned(one);
      }
    },
  };
};
