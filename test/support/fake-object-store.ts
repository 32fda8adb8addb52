// An object storage that keeps its objects in memory and misbehaves as a test says, under the clock that
// the test moves. It keeps the contract of the port, so storage.ts and the daemon work on it unchanged.
import type { Clock } from "../../src/core/clock.ts";
import {
  type ObjectPut,
  type OpenObjectStore,
  StorageError,
  type StorageFailure,
} from "../../src/offload/object-store.ts";

/** An object as it was stored last. */
export interface FakeObject {
  bytes: Buffer;
  contentType: string;
  filename: string | null;
}

/** How it takes objects: well, not at all, or with this failure. */
export type FakeBehaviour = "works" | "hangs" | StorageFailure;

/** A bucket; every `put` takes `takesMs` and tells of one thing sent. */
export const createFakeObjectStore = (clock: Clock, takesMs = 0) => {
  const objects = new Map<string, FakeObject>();
  const puts: { key: string; atMs: number }[] = [];
  let behaviour: FakeBehaviour = "works";
  let isClosed = false;

  const aborted = (signal: AbortSignal): Promise<never> =>
    new Promise((_, reject) => {
      const abort = (): void => reject(signal.reason);
      if (signal.aborted) abort();
      else signal.addEventListener("abort", abort, { once: true });
    });

  const take = async ({ key, body, signal, ...about }: ObjectPut): Promise<void> => {
    const pieces: Uint8Array[] = [];
    for await (const piece of body) {
      pieces.push(piece);
      signal.throwIfAborted();
    }
    if (takesMs > 0) await clock.sleep(takesMs, signal);
    signal.throwIfAborted();
    const { contentType, filename } = about;
    objects.set(key, { bytes: Buffer.concat(pieces), contentType, filename });
  };

  const open: OpenObjectStore = () => ({
    put: async (object, sent) => {
      puts.push({ key: object.key, atMs: clock.monoMs() });
      if (behaviour === "hangs") return aborted(object.signal);
      if (behaviour !== "works") throw new StorageError(behaviour);
      await take(object);
      sent();
    },
    signGet: async (key, { seconds, nowMs }) =>
      `https://bucket.fake.test/${key}?until=${nowMs + seconds * 1000}`,
    close: () => {
      isClosed = true;
    },
  });

  return {
    open,
    objects,
    /** Every upload that was begun. */
    puts,
    behave: (next: FakeBehaviour): void => {
      behaviour = next;
    },
    isClosed: () => isClosed,
  };
};
