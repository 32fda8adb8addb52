// What is made of the octets of a message: the same text as by its structure, and within the same caps,
// with everything that is missing named. In the process of the test; the threads have tests of their own.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { message, multipart, attachmentPart, textPart } from "../../../test/support/mail.ts";
import { DEFAULT_LIMITS, type Limits } from "../../core/limits.ts";
import { parseOctets } from "./parse-octets.ts";
import { type RawMessage, UnparsableError } from "./raw-message.ts";

const CRLF = "\r\n";

const parse = (
  raw: string | Uint8Array,
  { cut = false, limits = {} }: { cut?: boolean; limits?: Partial<Limits> } = {},
): Promise<RawMessage> =>
  parseOctets(
    { raw: typeof raw === "string" ? Buffer.from(raw, "latin1") : raw, cut },
    { ...DEFAULT_LIMITS, ...limits },
  );

const failureOf = async (raw: string | Uint8Array): Promise<string> => {
  const error: unknown = await parse(raw).catch((reason: unknown) => reason);
  return error instanceof UnparsableError ? error.code : "read";
};

/** A multipart/mixed of these parts, each with its header; not closed. */
const mixed = (...parts: readonly string[]): string =>
  [
    "Content-Type: multipart/mixed; boundary=b",
    "",
    ...parts.map((part) => `--b${CRLF}${part}`),
  ].join(CRLF);

const html = (text: string): string => `Content-Type: text/html${CRLF}${CRLF}${text}`;
const plain = (text: string): string => `${CRLF}${text}`;
const file = (name: string, text = "x"): string =>
  `Content-Type: application/pdf; name=${name}${CRLF}${CRLF}${text}`;

describe("the text of a message", () => {
  test.each(["7bit", "8bit", "base64", "quoted-printable", "x-uuencode"] as const)(
    "is decoded from %s and its charset",
    async (encoding) => {
      const text = encoding === "7bit" ? "grau" : "grün";
      const raw = message({}, textPart({ text, encoding, charset: "iso-8859-1" }));
      expect((await parse(raw)).text?.trimEnd()).toBe(text);
    },
  );

  test("keeps its line ends and its soft breaks as they are sent", async () => {
    const raw = `Content-Type: text/plain; format=flowed${CRLF}${CRLF}one ${CRLF}two${CRLF}`;
    expect((await parse(raw)).text).toBe(`one ${CRLF}two${CRLF}`);
  });

  test("is joined by kind, in order, and HTML is never made of text nor text of HTML", async () => {
    const both = await parse(mixed(plain("a"), html("<b>"), plain("c"), html("<d>")));
    expect(both).toMatchObject({ text: "a\nc", html: "<b>\n<d>", attachments: [], truncated: [] });
    expect(await parse(html("<b>"))).toMatchObject({ text: null, html: "<b>" });
  });

  test("holds nothing of an attached message", async () => {
    const inner = `Content-Type: message/rfc822${CRLF}Content-Disposition: inline${CRLF}${CRLF}Subject: in${CRLF}${CRLF}inside`;
    const read = await parse(mixed(plain("outside"), inner));
    expect(read.text).toBe("outside");
    expect(read.attachments).toMatchObject([{ contentType: "message/rfc822", part: "" }]);
  });

  test("is all of a multipart whose boundary never comes", async () => {
    const raw = `Content-Type: multipart/mixed; boundary=b${CRLF}${CRLF}--c${CRLF}${CRLF}words`;
    expect((await parse(raw)).text).toContain("words");
    expect((await parse(`Content-Type: multipart/mixed${CRLF}${CRLF}words`)).text).toBe("words");
  });
});

describe("attachments", () => {
  test("are told by name, type and size as they came, and have no part", async () => {
    const content = Buffer.from("content");
    const parts = [textPart({ text: "see" }), attachmentPart({ filename: "ä.bin", content })];
    const { attachments, text } = await parse(message({}, multipart("mixed", parts)));
    expect(text).toBe("see");
    expect(attachments).toMatchObject([
      { filename: "ä.bin", part: "", encoding: "base64", sizeBytes: 12, offloaded: null },
    ]);
  });

  test("are listed up to their cap, names up to theirs", async () => {
    const parts = Array.from({ length: 5 }, (_, index) => file(`${index}${"n".repeat(50)}`));
    const limits = { maxAttachments: 3, maxNameChars: 10 };
    const read = await parse(mixed(...parts), { limits });
    expect(read.attachments.map(({ filename }) => filename?.length)).toEqual([10, 10, 10]);
    expect(read.truncated.toSorted()).toEqual(["attachments", "names"]);
  });
});

