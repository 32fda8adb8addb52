// The groups of subjects as the Python service named them, and the keys under which they are claimed.
// The numbers of vectors are those of the list of reference vectors.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { claimKey, isReply, stripReplyPrefixes, subjectGroup } from "./subject-group.ts";

describe("subjectGroup", () => {
  test("vector 25: names the missions of a lot", () => {
    expect(subjectGroup("Re: Média Solution - Missions Recadrage - Lot 42")).toBe(
      "media_solution_missions_recadrage_lot_42",
    );
  });

  test("vector 26: names a lot by its first number, as written", () => {
    expect(subjectGroup("Fwd: Sujet - lot 7 - info")).toBe("lot_7");
    expect(subjectGroup("LOT 007")).toBe("lot_007");
    expect(subjectGroup("lot 3 lot 9")).toBe("lot_3");
  });

  test("vector 27: puts subjects together that differ in accents, case and spaces", () => {
    const group = "subject_hash_8129712b35c62fca92e24a4d18fceb8b";
    expect(subjectGroup("Discussion quelconque sans lot")).toBe(group);
    expect(subjectGroup("discussion  QUELCONQUE sans lôt")).toBe(group);
    expect(subjectGroup("Discussion quelconque")).not.toBe(group);
  });

  test("finds accents whichever way they are written, in any order", () => {
    const composed = "L\u1EADt d\u00E9j\u00E0";
    const group = subjectGroup(composed);
    expect(subjectGroup(composed.normalize("NFD"))).toBe(group);
    expect(subjectGroup("La\u0302\u0323t de\u0301ja\u0300")).toBe(group);
    expect(subjectGroup("La\u0323\u0302t deja")).toBe(group);
  });

  test("names the group of any text as if its marks had been put in order first", () => {
    const unit = fc.constantFrom(..."aé\u0301\u0323\u1EAD\u0344\uAC00\u0F73 ");
    fc.assert(
      fc.property(fc.string({ unit }), (text) => {
        expect(subjectGroup(text)).toBe(subjectGroup(text.normalize("NFD")));
      }),
    );
  });

  test("takes a subject that is one long run of marks", () => {
    // Half a minute and more when such a run is put into order.
    const marks = "\u0301\u0323".repeat(150_000);
    expect(subjectGroup(`Lot${marks} 7`)).toBe("lot_7");
  });

  test("takes no number behind another word for a lot", () => {
    expect(subjectGroup("slot 7")).toMatch(/^subject_hash_/);
  });
});

describe("stripReplyPrefixes", () => {
  test("takes off every prefix at the start and nothing else", () => {
    expect(stripReplyPrefixes("Re: FWD :  Tr: re: x re: y")).toBe("x re: y");
    expect(stripReplyPrefixes("Lot 42 ")).toBe("Lot 42 ");
  });
});

describe("isReply", () => {
  test("takes a long run of prefixes and of spaces", () => {
    expect(isReply("re:".repeat(100_000))).toBe(true);
    expect(isReply(`re${" ".repeat(300_000)}x`)).toBe(false);
  });
});

describe("claimKey", () => {
  const claim = { hmacKey: new Uint8Array(32), monthKey: "2026-11", group: "lot_7" };

  test("is the HMAC-SHA256 of mailbox, month and group, joined by NUL", () => {
    expect(claimKey({ ...claim, mailbox: "default" })).toBe(
      "dd26b40923947700b34814152d7a61d2d77701ab72023789d1ae39bfb0928963",
    );
  });

  test("differs by key, mailbox, month and group", () => {
    const keys = [
      claimKey(claim),
      claimKey({ ...claim, mailbox: "default" }),
      claimKey({ ...claim, monthKey: "2026-12" }),
      claimKey({ ...claim, group: "lot_8" }),
      claimKey({ ...claim, hmacKey: new Uint8Array(32).fill(1) }),
    ];
    expect(new Set(keys).size).toBe(keys.length);
  });
});
