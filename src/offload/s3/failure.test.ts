// Every way of a storage to fail as one word, and what is worth another attempt. Errors are made as the SDK
// makes them: a name from the answer, a status beside it.
import { describe, expect, test } from "vitest";
import { StorageError } from "../object-store.ts";
import { toStorageError, UnansweredError } from "./failure.ts";

const answered = (httpStatusCode: number, name = "Whatever"): Error =>
  Object.assign(new Error("the subject of a mail"), { name, $metadata: { httpStatusCode } });

describe("toStorageError", () => {
  test.each([
    [401, "denied"],
    [403, "denied"],
    [404, "missing_bucket"],
    [301, "request_refused"],
    [307, "request_refused"],
    [400, "request_refused"],
    [409, "request_refused"],
    [429, "server_error"],
    [500, "server_error"],
    [503, "server_error"],
    [200, "invalid_answer"],
  ])("calls an answer of %i %s", (status, failure) => {
    expect(toStorageError(answered(status))).toMatchObject({
      failure,
      code: `storage/${failure}`,
      message: "the object storage did not take an object",
    });
  });

  test("tells an upload that is gone from a bucket that is", () => {
    expect(toStorageError(answered(404, "NoSuchUpload")).failure).toBe("request_refused");
    expect(toStorageError(answered(404, "NoSuchBucket")).failure).toBe("missing_bucket");
  });

  test("calls a body that the storage waited for in vain a timeout", () => {
    expect(toStorageError(answered(400, "RequestTimeout")).failure).toBe("timeout");
  });

  test("calls what was never sent refused, and keeps the original as the cause", () => {
    const cause = new TypeError("bucket name");
    expect(toStorageError(cause)).toMatchObject({ failure: "request_refused", cause });
    expect(toStorageError("text")).toMatchObject({ failure: "request_refused", cause: "text" });
  });

  test("takes the word of the network", () => {
    const original = new Error("ECONNREFUSED");
    const error = toStorageError(new UnansweredError("refused", original));
    expect(error).toMatchObject({ failure: "refused", cause: original });
    expect(toStorageError(new UnansweredError("aborted")).failure).toBe("reset");
  });

  test("leaves an error of our own as it is", () => {
    const error = new StorageError("invalid_answer");
    expect(toStorageError(error)).toBe(error);
  });
});

describe("UnansweredError", () => {
  test.each(["reset", "refused", "dns"] as const)(
    "is worth another attempt after %s",
    (failure) => {
      expect(new UnansweredError(failure).$retryable).toEqual({ throttling: false });
    },
  );

  test.each(["timeout", "tls", "egress_refused", "invalid_answer", "aborted"] as const)(
    "is not after %s",
    (failure) => {
      const original = Object.assign(new Error("x"), { code: "ETIMEDOUT" });
      const error = new UnansweredError(failure, original);
      expect(error.$retryable).toBeUndefined();
      // Where the SDK would find the code and send again.
      expect(error.cause).toBeUndefined();
    },
  );
});
