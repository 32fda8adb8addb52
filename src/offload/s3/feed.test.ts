// The body of an upload: every byte once and in order, however it is cut; and an end in every case.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createFeed } from "./feed.ts";

const never = new AbortController().signal;

/** A body that tells whether it was let go of. */
const bodyOf = (next: (n: number) => Promise<Uint8Array | null>) => {
  const seen = { returned: 0 };
  let n = 0;
  const body: AsyncIterable<Uint8Array> = {
    [Symbol.asyncIterator]: () => ({
      async next() {
        const value = await next((n += 1));
        return value === null ? { done: true, value: undefined } : { done: false, value };
      },
      async return() {
        seen.returned += 1;
        return { done: true, value: undefined };
      },
    }),
  };
  return { body, seen };
};

const bytesOf = (length: number): Uint8Array => Uint8Array.from({ length }, (_, at) => at);

describe("a feed", () => {
  test("fills buffers with every byte in order, however the body is cut", async () => {
    const pieces = fc.array(fc.uint8Array({ maxLength: 9 }), { maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(pieces, fc.integer({ min: 1, max: 11 }), async (given, size) => {
        const feed = createFeed(bodyOf(async (n) => given[n - 1] ?? null).body, never);
        const got: number[] = [];
        const buffer = new Uint8Array(size);
        for (let filled = size; filled === size;) {
          filled = await feed.readInto(buffer);
          got.push(...buffer.subarray(0, filled));
        }
        expect(got).toEqual(given.flatMap((piece) => [...piece]));
        expect(await feed.readInto(buffer)).toBe(0);
      }),
    );
  });

  test("reads no further than the buffer asks", async () => {
    let reads = 0;
    const feed = createFeed(bodyOf(async (n) => bytesOf((reads = n) && 10)).body, never);
    await feed.readInto(new Uint8Array(15));
    expect(reads).toBe(2);
    await feed.readInto(new Uint8Array(5));
    expect(reads).toBe(2);
  });

  test("tells what the body threw, and has nothing left to let go of", async () => {
    const error = new Error("the mail server went away");
    const { body, seen } = bodyOf(() => Promise.reject(error));
    const feed = createFeed(body, never);
    await expect(feed.readInto(new Uint8Array(1))).rejects.toBe(error);
    expect(feed.thrown()).toEqual({ error });
    await feed.end();
    expect(seen.returned).toBe(0);
  });

  test("ends with the signal's reason under a body that does not listen", async () => {
    const abort = new AbortController();
    const { body, seen } = bodyOf(() => new Promise(() => undefined));
    const feed = createFeed(body, abort.signal);
    const filling = feed.readInto(new Uint8Array(1));
    const reason = new Error("the lease is lost");
    abort.abort(reason);
    await expect(filling).rejects.toBe(reason);
    expect(feed.thrown()).toBeNull();
    await feed.end();
    expect(seen.returned).toBe(1);
  });

  test("asks an aborted body for nothing", async () => {
    let reads = 0;
    const { body, seen } = bodyOf(async () => bytesOf((reads += 1)));
    const feed = createFeed(body, AbortSignal.abort(new Error("over")));
    await expect(feed.readInto(new Uint8Array(1))).rejects.toThrow("over");
    await feed.end();
    expect([reads, seen.returned]).toEqual([0, 1]);
  });

  test("lets go once, and of a body that was read to its end not at all", async () => {
    const half = bodyOf(async () => bytesOf(10));
    const feed = createFeed(half.body, never);
    await feed.readInto(new Uint8Array(5));
    await feed.end();
    await feed.end();
    expect(half.seen.returned).toBe(1);
    const whole = bodyOf(async (n) => (n === 1 ? bytesOf(3) : null));
    const over = createFeed(whole.body, never);
    await over.readInto(new Uint8Array(5));
    await over.end();
    expect(whole.seen.returned).toBe(0);
  });

  test("keeps to itself that a body will not let go", async () => {
    const body: AsyncIterable<Uint8Array> = {
      [Symbol.asyncIterator]: () => ({
        next: async () => ({ done: false, value: bytesOf(1) }),
        return: () => Promise.reject(new Error("no")),
      }),
    };
    const feed = createFeed(body, never);
    await feed.readInto(new Uint8Array(1));
    await expect(feed.end()).resolves.toBeUndefined();
  });
});
