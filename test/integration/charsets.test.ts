// Text in the charsets and transfer encodings that mail really comes in arrives as the text that was
// written, through a real server's BODYSTRUCTURE and partial fetches. One daemon takes all of it.
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Dovecot, startDovecot } from "../support/dovecot.ts";
import * as mail from "../support/mail.ts";
import { type PostedEvent, type Scene, openScene } from "../support/scene.ts";

const FRENCH = "Déjà vu: l'été à Besançon coûte 12 €\nœuvre";
const LATIN = "Grüße, Ångström, ½ Maß, señor";
const RUSSIAN = "Съешь ещё этих мягких французских булок";
const JAPANESE = "こんにちは世界。カタカナ、漢字";
const CHINESE = "你好，世界。測試";
const KOREAN = "안녕하세요 세계";
const EMOJI = "🎉 naïve 👩‍👩‍👧 and a long line ".repeat(60).trimEnd();

const CASES: readonly (readonly [string, mail.TransferEncoding, string])[] = [
  ["utf-8", "8bit", EMOJI],
  ["utf-8", "quoted-printable", EMOJI],
  ["utf-8", "base64", CHINESE],
  ["us-ascii", "7bit", "plain = old =3D text"],
  ["iso-8859-1", "quoted-printable", LATIN],
  ["iso-8859-1", "8bit", LATIN],
  ["iso-8859-15", "base64", FRENCH],
  ["windows-1252", "quoted-printable", FRENCH],
  ["windows-1251", "base64", RUSSIAN],
  ["koi8-r", "8bit", RUSSIAN],
  ["iso-2022-jp", "7bit", JAPANESE],
  ["shift_jis", "base64", JAPANESE],
  ["euc-jp", "8bit", JAPANESE],
  ["gb18030", "base64", CHINESE],
  ["big5", "quoted-printable", "測試世界"],
  ["euc-kr", "8bit", KOREAN],
  ["utf-16le", "base64", LATIN],
  ["windows-1252", "x-uuencode", FRENCH],
];

let server: Dovecot;
let scene: Scene;
let events: ReadonlyMap<number, PostedEvent>;

beforeAll(async () => {
  server = await startDovecot();
  scene = await openScene(server);
  await scene.deliver(
    ...CASES.map(([charset, encoding, text]) =>
      mail.message(
        { subject: text.slice(0, 40) },
        mail.multipart("alternative", [
          mail.textPart({ text, charset, encoding }),
          mail.textPart({ text: `<p>${text}</p>`, subtype: "html", charset, encoding }),
        ]),
      ),
    ),
  );
  const posted = await scene.posted(CASES.length);
  events = new Map(posted.map((event) => [event.data.uid, event]));
});
afterAll(async () => {
  await scene[Symbol.asyncDispose]();
  await server.stop();
});

test.each(CASES.map(([charset, encoding, text], index) => ({ charset, encoding, text, index })))(
  "$charset in $encoding",
  ({ text, index }) => {
    const data = events.get(index + 1)?.data;
    // Lines end in CRLF on the wire, and an encoder may leave one at the very end.
    const plain = (value: unknown): string => String(value).replaceAll("\r\n", "\n").trimEnd();
    expect(plain(data?.["text"])).toBe(text);
    expect(plain(data?.["html"])).toBe(`<p>${text}</p>`);
    // In one line of a header a line end is a space.
    const subject = text.slice(0, 40).replaceAll("\n", " ");
    expect(data).toMatchObject({ subject, truncated: [], unreadable: null });
  },
);

test("a charset that lies or does not exist costs letters, never the message", async () => {
  await scene.deliver(
    mail.message(
      { subject: "lies" },
      Buffer.concat([
        Buffer.from('Content-Type: text/plain; charset="utf-8"\r\n\r\nbefore '),
        Buffer.from([0xe9, 0xff]),
        Buffer.from(" after\r\n"),
      ]),
    ),
    mail.message(
      { subject: "unknown" },
      Buffer.from('Content-Type: text/plain; charset="x-klingon"\r\n\r\nplain words\r\n'),
    ),
  );
  const late = (await scene.posted(CASES.length + 2)).slice(CASES.length);
  const bySubject = new Map(late.map(({ data }) => [data.subject, data]));
  expect(bySubject.get("lies")?.["text"]).toMatch(/^before .+ after\s*$/);
  expect(bySubject.get("unknown")?.["text"]).toMatch(/^plain words\s*$/);
});
