// The store as work under a lease sees it: a call that has no answer when the lease goes is waited for no
// longer, so that the work ends at once. What such a call writes late is refused by its fence, or was
// written before anybody else could read. Made by daemon/ for each lease.
import type { Store } from "./store.ts";

const endedBy = (signal: AbortSignal): { ended: Promise<never>; forget(): void } => {
  const { promise: ended, reject } = Promise.withResolvers<never>();
  const end = (): void => reject(new DOMException("the lease has ended", "AbortError"));
  if (signal.aborted) end();
  else signal.addEventListener("abort", end, { once: true });
  return { ended, forget: () => signal.removeEventListener("abort", end) };
};

const wrap =
  (call: (...args: unknown[]) => unknown, signal: AbortSignal) =>
  (...args: unknown[]): unknown => {
    const answer = call(...args);
    // What gives no promise has its answer already.
    if (!(answer instanceof Promise)) return answer;
    const { ended, forget } = endedBy(signal);
    // An answer that is there counts, also after the end.
    return Promise.race([answer, ended]).finally(forget);
  };

/** The same store, whose calls reject with an `AbortError` as soon as `signal` aborts. */
export const createLeasedStore = (store: Store, signal: AbortSignal): Store =>
  Object.fromEntries(
    Object.entries(store).map(([name, call]: [string, (...args: unknown[]) => unknown]) => [
      name,
      wrap(call, signal),
    ]),
  ) as unknown as Store;
