// The caps on a body: what is asked for, what is kept, and that a fetch loop over them ends. The
// numbers of vectors are those of the list of reference vectors, with 1,000,000 bytes for the cap.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { DEFAULT_LIMITS, MAX_HTML_BYTES } from "../core/limits.ts";
import type { BodyNode } from "../core/message.ts";
import { type Body, type ReceivedPart, assembleBody, firstRanges, moreRanges } from "./body.ts";
import { type FetchPlan, type TextPart, planFetch } from "./fetch-plan.ts";

const CAP = MAX_HTML_BYTES;

/** A text part as the server has it. */
interface ServerPart {
  kind: TextPart["kind"];
  octets: Uint8Array;
  encoding?: string;
  /** What BODYSTRUCTURE says, when that is not the truth. */
  toldBytes?: number;
}

const planOf = (parts: readonly ServerPart[]): FetchPlan => ({
  texts: parts.map(({ kind, octets, encoding = "8bit", toldBytes }, i) => ({
    part: String(i + 1),
    kind,
    encoding,
    charset: "utf-8",
    sizeBytes: toldBytes ?? octets.length,
  })),
  attachments: [],
  truncated: [],
  tooDeep: false,
});

/** Reads a message as the orchestrator does; counts rounds and octets on the wire. */
const read = (
  parts: readonly ServerPart[],
  limits = DEFAULT_LIMITS,
): Body & { rounds: number; wireBytes: number } => {
  const plan = planOf(parts);
  const received = new Map<string, ReceivedPart>();
  let [rounds, wireBytes] = [0, 0];
  for (let ranges = firstRanges(plan, limits); ranges.length > 0; rounds += 1) {
    expect(rounds).toBeLessThan(200);
    for (const { part, offsetBytes, lengthBytes } of ranges) {
      const { octets } = parts[Number(part) - 1] as ServerPart;
      const piece = octets.subarray(offsetBytes, offsetBytes + lengthBytes);
      const raw = Buffer.concat([received.get(part)?.raw ?? new Uint8Array(), piece]);
      received.set(part, { raw, complete: piece.length < lengthBytes });
      wireBytes += piece.length;
    }
    ranges = moreRanges(plan, received, limits);
  }
  return { ...assembleBody(plan, received, limits), rounds, wireBytes };
};

/** The octets that a sender writes who escapes every byte, as for text without a Latin letter. */
const encoded = (kind: TextPart["kind"], bytes: Buffer, encoding: string): ServerPart => {
  const lines =
    encoding === "base64"
      ? bytes.toString("base64").replace(/.{76}/g, "$&\r\n")
      : bytes.toString("hex").toUpperCase().replace(/../g, "=$&").replace(/.{75}/g, "$&=\r\n");
  return { kind, octets: Buffer.from(lines), encoding };
};

const html = (length: number): ServerPart => ({ kind: "html", octets: Buffer.alloc(length, "a") });
const text = (length: number): ServerPart => ({ kind: "text", octets: Buffer.alloc(length, "a") });

