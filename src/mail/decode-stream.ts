// Undoing a transfer encoding (RFC 2045 section 6) piece by piece: the same bytes as decode.ts makes of
// the whole, in memory that does not grow with the part. part-stream.ts feeds it.

/** Decodes octets as they come. What is broken or cut off is left out; never throws. */
export interface StreamDecoder {
  /** The bytes that are certain once `raw` is there too. */
  push(raw: Uint8Array): Uint8Array;
  /** The bytes that were held back until the end was known. */
  end(): Uint8Array;
}

const [TAB, LF, CR, SPACE, EQUALS, LETTER_E] = [9, 10, 13, 32, 61, 101] as const;

/** A line of text that ends in more blanks than this is no line of mail: its blanks are text. */
const MAX_HELD_BLANKS = 64 * 1024;

/** Of a line of uuencode no more than this means anything. */
const MAX_UU_LINE = 128;

const UU_LABELS = new Set(["x-uuencode", "uuencode", "x-uue", "uue"]);

const NOTHING = Buffer.alloc(0);

/** The value of each letter by its code, -1 for every other byte; `-` and `_` are those of URLs. */
const tableOf = (alphabet: string): Int8Array => {
  const table = new Int8Array(256).fill(-1);
  for (let value = 0; value < alphabet.length; value += 1)
    table[alphabet.charCodeAt(value)] = value;
  return table;
};

const UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const BASE64_VALUES = tableOf(`${UPPER}${UPPER.toLowerCase()}0123456789+/`);
BASE64_VALUES["-".charCodeAt(0)] = 62;
BASE64_VALUES["_".charCodeAt(0)] = 63;

const HEX_VALUES = tableOf("0123456789ABCDEF");
for (const [at, letter] of [..."abcdef"].entries()) HEX_VALUES[letter.charCodeAt(0)] = 10 + at;

const createBase64 = (): StreamDecoder => {
  /** Letters that make no whole byte group yet: their bits, and how many they are. */
  let bits = 0;
  let letters = 0;

  /** Two letters left over are a byte, three are two; one is nothing. */
  const flush = (out: Buffer, at: number): number => {
    const whole = Math.max(letters - 1, 0);
    for (let byte = 0; byte < whole; byte += 1) {
      out[at + byte] = (bits >> (letters * 6 - 8 * (byte + 1))) & 255;
    }
    bits = 0;
    letters = 0;
    return at + whole;
  };

  return {
    push: (raw) => {
      const out = Buffer.allocUnsafe(Math.ceil(((raw.length + 3) * 3) / 4));
      let length = 0;
      for (let at = 0; at < raw.length; at += 1) {
        const code = raw[at] ?? 0;
        const value = BASE64_VALUES[code] ?? -1;
        if (value >= 0) {
          bits = (bits << 6) | value;
          letters += 1;
          if (letters < 4) continue;
          out[length] = bits >> 16;
          out[length + 1] = (bits >> 8) & 255;
          out[length + 2] = bits & 255;
          length += 3;
          bits = 0;
          letters = 0;
        } else if (code === EQUALS) length = flush(out, length);
      }
      return out.subarray(0, length);
    },
    end: () => {
      const out = Buffer.alloc(3);
      return out.subarray(0, flush(out, 0));
    },
  };
};

/** What is not certain yet of quoted-printable. */
interface QuotedHeld {
  /** Octets at the end that need to be seen with those after them: an escape, half a line end. */
  raw: Buffer;
  /** Decoded bytes that are no text if the line ends behind them: a soft "=", and blanks. */
  out: Buffer;
  /** `out` begins with a soft "=". */
  soft: boolean;
}

/** The steps of `decode.ts` over what is held and what came; at the end nothing is held back for more. */
const decodeQuoted = (held: QuotedHeld, raw: Uint8Array, isEnd: boolean) => {
  const text = held.raw.length === 0 ? raw : Buffer.concat([held.raw, raw]);
  const out = Buffer.allocUnsafe(held.out.length + text.length);
  out.set(held.out);
  let length = held.out.length;
  let kept = held.soft ? 1 : 0;
  let softEnd = held.soft ? 1 : -1;
  let at = 0;
  for (; at < text.length; at += 1) {
    const code = text[at] ?? 0;
    const left = text.length - at;
    if (!isEnd && ((code === EQUALS && left < 3) || (code === CR && left < 2))) break;
    const high = code === EQUALS ? (HEX_VALUES[text[at + 1] ?? 0] ?? -1) : -1;
    const low = high >= 0 ? (HEX_VALUES[text[at + 2] ?? 0] ?? -1) : -1;
    if (low >= 0) {
      out[length] = high * 16 + low;
      length += 1;
      kept = length;
      at += 2;
      continue;
    }
    if (code === CR || code === LF) {
      length = kept;
      if (softEnd === length && (code === LF || text[at + 1] === LF)) {
        length -= 1;
        kept = length;
        softEnd = -1;
        if (code === CR) at += 1;
        continue;
      }
    }
    out[length] = code;
    length += 1;
    if (code !== SPACE && code !== TAB) kept = length;
    if (code === EQUALS) softEnd = length;
  }
  const soft = softEnd === kept;
  const sure = soft ? kept - 1 : kept;
  return { out, sure, length, soft, rest: Buffer.from(text.subarray(at)) };
};

