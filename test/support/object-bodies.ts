// What tests of object storage put into it, and how they read what came of it: bodies whose every byte can be
// told apart, and the word for a failure.
import { createHash } from "node:crypto";
import { type ObjectPut, StorageError } from "../../src/offload/object-store.ts";

/** The smallest part that S3 takes, and the size from which on objects are sent in parts. */
export const PART_BYTES = 5 * 1024 * 1024;

/** A body that is read once, and what became of it. */
export interface TestBody {
  body: AsyncIterable<Uint8Array>;
  /** `readBytes`: asked for so far. `ended`: how often it ended, whoever ended it. */
  seen: { readBytes: number; ended: number };
  whole: Buffer;
}

/** A body of `size` bytes in pieces of about 100 kB; `failAt`: throws once so many bytes were given. */
export const bodyOf = (
  size: number,
  failAt: { bytes: number; error: Error } | null = null,
): TestBody => {
  const pieceBytes = 100_003;
  const whole = Buffer.alloc(size, "0123456789abcdefghijklmnopqrstuvwxyz!");
  const seen = { readBytes: 0, ended: 0 };
  async function* read(): AsyncGenerator<Uint8Array> {
    try {
      for (let at = 0; at < size; at += pieceBytes) {
        if (failAt !== null && at >= failAt.bytes) throw failAt.error;
        seen.readBytes = Math.min(size, at + pieceBytes);
        yield whole.subarray(at, seen.readBytes);
      }
    } finally {
      seen.ended += 1;
    }
  }
  return { body: read(), seen, whole };
};

/** An object with this body. */
export const objectOf = (
  body: AsyncIterable<Uint8Array>,
  more: Partial<ObjectPut> = {},
): ObjectPut => ({
  key: "mail/evt_1/2",
  contentType: "application/pdf",
  filename: "report.pdf",
  body,
  signal: new AbortController().signal,
  ...more,
});

/** How a put fails; throws when it does not, or with more than the one sentence that all failures have. */
export const failureOf = async (putting: Promise<void>): Promise<string> => {
  const error: unknown = await putting.then(
    () => null,
    (reason: unknown) => reason,
  );
  if (error instanceof StorageError) {
    if (error.message === "the object storage did not take an object") return error.failure;
  }
  throw new Error("not the failure of a storage", { cause: error });
};

/** In hexadecimal. */
export const sha256 = (data: Uint8Array): string => createHash("sha256").update(data).digest("hex");
