// Chance as a parameter. Everything in src that draws does it through a Random, so that a seed can
// repeat a run. The system's generator is an adapter in daemon/.

/** The only source of chance. */
export interface Random {
  /** A whole number from 0 to 2^32 - 1, evenly distributed. */
  u32(): number;
  /** `count` bytes fit for keys and initialisation vectors. */
  bytes(count: number): Uint8Array;
}

/** A number in [0, 1). */
export const fraction = (random: Random): number => random.u32() / 2 ** 32;

/** A version 4 UUID (RFC 9562 section 5.4) from `random`. */
export const uuid = (random: Random): string => {
  const bytes = random.bytes(16);
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = Buffer.from(bytes).toString("hex");
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    hex.slice(12, 16),
    hex.slice(16, 20),
    hex.slice(20),
  ].join("-");
};
