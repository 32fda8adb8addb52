// The parser's threads for real: what is hostile ends a thread at the worst, what is late is given up, and
// no thread outlives its message.
import { describe, expect, test } from "vitest";
import { DEFAULT_LIMITS, MAX_RAW_BYTES } from "../../core/limits.ts";
import { createParseInWorker } from "./parse-in-worker.adapter.ts";
import { type RawMessage, UnparsableError } from "./raw-message.ts";

const CRLF = "\r\n";
const MIXED = `Content-Type: multipart/mixed; boundary=b${CRLF}${CRLF}`;

const parseInWorker = createParseInWorker();

/** The first 4 MiB of a text in Latin-1, in memory of their own. */
const octetsOf = (text: string): { raw: Uint8Array; cut: boolean } => {
  const whole = Buffer.from(text, "latin1");
  return {
    raw: new Uint8Array(whole.subarray(0, MAX_RAW_BYTES)),
    cut: whole.length > MAX_RAW_BYTES,
  };
};

const parse = (text: string, signal = new AbortController().signal): Promise<RawMessage> =>
  parseInWorker(octetsOf(text), DEFAULT_LIMITS, signal);

const codeOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "read",
    (error: unknown) => (error instanceof UnparsableError ? error.code : "another error"),
  );

/** Multiparts in each other, each with a text of its own before the next. */
const nested = (depth: number): string => {
  const levels = Array.from({ length: depth }, (_, n) => {
    const head = `--b${n}${CRLF}${CRLF}${n}${CRLF}--b${n}${CRLF}`;
    return `${head}Content-Type: multipart/mixed; boundary=b${n + 1}${CRLF}${CRLF}`;
  });
  return `Content-Type: multipart/mixed; boundary=b0${CRLF}${CRLF}${levels.join("")}`;
};

describe("a message parsed in a thread", () => {
  test("comes back with its text, and its octets are given away", async () => {
    const octets = octetsOf(`${CRLF}gr\xc3\xbcn`);
    const read = await parseInWorker(octets, DEFAULT_LIMITS, new AbortController().signal);
    expect(read).toEqual({ text: "grün", html: null, attachments: [], truncated: [] });
    expect(octets.raw.length).toBe(0);
  });

  test("may lie in the memory that small buffers share", async () => {
    const raw = Buffer.from(`${CRLF}small`);
    const { signal } = new AbortController();
    expect((await parseInWorker({ raw, cut: false }, DEFAULT_LIMITS, signal)).text).toBe("small");
  });

  test.each([
    ["200,000 parts", MIXED + `--b${CRLF}${CRLF}x${CRLF}`.repeat(200_000)],
    ["multiparts 2,000 deep", nested(2000)],
    ["lines that look like boundaries, 90 deep", nested(90) + "--aa\n".repeat(700_000)],
    ["one line of 5 MB", `${CRLF}${"x".repeat(5_000_000)}`],
    ["nothing but line ends", `${CRLF}${"\n".repeat(4_000_000)}`],
    [
      "40,000 pieces of a name",
      `Content-Type: a/b${"; name*1*=%41".repeat(40_000)}${CRLF}${CRLF}x`,
    ],
    [
      "a name of 900 kB in encoded words",
      `Content-Type: a/b; name="${"=?iso-2022-jp?B?GyRCJCIbKEI=?= ".repeat(30_000)}"${CRLF}${CRLF}`,
    ],
    ["a million parentheses", `Content-Type: text/plain${"(".repeat(1_000_000)}${CRLF}${CRLF}x`],
  ])("takes %s", async (_, text) => {
    const read = await parse(text);
    expect((read.text ?? "").length).toBeLessThanOrEqual(DEFAULT_LIMITS.maxTextBytes);
    expect(read.attachments.length).toBeLessThanOrEqual(DEFAULT_LIMITS.maxAttachments);
  });

  test.each([
    ["nothing", "", "mail/unparsable_failed"],
    ["100 MB of one header line, cut", "x".repeat(5_000_000), "mail/unparsable_too_much"],
    ["NUL bytes", "\0".repeat(3_000_000), "mail/unparsable_too_much"],
  ])("fails in words when it is %s", async (_, text, code) => {
    expect(await codeOf(parse(text))).toBe(code);
  });
});

describe("a thread", () => {
  test("that needs too long is ended", async () => {
    const hasty = createParseInWorker({ deadlineMs: 1 });
    const { signal } = new AbortController();
    const parsing = hasty(octetsOf("Subject: x"), DEFAULT_LIMITS, signal);
    expect(await codeOf(parsing)).toBe("mail/unparsable_too_late");
  });

  test("is ended by the signal, also while it waits for its turn", async () => {
    const stop = new AbortController();
    const parsing = Array.from({ length: 5 }, () => parse("Subject: x", stop.signal));
    stop.abort(new DOMException("stop", "AbortError"));
    const ends = await Promise.allSettled(parsing);
    expect(ends.every(({ status }) => status === "rejected")).toBe(true);
    await expect(parse("Subject: x", stop.signal)).rejects.toThrow("stop");
    expect(await codeOf(parse("Subject: x"))).toBe("read");
  });

  test("gets its turn however many there are", async () => {
    const parsing = Array.from({ length: 6 }, (_, n) => parse(`${CRLF}${n}`));
    const texts = (await Promise.all(parsing)).map(({ text }) => text);
    expect(texts).toEqual(["0", "1", "2", "3", "4", "5"]);
  });
});
