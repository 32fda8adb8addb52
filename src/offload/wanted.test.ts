// Which attachments are stored: by type, name and size, judged before anything of them is read.
import { describe, expect, test } from "vitest";
import type { Attachment } from "../core/message.ts";
import type { OffloadSettings } from "../core/settings.ts";
import { expectedBytes, wantedAttachments } from "./wanted.ts";

const attachment = (fields: Partial<Attachment> = {}): Attachment => ({
  ...{ filename: "Invoice.PDF", contentType: "application/pdf", sizeBytes: 1000 },
  ...{ encoding: "binary", part: "2", contentId: null, disposition: null, offloaded: null },
  ...fields,
});

const isWanted = (
  settings: Partial<OffloadSettings>,
  fields: Partial<Attachment> = {},
): boolean => {
  const all = { contentTypes: [], filenames: [], minBytes: 0, maxBytes: 1e9, ...settings };
  return wantedAttachments(all, [attachment(fields)]).length === 1;
};

describe("an attachment", () => {
  test("is wanted when nothing is asked for, whatever it is", () => {
    expect(isWanted({})).toBe(true);
    expect(isWanted({}, { filename: null, contentType: "message/rfc822" })).toBe(true);
  });

  test("that no part number leads to cannot be read", () => {
    expect(isWanted({}, { part: "" })).toBe(false);
  });

  test.each([
    [["application/pdf"], true],
    [["image/*"], false],
    [["image/*", "application/*"], true],
    [["application/pd"], false],
  ])("is wanted by its type with %j: %s", (contentTypes, wanted) => {
    expect(isWanted({ contentTypes })).toBe(wanted);
  });

  test.each([
    ["*.pdf", true],
    ["invoice.pdf", true],
    ["inv*ice*.pdf", true],
    ["*", true],
    ["i*i*i*", false],
    ["invoice.pdf*x", false],
    ["invoice.pdfinvoice.pdf", false],
    ["*invoice.pdf*", true],
    ["invoice.*.pdf", false],
  ])("is wanted by its name with %s: %s", (pattern, wanted) => {
    expect(isWanted({ filenames: [pattern] })).toBe(wanted);
  });

  test("without a name is not wanted where a name is asked for", () => {
    expect(isWanted({ filenames: ["*"] }, { filename: null })).toBe(false);
  });

  test("is the same name however its accents are written", () => {
    expect(isWanted({ filenames: ["*été.pdf"] }, { filename: "E\u0301te\u0301.pdf" })).toBe(true);
  });

  test("must have both the type and the name when both are asked for", () => {
    const both = { contentTypes: ["application/pdf"], filenames: ["*.zip"] };
    expect(isWanted(both)).toBe(false);
    expect(isWanted({ ...both, filenames: ["*.pdf"] })).toBe(true);
  });

  test("is judged by its decoded size", () => {
    // As mailers write it: lines of 76 letters.
    const octetsOf = (bytes: number): number =>
      Buffer.alloc(bytes).toString("base64").replaceAll(/.{76}/g, "$&\r\n").length;
    const of = (bytes: number) => ({ encoding: "base64", sizeBytes: octetsOf(bytes) });
    for (const bytes of [1000, 10_000, 1_000_001]) {
      expect(isWanted({ maxBytes: bytes }, of(bytes))).toBe(true);
      expect(isWanted({ minBytes: bytes }, of(bytes))).toBe(true);
      expect(isWanted({ maxBytes: bytes }, of(bytes * 1.1))).toBe(false);
      expect(isWanted({ minBytes: bytes }, of(bytes * 0.9))).toBe(false);
      expect(Math.abs(expectedBytes(attachment(of(bytes))) - bytes)).toBeLessThan(4);
    }
    expect(isWanted({ minBytes: 1001 })).toBe(true);
    expect(isWanted({ minBytes: 1010 })).toBe(false);
    expect(isWanted({ maxBytes: 900 })).toBe(false);
  });
});
