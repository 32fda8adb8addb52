// Messages whose structure the server does not tell, tells as garbage, or lies about in a way that shows:
// they are read from their octets, in ranges, and go out with their text. The server is a script, because
// a real one would tell the structure; the daemon and its parser's threads are real.
import { afterEach, describe, expect, test } from "vitest";
import { type TestDaemon, createTestDaemon } from "../support/daemon.ts";
import { type ImapScript, type ScriptedCommand, startImapScript } from "../support/imap-script.ts";
import { type Receiver, startReceiver } from "../support/receiver.ts";
import { WEBHOOK_SECRET } from "../support/daemon-config.ts";

const CRLF = "\r\n";
const MB = 1_000_000;

/** What one message may add to the memory of an idle daemon. */
const MAX_GROWTH_BYTES = 80 * MB;

const HEADER = [
  "From: Ann <ann@example.com>",
  "Subject: of unknown shape",
  'Content-Type: multipart/mixed; boundary="b"',
].join(CRLF);

const BODY = [
  "--b",
  "Content-Type: text/plain; charset=utf-8",
  "Content-Transfer-Encoding: quoted-printable",
  "",
  "gr=C3=BC=C3=9Fe https://we.tl/x https://wetransfer.com/downloads/1",
  "--b",
  "Content-Type: text/html",
  "",
  "<p>html</p>",
  "--b",
  'Content-Type: application/pdf; name="a.pdf"',
  "Content-Disposition: attachment",
  "",
  "AAAA",
  "--b--",
  "",
].join(CRLF);

const RAW = HEADER + CRLF + CRLF + BODY;

/** What `length` octets of a message are from `from` on; a message of 100 MB is not kept. */
type Octets = (from: number, length: number) => string;

const octetsOf =
  (raw: string): Octets =>
  (from, length) =>
    raw.slice(from, from + length);

const literal = (text: string): string => `{${text.length}}${CRLF}${text}`;

/** A folder with one message, UID 1, of this structure; counts the octets of ranges it was asked for. */
const startServer = async (told: {
  structure: string;
  octets: Octets;
  sizeBytes: number;
  /** Before a range is answered; what it returns is the answer. */
  onRange?: (command: ScriptedCommand, from: number) => readonly string[] | undefined;
}): Promise<ImapScript & { ranges: number[] }> => {
  const ranges: number[] = [];
  const fetched = (command: ScriptedCommand): readonly string[] => {
    const { tag, args } = command;
    const done = `${tag} OK done`;
    const range = /BODY\.PEEK\[\]<(\d+)\.(\d+)>/.exec(args);
    if (range !== null) {
      const [from, length] = [Number(range[1]), Number(range[2])];
      ranges.push(from);
      const instead = told.onRange?.(command, from);
      if (instead !== undefined) return instead;
      return [`* 1 FETCH (UID 1 BODY[]<${from}> ${literal(told.octets(from, length))})`, done];
    }
    const items = [
      "UID 1",
      'INTERNALDATE "24-Nov-2026 08:00:00 +0000"',
      `RFC822.SIZE ${told.sizeBytes}`,
    ];
    if (args.includes("BODYSTRUCTURE")) items.push(`BODYSTRUCTURE ${told.structure}`);
    if (args.includes("ENVELOPE")) {
      const ann = '(("Ann" NIL "ann" "example.com"))';
      items.push(`ENVELOPE (NIL "of unknown shape" ${ann} ${ann} ${ann} NIL NIL NIL NIL NIL)`);
    }
    if (args.includes("HEADER.FIELDS")) {
      items.push(`BODY[HEADER.FIELDS (DATE)] ${literal(CRLF)}`);
    } else if (args.includes("HEADER]")) {
      items.push(`BODY[HEADER]<0> ${literal(HEADER + CRLF + CRLF)}`);
    }
    return [`* 1 FETCH (${items.join(" ")})`, done];
  };
  const script = await startImapScript({
    reply: (command) => {
      const done = `${command.tag} OK done`;
      if (command.name === "EXAMINE" || command.name === "SELECT") {
        return ["* 1 EXISTS", "* OK [UIDVALIDITY 7] ok", "* OK [UIDNEXT 2] ok", done];
      }
      // As a server answers `1:*`, and nothing above the message.
      if (command.name === "UID SEARCH") {
        return [/UID (1\b|1:)/.test(command.args) ? "* SEARCH 1" : "* SEARCH", done];
      }
      return command.name === "UID FETCH" ? fetched(command) : undefined;
    },
  });
  return Object.assign(script, { ranges });
};

let server: Awaited<ReturnType<typeof startServer>>;
let receiver: Receiver;
let daemon: TestDaemon;

