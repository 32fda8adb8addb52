// What commands do to text before they print it: dangerous characters out of mail, and columns. The
// real streams are tested by running the program.
import { describe, expect, test } from "vitest";
import { formatTable, printable } from "./terminal.ts";

describe("printable", () => {
  test("replaces escape sequences, C1 controls and direction marks", () => {
    expect(printable("a\u001b[2Jb\u009b31mc\u202egnp.exe\u007f\r")).toBe(
      "a\ufffd[2Jb\ufffd31mc\ufffdgnp.exe\ufffd\ufffd",
    );
  });

  test("leaves lines, tabs and every script alone", () => {
    const text = "Grüße\n\t日本語 🎉 عربى";
    expect(printable(text)).toBe(text);
  });
});

describe("formatTable", () => {
  test("makes every column as wide as its widest cell and leaves no blanks at line ends", () => {
    expect(
      formatTable(
        ["ID", "STATE"],
        [
          ["default", "up"],
          ["b", ""],
        ],
      ),
    ).toBe("ID       STATE\ndefault  up\nb");
  });
});