describe("assembleBody", () => {
  test("vector 20: leaves HTML of exactly the cap alone and cuts one byte more", () => {
    const exact = read([html(CAP)]);
    expect([exact.html?.length, exact.htmlTruncated, exact.truncated]).toEqual([CAP, false, []]);
    const over = read([html(CAP + 1)]);
    expect([over.html?.length, over.htmlTruncated]).toEqual([CAP, true]);
    expect(over.truncated).toEqual(["html"]);
  });

  test("vector 21: counts the cap over all HTML parts and reports it once", () => {
    const body = read([html(600_000), html(600_000), html(600_000)]);
    expect(body.html).toBe(`${"a".repeat(600_000)}\n${"a".repeat(CAP - 600_000)}`);
    expect(body.truncated).toEqual(["html"]);
  });

  test("vector 22: drops a character that the cap cuts in two, without a replacement", () => {
    const octets = Buffer.concat([Buffer.alloc(CAP - 1, "a"), Buffer.from("é")]);
    const body = read([{ kind: "html", octets }]);
    expect(body.html).toBe("a".repeat(CAP - 1));
    expect(body.truncated).toEqual(["html"]);
  });

  test("vector 24: ignores attached HTML and caps plain text like HTML", () => {
    const attached: BodyNode = {
      part: "1",
      type: "text/html",
      charset: null,
      encoding: "8bit",
      sizeBytes: 2 * CAP,
      disposition: "attachment",
      filename: null,
      contentId: null,
      children: [],
    };
    const plan = planFetch(attached, DEFAULT_LIMITS);
    expect(firstRanges(plan, DEFAULT_LIMITS)).toEqual([]);
    expect(assembleBody(plan, new Map(), DEFAULT_LIMITS)).toEqual({
      text: null,
      html: null,
      truncated: [],
      htmlTruncated: false,
    });
    const plain = read([text(3_000_000)]);
    expect([plain.text?.length, plain.truncated]).toEqual([1_000_000, ["text"]]);
    expect(plain.htmlTruncated).toBe(false);
  });

  describe.each(["quoted-printable", "base64"])("of text in another script, in %s", (encoding) => {
    const cyrillic = (kind: TextPart["kind"], length: number): ServerPart =>
      encoded(kind, Buffer.alloc(length, "я"), encoding);

    test("vector 20: leaves exactly the cap alone and cuts one byte more", () => {
      const whole = "я".repeat(CAP / 2);
      const exact = read([cyrillic("html", CAP)]);
      expect(exact.html === whole).toBe(true);
      expect([exact.htmlTruncated, exact.truncated]).toEqual([false, []]);
      const over = read([encoded("html", Buffer.from(`${whole}a`), encoding)]);
      expect(over.html === whole).toBe(true);
      expect([over.htmlTruncated, over.truncated]).toEqual([true, ["html"]]);
    });

    test("vector 21: counts the cap over all parts and reports it once", () => {
      const body = read([600_000, 600_000, 600_000].map((length) => cyrillic("html", length)));
      expect(body.html === `${"я".repeat(300_000)}\n${"я".repeat(200_000)}`).toBe(true);
      expect(body.truncated).toEqual(["html"]);
      const fits = read([500_000, 500_000].map((length) => cyrillic("html", length)));
      expect([fits.html?.length, fits.truncated]).toEqual([CAP / 2 + 1, []]);
    });

    test("vectors 22 and 23: drops a character cut in two, and what stands behind the cap", () => {
      const bytes = Buffer.from(`a${"я".repeat(CAP / 2)} https://wetransfer.com/x`);
      const body = read([encoded("html", bytes, encoding)]);
      expect(body.html === `a${"я".repeat(CAP / 2 - 1)}`).toBe(true);
      expect(body.truncated).toEqual(["html"]);
    });

    test("vector 24: caps plain text like HTML", () => {
      const exact = read([cyrillic("text", CAP)]);
      expect([exact.text?.length, exact.truncated]).toEqual([CAP / 2, []]);
      const plain = read([cyrillic("text", 3_000_000)]);
      expect([plain.text?.length, plain.truncated]).toEqual([CAP / 2, ["text"]]);
      expect(plain.htmlTruncated).toBe(false);
    });
  });

  test("joins the parts of a kind by a newline that no cap counts", () => {
    const body = read([text(2), html(CAP / 2), text(0), html(CAP / 2), text(3)]);
    expect(body.text).toBe("aa\n\naaa");
    expect(body.html?.length).toBe(CAP + 1);
    expect(body.truncated).toEqual([]);
  });

  test("is null for a kind that the message does not have", () => {
    expect(read([text(1)])).toMatchObject({ text: "a", html: null });
    expect(read([html(0)])).toMatchObject({ text: null, html: "" });
  });

  test("does not name again what the plan has cut already", () => {
    const plan: FetchPlan = { ...planOf([html(5)]), truncated: ["html"] };
    const body = assembleBody(plan, new Map(), DEFAULT_LIMITS);
    expect(body).toMatchObject({ truncated: [], htmlTruncated: true });
  });

  test("calls a part cut that was to be read and did not come", () => {
    expect(assembleBody(planOf([html(5)]), new Map(), DEFAULT_LIMITS).truncated).toEqual(["html"]);
  });
});

