// Hostile mail, made when it is needed and always the same: what people, broken programs and attackers
// really send, larger and stranger than any reader should have to take. Read by measure.ts; nothing of it
// is kept in a file.
import iconv from "iconv-lite";
import { attachmentPart, message, multipart, plainMessage, textPart } from "../support/mail.ts";
import { createSeededRandom } from "../support/seeded-random.ts";

/** One message; `build` because some of them are too large to keep. */
export interface HostileMail {
  name: string;
  build(): Buffer;
  /** Stands in the payload, if the message is delivered. */
  shows?: string;
}

const CRLF = "\r\n";
const MB = 1_000_000;

/** A message of these lines, exactly. */
const raw = (...lines: readonly string[]): Buffer => Buffer.from(lines.join(CRLF), "latin1");

/** The usual header lines before `type`; `extra` are written as they are. */
const head = (subject: string, type: string, ...extra: readonly string[]): string =>
  [
    ...["From: ann@example.com", "To: bob@example.com", `Subject: ${subject}`],
    ...["Date: Tue, 24 Nov 2026 09:00:00 +0100", "MIME-Version: 1.0", ...extra],
    ...[`Content-Type: ${type}`, "", ""],
  ].join(CRLF);

const times = (count: number, each: (index: number) => string, joint = ""): string =>
  Array.from({ length: count }, (_, index) => each(index)).join(joint);

const html = (subject: string, text: string): Buffer =>
  Buffer.from(head(subject, "text/html; charset=utf-8") + text);

/** `sizeBytes` of HTML in one line, without a second copy. */
const oneLineHtml = (sizeBytes: number): Buffer => {
  const start = Buffer.from(head("one line", "text/html; charset=utf-8"));
  const whole = Buffer.alloc(start.length + sizeBytes, "<p>Lorem ipsum dolor sit amet.</p>");
  start.copy(whole);
  return whole;
};

/** A multipart whose parts are all `part`. */
const manyParts = (count: number, part: string): Buffer =>
  Buffer.from(
    head(`${count} parts`, 'multipart/mixed; boundary="b"') +
      `--b${CRLF}${part}${CRLF}`.repeat(count) +
      `--b--${CRLF}`,
  );

const nestedMultiparts = (depth: number): Buffer => {
  const boundary = (level: number): string => `b.${level}.`;
  const open = times(depth, (level) => {
    const type = `Content-Type: multipart/mixed; boundary="${boundary(level + 1)}"`;
    return `--${boundary(level)}${CRLF}${type}${CRLF}${CRLF}`;
  });
  const core = `--${boundary(depth)}${CRLF}Content-Type: text/plain${CRLF}${CRLF}core${CRLF}`;
  const close = times(depth + 1, (level) => `--${boundary(depth - level)}--${CRLF}`);
  return Buffer.from(
    head("nested", `multipart/mixed; boundary="${boundary(0)}"`) + open + core + close,
  );
};

const nestedMessages = (depth: number): Buffer =>
  Buffer.from(
    times(depth, (level) => head(`level ${level}`, "message/rfc822")) +
      head("innermost", "text/plain") +
      "core",
  );

/** A text part of these octets, whatever its label says. */
const mislabelled = (charset: string, bytes: Uint8Array): Buffer =>
  message(
    { subject: `text in ${charset}` },
    Buffer.concat([
      Buffer.from(`Content-Type: text/plain; charset="${charset}"${CRLF}${CRLF}`),
      bytes,
    ]),
  );

const RUSSIAN = "Привет, мир. Всё хорошо. ";
const CHINESE = "你好世界，一切都好。𠀀";
/** Two kana in ISO-2022-JP, then one octet of a third. */
const HALF_JIS = Buffer.from("\u001b$B$3$l$", "latin1");
/** Surrogates without their halves: as UTF-16, and as UTF-8 forbids them. */
const LONE_UTF16 = Buffer.from([0xd8, 0x00, 0x00, 0x41, 0xdc, 0x00, 0xd8, 0x00]);
const LONE_UTF8 = Buffer.from([0x41, 0xed, 0xa0, 0x80, 0x42, 0xed, 0xb0, 0x80, 0x00, 0x43]);

const nulsAndSurrogates = (): Buffer =>
  message(
    {
      subject: "plain",
      extra: [
        ["Subject", `=?utf-16be?B?${LONE_UTF16.toString("base64")}?= =?utf-8?Q?a=00b=ED=A0=80?=`],
        ["Cc", `=?utf-8?Q?n=00ul?= <nul\u0000@example.com>`],
      ],
    },
    multipart("mixed", [
      Buffer.concat([
        Buffer.from(`Content-Type: text/plain; charset=utf-16be${CRLF}`),
        Buffer.from(`Content-Transfer-Encoding: base64${CRLF}${CRLF}`),
        Buffer.from(LONE_UTF16.toString("base64")),
      ]),
      Buffer.concat([
        Buffer.from(`Content-Type: text/plain; charset=utf-8${CRLF}${CRLF}`),
        LONE_UTF8,
        Buffer.alloc(5000),
      ]),
    ]),
  );

