// What a browser is told about an object that a stranger sent: always saved, never shown, and a name that
// cannot break out of its header.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { attachmentNamed, contentTypeOf } from "./headers.ts";

describe("contentTypeOf", () => {
  test.each(["application/pdf", "image/svg+xml", "TEXT/HTML", "application/vnd.ms-excel"])(
    "keeps %s",
    (type) => {
      expect(contentTypeOf(type)).toBe(type);
    },
  );

  test.each([
    "",
    "pdf",
    "application/",
    "/pdf",
    "text/html; charset=utf-8",
    "text/html\r\nx-evil: 1",
    "text /html",
    "a/b/c",
    "téxt/html",
    `text/${"x".repeat(128)}`,
  ])("makes octets of %j", (type) => {
    expect(contentTypeOf(type)).toBe("application/octet-stream");
  });
});

describe("attachmentNamed", () => {
  test("gives the name twice, for old readers and encoded", () => {
    expect(attachmentNamed("Résumé (1).pdf", "a/b")).toBe(
      "attachment; filename=\"R_sum_ (1).pdf\"; filename*=UTF-8''R%C3%A9sum%C3%A9%20%281%29.pdf",
    );
  });

  test("takes the last part of the key without a name", () => {
    expect(attachmentNamed(null, "mail/evt_1/2.1")).toBe(
      "attachment; filename=\"2.1\"; filename*=UTF-8''2.1",
    );
  });

  test("has a name even when nothing is left of one", () => {
    expect(attachmentNamed("", "mail/x")).toContain('filename="attachment"');
  });

  test.each([
    ['a"; filename="b.exe', "a_; filename=_b.exe"],
    ["a\r\nx-evil: 1", "a__x-evil: 1"],
    ["../../etc/passwd", ".._.._etc_passwd"],
    ["c:\\evil", "c:_evil"],
    ["invoice\u202Efdp.exe", "invoice_fdp.exe"],
    ["100%.pdf", "100_.pdf"],
  ])("lets nothing of %j out of its quotes", (given, plain) => {
    expect(attachmentNamed(given, "k")).toContain(`filename="${plain}"; filename*`);
  });

  test("is one line of ASCII of bounded length for any name at all", () => {
    const units = fc.oneof(fc.uint16Array({ maxLength: 400 }), fc.uint8Array({ maxLength: 400 }));
    fc.assert(
      fc.property(units, (given) => {
        const header = attachmentNamed(String.fromCharCode(...given), "k");
        expect(header.length).toBeLessThan(3000);
        expect(header).toMatch(
          /^attachment; filename="[ !#$&-~]+"; filename\*=UTF-8''([\w!~*.-]|%[0-9A-F]{2})+$/,
        );
        const [, encoded = ""] = header.split("''");
        expect([...decodeURIComponent(encoded)].length).toBeLessThanOrEqual(200);
      }),
    );
  });

  test("cuts between characters and survives half of one", () => {
    expect(attachmentNamed("\u{1F600}".repeat(300), "k")).toContain("%F0%9F%98%80".repeat(200));
    expect(attachmentNamed("a\uD83D", "k")).toContain("UTF-8''a%EF%BF%BD");
  });
});