describe("firstRanges", () => {
  test("asks for no more of a huge part than the cap and one byte", () => {
    const plan = planOf([{ ...html(0), toldBytes: 100_000_000 }]);
    expect(firstRanges(plan, DEFAULT_LIMITS)).toEqual([
      { part: "1", offsetBytes: 0, lengthBytes: CAP + 1 },
    ]);
  });

  test("asks alike for small messages of different sizes, so that they share a command", () => {
    const of = (size: number): unknown =>
      firstRanges(planOf([text(size), html(9 * size)]), DEFAULT_LIMITS);
    expect(of(100)).toEqual(of(1500));
  });

  test("asks for nothing behind parts that fill the cap", () => {
    const plan = planOf([html(700_000), html(700_000), html(700_000)]);
    expect(firstRanges(plan, DEFAULT_LIMITS).map(({ part }) => part)).toEqual(["1", "2"]);
  });
});

describe("moreRanges", () => {
  test("ends after one round for ordinary mail", () => {
    const quoted = Buffer.from("caf=C3=A9 =\r\n".repeat(2000));
    const body = read([text(3000), { kind: "html", octets: quoted, encoding: "quoted-printable" }]);
    expect([body.rounds, body.truncated]).toEqual([1, []]);
    expect(body.html).toBe("café ".repeat(2000));
  });

  test("reads on where an encoding decoded to less than the cap", () => {
    const quoted = Buffer.alloc(3 * 600_000, "=41");
    const body = read([{ kind: "html", octets: quoted, encoding: "quoted-printable" }]);
    expect([body.html?.length, body.truncated]).toEqual([600_000, []]);
    expect(body.rounds).toBeGreaterThan(1);
  });

  test("reads base64 of exactly the cap whole, and one byte more not", () => {
    const base64 = (length: number): ServerPart => {
      const lines = Buffer.alloc(length, "a").toString("base64").replace(/.{76}/g, "$&\r\n");
      return { kind: "html", octets: Buffer.from(lines), encoding: "base64" };
    };
    expect(read([base64(CAP)])).toMatchObject({ html: "a".repeat(CAP), truncated: [] });
    expect(read([base64(CAP + 1)])).toMatchObject({ html: "a".repeat(CAP), truncated: ["html"] });
  });

  test("stops at what its encoding may cost when nothing comes out of the octets", () => {
    for (const [fill, encoding, mostBytes] of [
      ["=\r\n", "quoted-printable", 3_200_000],
      [" ", "base64", 2_200_000],
    ] as const) {
      const octets = Buffer.alloc(5_000_000, fill);
      const body = read([{ kind: "html", octets, encoding }]);
      expect(body.wireBytes).toBeLessThanOrEqual(mostBytes);
      expect(body.truncated).toEqual(["html"]);
    }
  });

  test("finds the end of a part whatever size was told", () => {
    const octets = Buffer.alloc(200_000, "a");
    for (const toldBytes of [0, 10, 5_000_000]) {
      const body = read([{ kind: "text", octets, toldBytes }]);
      expect([body.text?.length, body.truncated]).toEqual([200_000, []]);
    }
  });

  test("ends within its budget, with well-formed text within the caps, for any parts", () => {
    const part = fc.record({
      kind: fc.constantFrom("text", "html"),
      encoding: fc.constantFrom("8bit", "quoted-printable", "base64"),
      octets: fc.oneof(
        fc.uint8Array({ maxLength: 300 }),
        fc.nat(40_000).map((length) => Buffer.alloc(length, "=C3=A9=\n")),
      ),
      toldBytes: fc.nat(60_000),
    });
    const limits = { ...DEFAULT_LIMITS, maxHtmlBytes: 10_000, maxTextBytes: 100 };
    fc.assert(
      fc.property(fc.array(part, { maxLength: 5 }), (parts) => {
        const body = read(parts, limits);
        const bytes = (kind: string, value: string | null): number =>
          Buffer.byteLength(value ?? "") - parts.filter((one) => one.kind === kind).length;
        // A byte of windows-1252 is up to three of UTF-8.
        expect(bytes("html", body.html)).toBeLessThanOrEqual(3 * limits.maxHtmlBytes);
        expect(bytes("text", body.text)).toBeLessThanOrEqual(3 * limits.maxTextBytes);
        expect(`${body.text}${body.html}`.isWellFormed()).toBe(true);
      }),
      { numRuns: 60 },
    );
  });
});