const lineBreaksInNames = (): Buffer => {
  const part = (disposition: string): Buffer =>
    Buffer.from(
      `Content-Type: application/pdf${CRLF}Content-Disposition: ${disposition}${CRLF}${CRLF}x`,
    );
  return message(
    {
      subject: "plain",
      extra: [["X-Ignored", `=?utf-8?Q?=0D=0AX-Evil:_1?=`]],
      from: "=?utf-8?Q?Ann=0D=0ABcc=3A_eve=40example=2Ecom?= <ann@example.com>",
    },
    multipart("mixed", [
      textPart({ text: "see the names" }),
      part('attachment; filename="=?utf-8?Q?one=0D=0Atwo.pdf?="'),
      part("attachment; filename*=utf-8''one%0D%0Atwo%00.pdf"),
      part(`attachment; filename="one${CRLF} two.pdf"`),
      part("attachment; filename*0*=utf-8''one%0; filename*1*=D%0Atwo.pdf"),
    ]),
  );
};

const withLineBreaksInSubject = (): Buffer =>
  raw(head("=?utf-8?Q?one=0D=0ABcc:_eve@example.com=0D=0A=0D=0Abody?=", "text/plain") + "innocent");

const brokenBase64 = (): Buffer =>
  message(
    { subject: "broken base64" },
    Buffer.from(
      `Content-Type: text/plain; charset=utf-8${CRLF}Content-Transfer-Encoding: base64${CRLF}${CRLF}` +
        `aGVsbG8=d29ybGQ===${CRLF}!!*${CRLF}${"aGV sbG8 ".repeat(20_000)}${CRLF}=${CRLF}a`,
    ),
  );

const brokenQuotedPrintable = (): Buffer =>
  message(
    { subject: "broken quoted-printable" },
    Buffer.from(
      `Content-Type: text/html; charset=utf-8${CRLF}` +
        `Content-Transfer-Encoding: quoted-printable${CRLF}${CRLF}` +
        `=ZZ=4=${CRLF}${"=E=C3=".repeat(100_000)} \t ${CRLF}${"=\n".repeat(50_000)}=`,
    ),
  );

/** Ways to look like a link to a provider without being one, each in its own line. */
const lookAlikes = (count: number): string => {
  const forms = [
    (n: number) => `https://dropbox.com.evil${n}.example/s/${n}`,
    (n: number) => `https://dropbox.com@evil.example/${n}`,
    (n: number) => `http://wetransfer.com:${n}x/`,
    (n: number) => `https://[wetransfer.com]/${n}`,
    (n: number) => `hxxps://fromsmash.com/${n}`,
    (n: number) => `https://https://swisstransfer.com/${n}`,
  ];
  return times(count, (n) => forms[n % forms.length]?.(n) ?? "", CRLF);
};

const longNames = (count: number, chars: number): Buffer => {
  const name = "%C3%A9".repeat(chars);
  const halves = [name.slice(0, chars * 3), name.slice(chars * 3)];
  const [first = "", second = ""] = halves;
  const part =
    `Content-Type: application/pdf${CRLF}Content-Disposition: attachment;${CRLF}` +
    ` filename*0*=utf-8''${first};${CRLF} filename*1*=${second}${CRLF}${CRLF}x`;
  return manyParts(count, part);
};

/** `count` encoded words of a charset that is slow to decode. */
const encodedWords = (count: number): string =>
  times(count, () => "=?iso-2022-jp?B?GyRCJDMkbCRPGyhC?=", `${CRLF} `);

const randomOctets = (count: number): Buffer => Buffer.from(createSeededRandom(1).bytes(count));

