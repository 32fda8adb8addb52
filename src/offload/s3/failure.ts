// What the object storage answered, or did not, in one word of a closed list. Pure; the texts of the other
// side stay in `cause`. The upload asks for every error that comes out of the SDK.
import type { NetworkFailure } from "../../net/network-failure.ts";
import { StorageError, type StorageFailure } from "../object-store.ts";

/** Where another attempt may well find what this one did not. */
const PASSING: ReadonlySet<string> = new Set(["reset", "refused", "dns"]);

/**
 * A request that got no usable answer. `aborted`: its signal ended it. The original is not the `cause`
 * here: the SDK looks for codes there, and would send again what timed out. It does send again an error
 * that carries `$retryable`.
 */
export class UnansweredError extends Error {
  readonly failure: NetworkFailure | "invalid_answer" | "aborted";
  readonly original: unknown;
  readonly $retryable: { throttling: boolean } | undefined;

  constructor(failure: UnansweredError["failure"], original?: unknown) {
    super(`no usable answer: ${failure}`);
    this.failure = failure;
    this.original = original;
    if (PASSING.has(failure)) this.$retryable = { throttling: false };
  }
}

const statusOf = (error: unknown): number | null => {
  const { $metadata } = error as { $metadata?: { httpStatusCode?: unknown } };
  const status = $metadata?.httpStatusCode;
  return typeof status === "number" ? status : null;
};

const failureOfStatus = (status: number): StorageFailure => {
  if (status < 300) return "invalid_answer";
  if (status === 401 || status === 403) return "denied";
  if (status === 404) return "missing_bucket";
  return status === 429 || status >= 500 ? "server_error" : "request_refused";
};

/**
 * The error of our own for whatever the SDK threw. What it threw without an answer, and without trying to
 * get one, is a request that it refused to make: a bucket name or a region that cannot be.
 */
export const toStorageError = (error: unknown): StorageError => {
  if (error instanceof StorageError) return error;
  if (error instanceof UnansweredError) {
    const { failure, original } = error;
    return new StorageError(failure === "aborted" ? "reset" : failure, { cause: original });
  }
  if (!(error instanceof Error)) return new StorageError("request_refused", { cause: error });
  const status = statusOf(error);
  // The upload is gone while the bucket is there; and a 400 for a body that came too slowly.
  const named: Partial<Record<string, StorageFailure>> = {
    NoSuchUpload: "request_refused",
    RequestTimeout: "timeout",
  };
  const failure =
    named[error.name] ?? (status === null ? "request_refused" : failureOfStatus(status));
  return new StorageError(failure, { cause: error });
};
