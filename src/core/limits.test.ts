// The one way to cut a text: never inside a character, never longer than said, and always well-formed.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { capText } from "./limits.ts";

describe("capText", () => {
  test("counts code points and cuts none in half", () => {
    expect(capText("🦊🦊🦊", 2)).toBe("🦊🦊");
    expect(capText("a🦊b", 2)).toBe("a🦊");
    expect(capText("abc", 3)).toBe("abc");
    expect(capText("abc", 0)).toBe("");
  });

  test("gives the first code points of any text, in well-formed Unicode", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), fc.nat({ max: 20 }), (text, max) => {
        const broken = `${text}\ud83d${text}`;
        expect(capText(broken, max)).toBe([...broken].slice(0, max).join("").toWellFormed());
      }),
    );
  });
});
