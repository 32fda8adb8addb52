// Decoding piece by piece: whatever the cuts and however broken the input, the same bytes as of the whole.
import fc from "fast-check";
import libqp from "libqp";
import { describe, expect, test } from "vitest";
import { decodeBytes } from "./decode.ts";
import { createDecoder } from "./decode-stream.ts";

const ENCODINGS = ["7bit", "8bit", "binary", "quoted-printable", "base64", "x-uuencode", "x-odd"];

/** Decodes `raw` in pieces of these lengths, over and over; the last piece is what is left. */
const inPieces = (raw: Buffer, encoding: string, lengths: readonly number[]): string => {
  const decoder = createDecoder(encoding);
  const out: Uint8Array[] = [];
  for (let at = 0, turn = 0; at < raw.length; turn += 1) {
    const length = lengths[turn % lengths.length] ?? 1;
    out.push(decoder.push(raw.subarray(at, at + length)));
    at += length;
  }
  return Buffer.concat([...out, decoder.end()]).toString("latin1");
};

const whole = (raw: Buffer, encoding: string): string =>
  Buffer.from(decodeBytes(raw, encoding)).toString("latin1");

const cuts = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 6 });

/** Pieces that decoders trip over, in any order. */
const nasty = fc
  .array(
    fc.constantFrom(
      ...[
        "=",
        "==",
        "=\r\n",
        "=\n",
        "=\r",
        "\r",
        "\n",
        "\r\n",
        " ",
        "\t",
        "   ",
        "=4",
        "=41",
        "=e9",
      ],
      ...[
        "=ZZ",
        "YWJj",
        "YQ==",
        "Z",
        "!",
        "-_",
        "begin 644 a b\n",
        "#0V%T",
        "`\n",
        "end",
        "end \r\n",
      ],
      ...["\nbegin ", "M", "%86)C9&4", "\u00e9", "text"],
    ),
    { maxLength: 40 },
  )
  .map((pieces) => Buffer.from(pieces.join(""), "latin1"));

describe("decoding in pieces", () => {
  test.each(ENCODINGS)("of %s gives what decoding the whole gives", (encoding) => {
    fc.assert(
      fc.property(fc.oneof(nasty, fc.uint8Array({ maxLength: 300 })), cuts, (bytes, lengths) => {
        const raw = Buffer.from(bytes);
        expect(inPieces(raw, encoding, lengths)).toBe(whole(raw, encoding));
      }),
      { numRuns: 2000 },
    );
  });

  test("undoes what an encoder did", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), cuts, (bytes, lengths) => {
        const text = Buffer.from(bytes).toString("latin1");
        const lines = Buffer.from(bytes).toString("base64").replaceAll(/.{76}/g, "$&\r\n");
        expect(inPieces(Buffer.from(lines), "base64", lengths)).toBe(text);
        const quoted = Buffer.from(libqp.wrap(libqp.encode(bytes)), "latin1");
        expect(inPieces(quoted, "quoted-printable", lengths)).toBe(text);
      }),
    );
  });

  test("holds no more than a few blanks back, however many there are", () => {
    const decoder = createDecoder("quoted-printable");
    const blanks = Buffer.alloc(16 * 1024, " ");
    const pushed = Array.from({ length: 64 }, () => decoder.push(blanks).length);
    const all = pushed.reduce((sum, length) => sum + length, 0);
    expect(64 * blanks.length - all).toBeLessThanOrEqual(64 * 1024);
    expect(decoder.push(Buffer.from("x\r\n")).toString().trim()).toBe("x");
  });
});
