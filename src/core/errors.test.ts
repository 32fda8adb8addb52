// The one word that a log line or a metric may carry of a thrown value.
import { describe, expect, test } from "vitest";
import { AppError, errorCode } from "./errors.ts";

const named = (name: string): Error => Object.assign(new Error("a text"), { name });

describe("the code of an error", () => {
  test.each([
    ["our own code", new AppError("store/fenced", "a text"), "store/fenced"],
    ["a system code", Object.assign(new Error("a text"), { code: "ENOSPC" }), "ENOSPC"],
    ["a class of the language", new TypeError("a text"), "TypeError"],
    ["a class of the platform", new DOMException("a text", "AbortError"), "AbortError"],
    ["a foreign name", named("Alice <alice@example.com>"), "unknown"],
    ["a foreign class", named("LibraryError"), "unknown"],
    [
      "a code that is a text, with a foreign name",
      { ...named("x"), code: "no such user" },
      "unknown",
    ],
    ["no error at all", "a text", "unknown"],
  ])("is a word from a closed list for %s", (_, error, code) => {
    expect(errorCode(error)).toBe(code);
  });
});
