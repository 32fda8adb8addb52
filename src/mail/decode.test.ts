// Transfer encodings and charsets, whole, broken and cut off. Whatever comes in, text comes out that
// can be written as JSON in UTF-8.
import fc from "fast-check";
import iconv from "iconv-lite";
import libqp from "libqp";
import { describe, expect, test } from "vitest";
import { decodeBytes, decodeText, encodedBytesFor } from "./decode.ts";

const ascii = (text: string): Uint8Array => Buffer.from(text, "latin1");
const latin1 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("latin1");
const decoded = (text: string, encoding: string): string =>
  latin1(decodeBytes(ascii(text), encoding));

const ENCODINGS = ["7bit", "8bit", "binary", "quoted-printable", "base64", "x-uuencode", "x-odd"];

describe("decodeBytes", () => {
  test("leaves octets as they are where nothing is encoded or the encoding is unknown", () => {
    for (const encoding of ["7bit", "8bit", "binary", "x-odd", ""]) {
      expect(decoded("a=41\u00e9", encoding)).toBe("a=41\u00e9");
    }
  });

  test("decodes quoted-printable with soft line breaks and broken escapes", () => {
    expect(decoded("caf=C3=A9 =\r\nau lait", "quoted-printable")).toBe("caf\u00c3\u00a9 au lait");
    expect(decoded("a =ZZ b  \r\nc", "quoted-printable")).toBe("a =ZZ b\r\nc");
  });

  test("leaves out an escape that a cut went through", () => {
    for (const tail of ["=", "=C", "=\r", "=\r\n"]) {
      expect(decoded(`abc${tail}`, "quoted-printable")).toBe("abc");
    }
  });

  test("decodes base64 with line ends, junk, padding in the middle and a cut end", () => {
    expect(decoded("YWJj\r\nZGVm", "base64")).toBe("abcdef");
    expect(decoded("YW!Jj", "base64")).toBe("abc");
    expect(decoded("YQ==\r\nYg==", "base64")).toBe("ab");
    expect(decoded("YWJjZ", "base64")).toBe("abc");
  });

  test("decodes uuencode between its begin and end lines", () => {
    const file = ["noise", "begin 644 cat.txt", "#0V%T", "`", "end", "#0V%T", ""];
    expect(decoded(file.join("\n"), "x-uuencode")).toBe("Cat");
    expect(decoded(file.join("\r\n"), "uuencode")).toBe("Cat");
    expect(decoded("begin 644 x\n%86)C9&4\nend\n", "x-uue")).toBe("abcde");
    expect(decoded("no file at all", "x-uuencode")).toBe("");
  });

  test("undoes what an encoder did, and of a cut text gives the beginning", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(400), (bytes, cut) => {
        const base64 = Buffer.from(bytes).toString("base64");
        expect(latin1(decodeBytes(ascii(base64), "base64"))).toBe(latin1(bytes));
        const begin = decodeBytes(ascii(base64.slice(0, cut)), "base64");
        expect(latin1(bytes).startsWith(latin1(begin))).toBe(true);
        const quoted = libqp.wrap(libqp.encode(bytes));
        expect(latin1(decodeBytes(ascii(quoted), "quoted-printable"))).toBe(latin1(bytes));
      }),
    );
  });

  test("reads quoted-printable as an independent decoder does, also where rules are broken", () => {
    const piece = fc.constantFrom("x", "=C3=A9", "=", "=zz", " ", "\t", "\r\n", "=\r\n", "=20");
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => {
        // An end that a cut may have made is judged differently on purpose.
        const quoted = ascii(`${pieces.join("")}x`);
        const expected = latin1(libqp.decode(Buffer.from(quoted)));
        expect(latin1(decodeBytes(quoted, "quoted-printable"))).toBe(expected);
      }),
      { numRuns: 500 },
    );
  });

  test("never throws and never makes more than came in", () => {
    fc.assert(
      fc.property(fc.uint8Array(), fc.constantFrom(...ENCODINGS), (bytes, encoding) => {
        expect(decodeBytes(bytes, encoding).length).toBeLessThanOrEqual(bytes.length);
      }),
    );
  });

  test("takes a hostile megabyte", () => {
    const megabyte = 1_000_000;
    for (const fill of ["=", " ", "= ", "=\n", "=E", "!", "A", "begin ", "\n"]) {
      for (const encoding of ENCODINGS) {
        const length = decodeBytes(Buffer.alloc(megabyte, fill), encoding).length;
        expect(length).toBeLessThanOrEqual(megabyte);
      }
    }
  });
});