afterEach(async () => {
  await daemon[Symbol.asyncDispose]();
  await receiver.stop();
  await server.stop();
});

const setUp = async (told: Partial<Parameters<typeof startServer>[0]>): Promise<void> => {
  const octets = octetsOf(RAW);
  server = await startServer({ structure: "NIL", octets, sizeBytes: RAW.length, ...told });
  receiver = await startReceiver({ secrets: [WEBHOOK_SECRET] });
  daemon = createTestDaemon({
    mailboxes: [{ port: server.port, user: "u", password: "p", start_from: "beginning" }],
    webhook: { url: receiver.url },
  });
  await daemon.start();
};

const posted = async (): Promise<Record<string, unknown>> => {
  await receiver.waitFor(1, 60_000);
  await daemon.waitForEvent("message.delivered");
  expect(receiver.requests).toHaveLength(1);
  return (JSON.parse(receiver.requests[0]?.body ?? "") as { data: Record<string, unknown> }).data;
};

describe("a message whose structure cannot be used", () => {
  const deep = (depth: number): string =>
    `${"(".repeat(depth)}("TEXT" "PLAIN" NIL NIL NIL "7BIT" 1 1)${' "MIXED")'.repeat(depth)}`;

  test.each([
    ["NIL", "NIL"],
    ["an empty list", "()"],
    ["garbage", '("x" NIL NIL)'],
    ["a multipart without parts", '("MIXED" NIL NIL NIL NIL)'],
    ["one nested too deep", deep(130)],
  ])("goes out with its text when the server tells %s", async (_, structure) => {
    await setUp({ structure });
    expect(await posted()).toMatchObject({
      unreadable: null,
      truncated: [],
      subject: "of unknown shape",
      from: { address: "ann@example.com" },
      text: "grüße https://we.tl/x https://wetransfer.com/downloads/1",
      html: "<p>html</p>",
      links: [{ provider: "wetransfer", url: "https://wetransfer.com/downloads/1" }],
      attachments: [{ filename: "a.pdf", content_type: "application/pdf", size: 4, part: "" }],
    });
    expect(daemon.events("message.read_raw")).toMatchObject([{ mailbox: "default", uid: 1 }]);
    expect(daemon.events("message.reduced")).toEqual([]);
  });

  test("goes out reduced, once, when its octets are no message", async () => {
    const octets = octetsOf("\0".repeat(2 * MB));
    await setUp({ octets });
    expect(await posted()).toMatchObject({
      unreadable: "malformed",
      subject: "of unknown shape",
      text: null,
    });
    expect(daemon.events("message.read_raw")).toEqual([]);
  });

  test("goes out with what came of it when the server hangs up on the rest twice", async () => {
    const rest = "more text. ".repeat(100_000);
    const octets = octetsOf(`Content-Type: text/plain${CRLF}${CRLF}start ${rest}`);
    await setUp({
      octets,
      onRange: ({ socket }, from) => {
        if (from === 0) return undefined;
        socket.destroy();
        return [];
      },
    });
    const event = await posted();
    expect(event).toMatchObject({ unreadable: null, truncated: ["text"] });
    expect(event["text"]).toMatch(/^start more text\. /);
    expect(server.ranges).toEqual([0, 524_288, 0, 524_288]);
  });

  test("goes out reduced when the server lists it and twice shows nothing of it", async () => {
    await setUp({ onRange: ({ tag }) => [`${tag} OK done`] });
    expect(await posted()).toMatchObject({ unreadable: "malformed", text: null });
    expect(server.ranges).toEqual([0, 0]);
  });

  test(
    "costs little memory when it has 100 MB, and is read no further than 4 MiB",
    { tags: ["resilience"] },
    async () => {
      const head = `Content-Type: multipart/mixed; boundary=b${CRLF}${CRLF}--b${CRLF}Content-Type: text/html${CRLF}${CRLF}`;
      const line = "<p>Lorem ipsum dolor sit amet.</p>";
      const piece = line.repeat(20_000);
      const octets: Octets = (from, length) => {
        if (from === 0) return (head + piece).slice(0, length);
        const shift = (from - head.length) % line.length;
        return piece.slice(shift, shift + length);
      };
      let idle = 0;
      await setUp({
        octets,
        sizeBytes: 100 * MB,
        onRange: () => {
          if (idle === 0) {
            idle = daemon.rssBytes();
            daemon.resetPeak();
          }
          return undefined;
        },
      });
      const event = await posted();
      expect(event).toMatchObject({ unreadable: null, truncated: ["html", "attachments"] });
      expect((event["html"] as string).length).toBe(MB);
      expect(server.ranges).toHaveLength(8);
      expect(daemon.peakRssBytes() - idle).toBeLessThan(MAX_GROWTH_BYTES);
    },
  );
});