const createQuotedPrintable = (): StreamDecoder => {
  let held: QuotedHeld = { raw: NOTHING, out: NOTHING, soft: false };
  return {
    push: (raw) => {
      const { out, sure, length, soft, rest } = decodeQuoted(held, raw, false);
      const isText = length - sure > MAX_HELD_BLANKS;
      held = isText
        ? { raw: rest, out: NOTHING, soft: false }
        : { raw: rest, out: Buffer.from(out.subarray(sure, length)), soft };
      return out.subarray(0, isText ? length : sure);
    },
    end: () => {
      // An escape that the end went through is no text: "=", "=E" or "=" and half a line end.
      const octets = held.raw.toString("latin1").replace(/=[0-9A-Fa-f\r]?$/, "");
      const last = { ...held, raw: held.raw.subarray(0, octets.length) };
      const { out, sure } = decodeQuoted(last, NOTHING, true);
      return out.subarray(0, sure);
    },
  };
};

/** Writes the bytes of the line `text[start, end)` to `out` at `at`; where they end, or -1: the file ends. */
const writeUuLine = (
  text: Buffer,
  [start, end]: readonly [number, number],
  { out, at }: { out: Buffer; at: number },
): number => {
  const sextet = (index: number): number => ((text[index] ?? 32) - 32) & 63;
  const count = sextet(start);
  if (count === 0) return -1;
  const isWordEnd =
    text[start] === LETTER_E && text.toString("latin1", start, end).trimEnd() === "end";
  if (isWordEnd) return -1;
  for (let byte = 0; byte < count; byte += 1) {
    const first = start + 1 + Math.floor((byte * 4) / 3);
    if (first + 1 >= end) return at + byte;
    const shift = 2 + 2 * (byte % 3);
    out[at + byte] = (sextet(first) << shift) | (sextet(first + 1) >> (6 - shift));
  }
  return at + count;
};

const createUu = (): StreamDecoder => {
  let where: "before" | "inside" | "after" = "before";
  /** The beginning of a line whose end has not come. */
  let rest = NOTHING;

  /** Decodes the lines of `text` that have ended, all of them at the end of the part. */
  const decode = (text: Buffer, isEnd: boolean): Buffer => {
    const out = Buffer.allocUnsafe(text.length + MAX_UU_LINE);
    let length = 0;
    let start = 0;
    while (where !== "after" && start < text.length) {
      const newline = text.indexOf(LF, start);
      if (newline === -1 && !isEnd) break;
      const end = newline === -1 ? text.length : newline;
      if (where === "inside" && end - start >= 2) {
        const next = writeUuLine(text, [start, end], { out, at: length });
        if (next === -1) where = "after";
        else length = next;
      } else if (where === "before" && newline !== -1) {
        if (text.toString("latin1", start, Math.min(end, start + 6)) === "begin ") where = "inside";
      }
      start = end + 1;
    }
    // Of a line that does not end no more than its beginning means anything.
    rest = Buffer.from(text.subarray(start, start + MAX_UU_LINE));
    return out.subarray(0, length);
  };

  return {
    push: (raw) => (where === "after" ? NOTHING : decode(Buffer.concat([rest, raw]), false)),
    end: () => (where === "after" ? NOTHING : decode(rest, true)),
  };
};

/** A decoder for one part; an unknown encoding, like 7bit, 8bit and binary, leaves octets as they are. */
export const createDecoder = (encoding: string): StreamDecoder => {
  if (encoding === "base64") return createBase64();
  if (encoding === "quoted-printable") return createQuotedPrintable();
  if (UU_LABELS.has(encoding)) return createUu();
  return { push: (raw) => raw, end: () => NOTHING };
};