const SIZES: readonly HostileMail[] = [
  {
    name: "100 MB of HTML in one line",
    shows: "<p>Lorem ipsum dolor",
    build: () => oneLineHtml(100 * MB),
  },
  { name: "10,000 parts", shows: "part", build: () => manyParts(10_000, `${CRLF}part`) },
  { name: "200,000 empty parts", build: () => manyParts(200_000, "") },
  { name: "multiparts nested 2,000 deep", build: () => nestedMultiparts(2000) },
  { name: "attached messages nested 100 deep", build: () => nestedMessages(100) },
  {
    name: "a header line of 1 MB",
    shows: "text",
    build: () => raw(head("big header", "text/plain", `X-Big: ${"x".repeat(MB)}`) + "text"),
  },
  {
    name: "a subject of 1 MB",
    shows: "ssss",
    build: () => raw(head("s".repeat(MB), "text/plain") + "text"),
  },
  {
    name: "10,000 headers",
    shows: "text",
    build: () =>
      raw(
        head(
          "headers",
          "text/plain",
          times(10_000, (n) => `X-H-${n}: ${n}`, CRLF),
        ) + "text",
      ),
  },
  {
    name: "100,000 recipients",
    shows: "text",
    build: () => {
      const list = times(100_000, (n) => `r${n}@example.com`, `,${CRLF} `);
      return raw(head("recipients", "text/plain", `Cc: ${list}`) + "text");
    },
  },
  {
    name: "100,000 nested <div>",
    shows: "<div><div>",
    build: () => html("divs", "<div>".repeat(100_000) + "x" + "</div>".repeat(100_000)),
  },
  {
    name: "100,000 unclosed <a>",
    shows: '<a href="h"><a ',
    build: () => html("anchors", '<a href="h">'.repeat(100_000)),
  },
  {
    name: "format=flowed of 2 MB",
    shows: "> quoted and flowed",
    build: () => {
      const type = "text/plain; charset=utf-8; format=flowed";
      return Buffer.from(head("flowed", type) + `> quoted and flowed ${CRLF}`.repeat(95_000));
    },
  },
  {
    name: "1,500 encoded words in a subject",
    shows: "これは",
    build: () => raw(head(encodedWords(1500), "text/plain") + "text"),
  },
  {
    name: "20,000 encoded words in a subject",
    shows: "これは",
    build: () => raw(head(encodedWords(20_000), "text/plain") + "text"),
  },
  {
    name: "300,000 look-alikes of provider links",
    shows: "https://dropbox.com.evil",
    build: () => {
      const text = lookAlikes(150_000);
      const parts = [textPart({ text }), textPart({ text, subtype: "html" })];
      return message({ subject: "look-alikes" }, multipart("alternative", parts));
    },
  },
  {
    name: "5,000 attachments with names of 2,000 characters",
    build: () => longNames(5000, 2000),
  },
];

const OCTETS: readonly HostileMail[] = [
  { name: "line breaks in the subject", shows: "innocent", build: withLineBreaksInSubject },
  { name: "line breaks in names", shows: "see the names", build: lineBreaksInNames },
  { name: "NUL octets and lone surrogates", build: nulsAndSurrogates },
  {
    name: "ISO-2022-JP cut in the middle",
    shows: "これ",
    build: () => mislabelled("iso-2022-jp", HALF_JIS),
  },
  {
    name: "UTF-7",
    shows: "+ADw-script",
    build: () => mislabelled("utf-7", Buffer.from("+ADw-script+AD4-alert(1)+ADw-/script+AD4-")),
  },
  {
    name: "GB18030 with half a character",
    shows: "你好世界",
    build: () => {
      const bytes = iconv.encode(CHINESE.repeat(2000), "gb18030");
      return mislabelled("gb18030", bytes.subarray(0, -1));
    },
  },
  {
    name: "KOI8-R labelled as ASCII",
    build: () => mislabelled("us-ascii", iconv.encode(RUSSIAN.repeat(2000), "koi8-r")),
  },
  {
    name: "an unknown charset",
    build: () => mislabelled("x-martian-1", iconv.encode(RUSSIAN.repeat(2000), "koi8-r")),
  },
  {
    name: "several charsets in one part",
    build: () => {
      const pieces = ["koi8-r", "gb18030", "utf-16le", "utf-8"].map((charset) =>
        iconv.encode(RUSSIAN + CHINESE, charset),
      );
      return mislabelled("utf-8", Buffer.concat([...pieces, HALF_JIS]));
    },
  },
  { name: "base64 that breaks the rules", shows: "hello", build: brokenBase64 },
  { name: "quoted-printable that breaks the rules", shows: "=ZZ", build: brokenQuotedPrintable },
  { name: "16 KB of random octets", build: () => randomOctets(16_384) },
  {
    name: "an attachment of random octets that calls itself a multipart",
    shows: "text",
    build: () => {
      const file = attachmentPart({
        ...{ filename: "x", content: randomOctets(65_536) },
        contentType: 'multipart/mixed; boundary="nowhere"',
      });
      return message({ subject: "odd" }, multipart("mixed", [textPart({ text: "text" }), file]));
    },
  },
  { name: "an empty message", build: () => Buffer.alloc(0) },
  {
    name: "a header alone, without its blank line",
    shows: "nothing else",
    build: () => raw("From: ann@example.com", "Subject: nothing else"),
  },
];

/** Every message of the suite, in the order in which they are sent. */
export const HOSTILE_MAILS: readonly HostileMail[] = [...SIZES, ...OCTETS];

/** The small mail that must not suffer from them. */
export const goodMail = (subject: string): Buffer =>
  plainMessage(`body of ${subject}`, { subject });
