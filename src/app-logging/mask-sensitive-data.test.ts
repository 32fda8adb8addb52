// The masking that the Python service promised, vector by vector. The numbers are those of the list of
// reference vectors.
import { describe, expect, test } from "vitest";
import { maskSensitiveData } from "./mask-sensitive-data.ts";

describe("maskSensitiveData", () => {
  test("vector 12: keeps the first character and the domain of an address", () => {
    expect(maskSensitiveData("john.doe@example.com", "email")).toBe("j***@example.com");
    expect(maskSensitiveData("nodomain", "email")).toBe("***");
    expect(maskSensitiveData("@x.com", "email")).toBe("***");
  });

  test("vector 13: keeps three words and a hash of a subject", () => {
    expect(maskSensitiveData("Média Solution - Missions Recadrage - Lot 42", "subject")).toBe(
      "Média Solution -... [5adaa4]",
    );
  });

  test("vector 14: tells only the length of content and nothing of other kinds", () => {
    expect(maskSensitiveData("", "content")).toBe("Content length: 0 chars");
    expect(maskSensitiveData("x", "phone")).toBe("[redacted]");
  });

  test("leaves nothing of an empty value", () => {
    for (const kind of ["email", "subject", "phone"]) expect(maskSensitiveData("", kind)).toBe("");
  });

  test("counts and cuts code points, not halves of them", () => {
    expect(maskSensitiveData("🦊🦊", "content")).toBe("Content length: 2 chars");
    expect(maskSensitiveData("🦊x@example.com", "email")).toBe("🦊***@example.com");
  });

  test("takes an address without a domain for none", () => {
    expect(maskSensitiveData("john@", "email")).toBe("***");
  });
});
