// The gates before the rules: who may pass, and what counts as a reply. The numbers of vectors are
// those of the list of reference vectors, with the fixes marked there.
import { describe, expect, test } from "vitest";
import type { Address, Envelope } from "../core/message.ts";
import { gate } from "./gates.ts";

const envelope = (from: readonly Address[], subject: string | null = null): Envelope => ({
  messageId: null,
  inReplyTo: null,
  subject,
  date: null,
  from,
  sender: [{ name: null, address: "ok@corp.com" }],
  replyTo: [],
  to: [],
  cc: [],
});

const open = { sendersOfInterest: [], skipReplies: false };
const picky = { sendersOfInterest: ["ok@corp.com"], skipReplies: false };

describe("gate", () => {
  test("vector 35: judges the parsed address, whatever the display name says", () => {
    const spoof = [{ name: "Boss <ok@corp.com>", address: "attacker@evil.com" }];
    expect(gate(picky, envelope(spoof))).toBe("sender");
    expect(gate(picky, envelope([{ name: "Mallory", address: "OK@Corp.com" }]))).toBeNull();
  });

  test("lets everyone pass an empty list, also a message without an address", () => {
    expect(gate(open, envelope([{ name: null, address: "any@x.org" }]))).toBeNull();
    expect(gate(open, envelope([]))).toBeNull();
  });

  test("takes a message without a From address for nobody's", () => {
    expect(gate(picky, envelope([]))).toBe("sender");
    expect(gate(picky, envelope([{ name: "ok@corp.com", address: null }]))).toBe("sender");
  });

  test("looks at the first From address only, and matches it whole", () => {
    const second = [
      { name: null, address: "other@corp.com" },
      { name: null, address: "ok@corp.com" },
    ];
    expect(gate(picky, envelope(second))).toBe("sender");
    expect(gate(picky, envelope([{ name: null, address: "not-ok@corp.com" }]))).toBe("sender");
  });

  test("vector 28: stops replies and forwards, and no subject for its white space", () => {
    const skip = { ...open, skipReplies: true };
    for (const subject of [
      "confirmation : Lot 42",
      "RE : x",
      "Fwd: x",
      "fw:x",
      "Rv: x",
      " Tr: x",
    ]) {
      expect(gate(skip, envelope([], subject))).toBe("reply");
    }
    for (const subject of ["Ré: x", "Lot 42 ", " Lot 42", "AW: x", "Regards: x", "re", null]) {
      expect(gate(skip, envelope([], subject))).toBeNull();
    }
  });

  test("lets replies pass unless they are to be skipped", () => {
    expect(gate(open, envelope([], "Re: x"))).toBeNull();
  });
});
