// A fair counting gate: so much may be inside at once, first come first served. Bounds requests to one
// destination and bytes in flight over the whole process.

/** Admits amounts up to a capacity. */
export interface Gate {
  /**
   * Resolves once `amount` fits, in order of asking, with the function that gives it back (calling it
   * twice is harmless). An amount above the capacity is admitted alone. Rejects with the signal's
   * reason when that aborts first.
   */
  acquire(amount: number, signal?: AbortSignal): Promise<() => void>;
  /** What is inside now. */
  inUse(): number;
}

interface Waiter {
  amount: number;
  admit(): void;
}

/** A gate that holds `capacity`. */
export const createGate = (capacity: number): Gate => {
  let used = 0;
  const waiting: Waiter[] = [];

  const fits = (amount: number): boolean => used === 0 || used + amount <= capacity;

  const admitWaiting = (): void => {
    for (let first = waiting[0]; first !== undefined && fits(first.amount); first = waiting[0]) {
      waiting.shift();
      first.admit();
    }
  };

  const take = (amount: number): (() => void) => {
    used += amount;
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      used -= amount;
      admitWaiting();
    };
  };

  const wait = (amount: number, signal: AbortSignal | undefined): Promise<() => void> =>
    new Promise((resolve, reject) => {
      const giveUp = (): void => {
        waiting.splice(waiting.indexOf(waiter), 1);
        reject(signal?.reason);
        // Who stood in front may have been the only one that did not fit.
        admitWaiting();
      };
      const waiter: Waiter = {
        amount,
        admit: () => {
          signal?.removeEventListener("abort", giveUp);
          resolve(take(amount));
        },
      };
      waiting.push(waiter);
      signal?.addEventListener("abort", giveUp, { once: true });
    });

  return {
    async acquire(amount, signal) {
      signal?.throwIfAborted();
      return waiting.length === 0 && fits(amount) ? take(amount) : wait(amount, signal);
    },
    inUse: () => used,
  };
};