describe("a cap", () => {
  test("on the decoded bytes of a kind cuts that kind and no other", async () => {
    const raw = mixed(plain("a".repeat(30)), html("b".repeat(30)), plain("c".repeat(30)));
    const read = await parse(raw, { limits: { maxTextBytes: 40 } });
    expect(read.text).toBe(`${"a".repeat(30)}\n${"c".repeat(10)}`);
    expect([read.html?.length, read.truncated]).toEqual([30, ["text"]]);
  });

  test("on parts keeps what came before it", async () => {
    const raw = mixed(plain("a"), plain("b"), plain("c"), plain("d"));
    const read = await parse(raw, { limits: { maxParts: 3 } });
    expect(read).toMatchObject({ text: "a\nb", truncated: ["attachments"] });
  });

  test("on nesting keeps what came before it", async () => {
    const nested = (level: number): string =>
      [
        `Content-Type: multipart/mixed; boundary=b${level}`,
        "",
        `--b${level}`,
        "",
        `at ${level}`,
        ...(level < 20 ? [`--b${level}`, nested(level + 1)] : []),
      ].join(CRLF);
    const read = await parse(nested(0), { limits: { maxNesting: 3 } });
    expect(read).toMatchObject({ text: "at 0\nat 1\nat 2", truncated: ["attachments"] });
  });

  test("on a part's header keeps the parts before it", async () => {
    const read = await parse(mixed(plain("a"), `X: ${"x".repeat(2_000_000)}`, plain("b")));
    expect(read.text).toBe("a");
    expect(read.truncated).toContain("attachments");
  });
});

describe("octets that were cut off", () => {
  test.each([
    ["in the text", mixed(plain("begin of the te")), ["text", "attachments"]],
    ["in an attachment", mixed(plain("text"), file("a.pdf", "JVBE")), ["attachments"]],
    ["before any text", mixed(file("a.pdf", "JVBE")), ["attachments", "text", "html"]],
    ["in a message of one part", html("<p>begin of"), ["html"]],
  ])("%s are named", async (_, raw, truncated) => {
    expect((await parse(raw, { cut: true })).truncated).toEqual(truncated);
    expect((await parse(raw)).truncated).toEqual([]);
  });
});

describe("octets that are no message", () => {
  test.each([
    ["nothing", "", "mail/unparsable_failed"],
    ["NUL bytes", "\0".repeat(2_000_000), "mail/unparsable_too_much"],
    ["one endless header line", `X: ${"x".repeat(2_000_000)}`, "mail/unparsable_too_much"],
    [
      "a multipart of a header alone",
      `Content-Type: multipart/mixed${CRLF}${CRLF}`,
      "mail/unparsable_failed",
    ],
  ])("fail: %s", async (_, raw, code) => {
    expect(await failureOf(raw)).toBe(code);
  });

  test("give a message or an UnparsableError, whatever they are", async () => {
    const line = fc.oneof(
      fc.constantFrom("--b", "--b--", "--c", "", "Content-Type: text/html", "Content-Type: ;;"),
      fc.constantFrom("Content-Type: multipart/mixed; boundary=c", "Content-Type: message/rfc822"),
      fc.constantFrom("Content-Transfer-Encoding: base64", 'Content-Disposition: x; filename="=?'),
      fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes).toString("latin1")),
    );
    const lines = fc.array(line, { maxLength: 30 });
    await fc.assert(
      fc.asyncProperty(lines, fc.boolean(), async (some, cut) => {
        const raw = ["Content-Type: multipart/mixed; boundary=b", ...some].join(CRLF);
        const read = await parse(raw, { cut }).catch((error: unknown) => error);
        if (read instanceof UnparsableError) return;
        const { text, html: markup, attachments } = read as RawMessage;
        expect(text === null || text.isWellFormed()).toBe(true);
        expect(markup === null || markup.isWellFormed()).toBe(true);
        expect(attachments.every(({ part }) => part === "")).toBe(true);
      }),
      { numRuns: 300 },
    );
  });
});