describe("encodedBytesFor", () => {
  test("asks for enough octets of every encoding for ordinary text", () => {
    const text = "Bonjour, voici le fichier que vous attendiez pour l'été. ".repeat(2000);
    const bytes = Buffer.from(text);
    const lines = bytes.toString("base64").replace(/.{76}/g, "$&\r\n");
    const quoted = libqp.wrap(libqp.encode(bytes));
    for (const wanted of [1, 57, 58, 1000, 100_000]) {
      const of = (encoded: string, encoding: string): number =>
        decodeBytes(ascii(encoded.slice(0, encodedBytesFor(encoding, wanted))), encoding).length;
      expect(of(lines, "base64")).toBeGreaterThanOrEqual(wanted);
      expect(of(quoted, "quoted-printable")).toBeGreaterThanOrEqual(wanted);
      expect(encodedBytesFor("8bit", wanted)).toBe(wanted);
    }
    expect(encodedBytesFor("x-uuencode", 45)).toBeGreaterThan(62);
  });
});

describe("decodeText", () => {
  test("decodes the charsets of mail", () => {
    for (const charset of ["iso-8859-15", "windows-1252", "utf-16le", "koi8-r", "Shift_JIS"]) {
      const word = charset === "koi8-r" ? "привет" : charset === "Shift_JIS" ? "日本" : "café";
      expect(decodeText(iconv.encode(word, charset), charset)).toBe(word);
    }
    expect(decodeText(iconv.encode("汉字", "gb18030"), "gb2312")).toBe("汉字");
    expect(decodeText(ascii("\x1b$B$3$s\x1b(Bx"), "ISO-2022-JP")).toBe("こんx");
    expect(decodeText(Buffer.from("\ufeffcafé"), "UTF8")).toBe("café");
  });

  test("reads an unknown or wrong charset as UTF-8 if it is that, else as windows-1252", () => {
    for (const charset of ["x-unknown", "us-ascii", "utf-8", "", "__proto__", "base64", "UTF-7"]) {
      expect(decodeText(Buffer.from("café"), charset)).toBe("café");
      expect(decodeText(ascii("caf\u00e9 au lait"), charset)).toBe("café au lait");
    }
    expect(decodeText(ascii("+ADw-script+AD4-"), "utf-7")).toBe("+ADw-script+AD4-");
  });

  test("does not take a damaged UTF-8 text for another charset", () => {
    const damaged = Buffer.concat([
      Buffer.from("привет "),
      Buffer.from([0xff]),
      Buffer.from("мир"),
    ]);
    expect(decodeText(damaged, "utf-8")).toBe("привет \ufffdмир");
  });

  test("leaves out the half of a character that a cut left, in every charset", () => {
    const cases = [
      ["utf-8", Buffer.from("ab€")],
      ["gb18030", iconv.encode("ab字", "gb18030")],
      ["Shift_JIS", iconv.encode("ab日", "Shift_JIS")],
      ["utf-16le", iconv.encode("ab🦊", "utf-16le")],
      ["iso-2022-jp", Buffer.from("ab\x1b$B$3", "latin1")],
    ] as const;
    for (const [charset, bytes] of cases) {
      expect(decodeText(bytes.subarray(0, -1), charset, true)).toBe("ab");
    }
    expect(decodeText(Buffer.from("ab€").subarray(0, -2), "utf-8", true)).toBe("ab");
    expect(decodeText(ascii("\x1b$B$3$s\x1b$"), "iso-2022-jp", true)).toBe("こん");
  });

  test("leaves out a character that a cut left nothing else of", () => {
    const fox = iconv.encode("🦊", "gb18030");
    for (let length = 0; length < fox.length; length += 1) {
      expect(decodeText(fox.subarray(0, length), "gb18030", true)).toBe("");
    }
    expect(decodeText(fox, "gb18030", true)).toBe("🦊");
  });

  test("decodes cut text too that is shorter than what tells its byte order", () => {
    for (const charset of ["utf-16", "utf-16be", "utf-32"]) {
      const bytes = iconv.encode("abc", charset, { addBOM: true });
      expect(decodeText(bytes, charset, true)).toBe("abc");
      expect(decodeText(bytes.subarray(0, -1), charset, true)).toBe("ab");
    }
    const surrogates = iconv.encode("ab🦊", "utf-16", { addBOM: true });
    expect(decodeText(surrogates.subarray(0, -2), "utf-16", true)).toBe("ab");
    expect(decodeText(Uint8Array.of(0x61), "utf-16", true)).toBe("");
  });

  test("makes well-formed text without NUL of anything", () => {
    expect(decodeText(ascii("a\0b"), "utf-8")).toBe("ab");
    expect(decodeText(Uint8Array.of(0x00, 0xd8, 0x61, 0x00), "utf-16le")).toBe("\ufffda");
    const charsets = [
      "utf-8",
      "utf-16",
      "utf-16le",
      "iso-2022-jp",
      "gb18030",
      "big5",
      "x-odd",
      "hex",
    ];
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 200 }),
        fc.oneof(fc.constantFrom(...charsets), fc.string()),
        fc.boolean(),
        (bytes, charset, cut) => {
          const text = decodeText(bytes, charset, cut);
          expect(text.isWellFormed()).toBe(true);
          expect(text).not.toContain("\0");
        },
      ),
    );
  });
});
