// Chance that a seed repeats: the Random of tests and of the simulator. Same seed, same draws, on every
// machine; not fit for keys.
import type { Random } from "../../src/core/random.ts";

/** A Random whose draws follow from `seed` alone (mulberry32). */
export const createSeededRandom = (seed: number): Random => {
  let state = seed >>> 0;
  const u32 = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  };
  return { u32, bytes: (count) => Uint8Array.from({ length: count }, () => u32() & 0xff) };
};
