// What a target of the fuzz is: a generator of cases and a function that runs one and throws when a
// promise is broken. One file of targets/ per part of the program; targets.ts lists them.
import fc from "fast-check";

/** Longest turn that a case may take, in milliseconds of the main thread's CPU (DESIGN section 7). */
export const MAX_TURN_MS = 200;

/** Measures the turns of a case: only what runs in here is the program's own. */
export interface Meter {
  /** Runs `work` as one turn and gives its result. */
  turn<T>(work: () => T): T;
  /** Runs `work` as the turns between its calls of `pause`. */
  turns<T>(work: (pause: () => Promise<void>) => Promise<T>): Promise<T>;
  /** The longest turn since the last call, in milliseconds. */
  takeLongestMs(): number;
}

/** One part of the program that is fuzzed. */
export interface Target<Case> {
  /** As `--only` names it. */
  name: string;
  /** Its share of the cases, beside the shares of the others. */
  weight: number;
  cases: fc.Arbitrary<Case>;
  /** Runs one case. Throws when a promise is broken; gives what a second run must give again. */
  run(one: Case, meter: Meter): unknown;
}

/** A target whose kind of case only itself knows. */
export interface FuzzTarget {
  name: string;
  weight: number;
  /** A property of fast-check that hands each case to `body` as a function that runs it. */
  property(
    body: (run: (meter: Meter) => unknown) => Promise<void>,
  ): fc.IAsyncPropertyWithHooks<[unknown]>;
}

/** Closes a target over its kind of case. */
export const createTarget = <Case>({ name, weight, cases, run }: Target<Case>): FuzzTarget => ({
  name,
  weight,
  property: (body) =>
    fc.asyncProperty<[unknown]>(cases, (one) => body((meter) => run(one as Case, meter))),
});

const cpuMs = (): number => {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
};

/** A meter of this thread's CPU time. */
export const createMeter = (): Meter => {
  let longestMs = 0;
  let startMs = 0;
  const begin = (): void => {
    startMs = cpuMs();
  };
  const end = (): void => {
    longestMs = Math.max(longestMs, cpuMs() - startMs);
  };
  return {
    turn: (work) => {
      begin();
      const result = work();
      end();
      return result;
    },
    turns: async (work) => {
      begin();
      const result = await work(() => {
        end();
        begin();
        return Promise.resolve();
      });
      end();
      return result;
    },
    takeLongestMs: () => {
      const taken = longestMs;
      longestMs = 0;
      return taken;
    },
  };
};

/** Throws `what` unless it holds. */
export const must = (holds: boolean, what: string): void => {
  if (!holds) throw new Error(what);
};

/** Throws unless `text` is Unicode that every receiver can read: no half pairs, no NUL. */
export const mustBeText = (text: string | null, what: string): void => {
  if (text === null) return;
  must(text.isWellFormed(), `${what} is not well-formed Unicode`);
  must(!text.includes("\0"), `${what} has a NUL`);
};
