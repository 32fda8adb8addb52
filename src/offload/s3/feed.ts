// The body of an object, read into a buffer as fast as it is used up and no faster. Ends with its signal
// even when the body does not listen, and always lets go of it. Pure; one upload reads one feed.

const EMPTY = new Uint8Array();

/** The result of `work`, or a rejection with the signal's reason as soon as that aborts. */
const untilAborted = async <T>(work: Promise<T>, signal: AbortSignal): Promise<T> => {
  const aborted = Promise.withResolvers<never>();
  const abort = (): void => aborted.reject(signal.reason);
  if (signal.aborted) abort();
  else signal.addEventListener("abort", abort, { once: true });
  try {
    return await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
};

/** A body that is being read. */
export interface Feed {
  /**
   * Fills `buffer` from its start and tells how many bytes it got; fewer than fit only at the end of the
   * body. Rejects with what the body threw, or with the signal's reason.
   */
  readInto(buffer: Uint8Array): Promise<number>;
  /** What the body threw before anything else ended the upload; null: nothing. */
  thrown(): { error: unknown } | null;
  /** Lets go of a body that was not read to its end; resolves when it has let go, never rejects. */
  end(): Promise<void>;
}

/** Reads `body`, once, until `signal` aborts. */
export const createFeed = (body: AsyncIterable<Uint8Array>, signal: AbortSignal): Feed => {
  const iterator = body[Symbol.asyncIterator]();
  let rest: Uint8Array = EMPTY;
  let isOver = false;
  let thrown: { error: unknown } | null = null;

  const next = async (): Promise<IteratorResult<Uint8Array>> => {
    try {
      return await iterator.next();
    } catch (error) {
      isOver = true;
      if (!signal.aborted) thrown = { error };
      throw error;
    }
  };

  return {
    async readInto(buffer) {
      let filled = 0;
      while (filled < buffer.length) {
        if (rest.length === 0) {
          if (isOver) break;
          signal.throwIfAborted();
          const { done, value } = await untilAborted(next(), signal);
          if (done === true) isOver = true;
          else rest = value;
          continue;
        }
        const taken = rest.subarray(0, buffer.length - filled);
        buffer.set(taken, filled);
        filled += taken.length;
        rest = rest.subarray(taken.length);
      }
      return filled;
    },
    thrown: () => thrown,
    async end() {
      if (isOver) return;
      isOver = true;
      try {
        await iterator.return?.();
      } catch {
        // The upload has ended for another reason, which is the one to tell.
      }
    },
  };
};
