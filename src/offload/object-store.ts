// The contract of an S3-compatible object storage: one bucket, objects put as a stream and read by signed
// URL. The S3 adapter keeps it for real storages, the simulator for simulated ones; storage.ts calls it.
import { AppError } from "../core/errors.ts";
import type { StorageSettings } from "../core/settings.ts";

/**
 * Why the storage did not take an object. `denied`: 401 or 403, somebody has to look at the credentials.
 * `missing_bucket`: 404. `request_refused`: another 4xx or a redirect. `server_error`: 5xx and 429.
 * `invalid_answer`: a success that does not prove anything, such as a 200 with an error in its body.
 * The others as in net/.
 */
export type StorageFailure =
  | "denied"
  | "missing_bucket"
  | "request_refused"
  | "server_error"
  | "invalid_answer"
  | "timeout"
  | "refused"
  | "dns"
  | "tls"
  | "reset"
  | "egress_refused";

/** The storage did not take an object; never carries a text of the other side in its message. */
export class StorageError extends AppError {
  readonly failure: StorageFailure;

  constructor(failure: StorageFailure, options?: { cause?: unknown }) {
    super(`storage/${failure}`, "the object storage did not take an object", options);
    this.failure = failure;
  }
}

/** An object to store. */
export interface ObjectPut {
  key: string;
  /** `type/subtype`, as the message says. */
  contentType: string;
  /** Under which name a browser saves it; null: the last part of the key. */
  filename: string | null;
  /** Read once, in order, and never faster than the storage takes it. */
  body: AsyncIterable<Uint8Array>;
  /** Ends the upload: nothing of it stays behind. */
  signal: AbortSignal;
}

/** One bucket. */
export interface ObjectStore {
  /**
   * Stores the object, in place of an older one under that key; when it resolves the storage has said that
   * it has the whole. Memory is bounded whatever the size. Rejects with `StorageError`, with what the body
   * threw, or with the signal's reason; an upload in parts is then aborted at the storage, as well as that
   * goes. `sent` is told whenever bytes went out or an answer came.
   */
  put(object: ObjectPut, sent: () => void): Promise<void>;
  /** A URL by which anybody can read `key` for `seconds` from `nowMs` (wall time) on. Asks nobody. */
  signGet(key: string, options: { seconds: number; nowMs: number }): Promise<string>;
  /** Ends every connection; what is in flight rejects. */
  close(): void;
}

/** Opens a bucket; connects to nothing yet. */
export type OpenObjectStore = (settings: StorageSettings) => ObjectStore;
