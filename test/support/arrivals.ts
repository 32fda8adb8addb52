// Mail that keeps arriving while something else happens, so that a fault always meets work under way,
// however fast the machine is. Whoever starts it ends it and learns which subjects arrived.
import { setTimeout as sleep } from "node:timers/promises";
import { subjects } from "./deliveries.ts";

/** Mail that arrives. */
export interface Arrivals extends AsyncDisposable {
  /** So many more at once; resolves when they lie there. */
  burst(count: number): Promise<void>;
  /** Nothing more arrives once it resolves: with every subject there was. */
  end(): Promise<readonly string[]>;
}

/** A batch every `everyMs`, with the subjects `m<from>` and so on. */
export const startArrivals = (
  deliver: (names: readonly string[]) => Promise<void>,
  { batch = 10, everyMs = 100, from = 1 }: { batch?: number; everyMs?: number; from?: number } = {},
): Arrivals => {
  const names: string[] = [];
  let isEnding = false;
  let next = from;
  const arrive = async (count: number): Promise<void> => {
    const arriving = subjects(count, next);
    next += count;
    await deliver(arriving);
    names.push(...arriving);
  };
  const arriving = (async () => {
    while (!isEnding) {
      await arrive(batch);
      await sleep(everyMs);
    }
  })();
  // Told at the end; until then it is nobody's unhandled failure.
  arriving.catch(() => undefined);
  const end = async (): Promise<readonly string[]> => {
    isEnding = true;
    await arriving;
    return names;
  };
  return { burst: arrive, end, [Symbol.asyncDispose]: async () => void (await end()) };
};
