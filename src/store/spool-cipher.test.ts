// The spool's cipher: what opens a payload and what must not, over any text and any flipped bit.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { repeatableRandom } from "./contract/samples.contract.ts";
import { createSpoolCipher } from "./spool-cipher.ts";

const keyOf = (byte: number): string => Buffer.alloc(32, byte).toString("base64");
const REFUSED = /authenticat|no configured key/;
const pair = { eventId: "evt_1", destination: "default" };

describe("sealing payloads", () => {
  test("any text comes back, sealed and plain", () => {
    const sealing = createSpoolCipher([keyOf(1)], repeatableRandom());
    const plain = createSpoolCipher([], repeatableRandom());
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), (text) => {
        expect(sealing.open(pair, sealing.seal(pair, text))).toBe(text);
        expect(plain.open(pair, plain.seal(pair, text))).toBe(text);
      }),
    );
  });

  test("one flipped bit anywhere is noticed", () => {
    const cipher = createSpoolCipher([keyOf(1)], repeatableRandom());
    const { keyId, bytes } = cipher.seal(pair, "payload");
    fc.assert(
      fc.property(fc.nat(bytes.length * 8 - 1), (bit) => {
        const changed = new Uint8Array(bytes);
        const place = bit >> 3;
        changed[place] = (changed[place] ?? 0) ^ (1 << (bit & 7));
        expect(() => cipher.open(pair, { keyId, bytes: changed })).toThrow(REFUSED);
      }),
    );
  });

  test("a payload does not open for another pair", () => {
    const cipher = createSpoolCipher([keyOf(1)], repeatableRandom());
    const sealed = cipher.seal(pair, "payload");
    expect(() => cipher.open({ ...pair, destination: "rule-a" }, sealed)).toThrow(REFUSED);
    expect(() => cipher.open({ ...pair, eventId: "evt_2" }, sealed)).toThrow(REFUSED);
  });

  test("the first key seals, and a missing key is named as such", () => {
    const both = createSpoolCipher([keyOf(2), keyOf(1)], repeatableRandom());
    const sealed = both.seal(pair, "payload");
    expect(sealed.keyId).toBe(both.keyIds[0]);
    expect(sealed.keyId).toMatch(/^[0-9a-f]{8}$/);
    const without = createSpoolCipher([keyOf(1)], repeatableRandom());
    expect(() => without.open(pair, sealed)).toThrow("no configured key");
  });

  test("the same payload is never sealed to the same bytes", () => {
    const cipher = createSpoolCipher([keyOf(1)], repeatableRandom());
    const [first, second] = [cipher.seal(pair, "payload"), cipher.seal(pair, "payload")];
    expect(first.bytes).not.toEqual(second.bytes);
  });
});
