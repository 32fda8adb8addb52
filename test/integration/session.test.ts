// The imapflow adapter against a real Dovecot. It pins the contract of mail/session: what arrives is
// decoded and complete, news is not missed, and writing touches the messages it was told and no other.
import { readFileSync } from "node:fs";
import tls from "node:tls";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { MailError } from "../../src/core/errors.ts";
import type { ImapSettings } from "../../src/core/settings.ts";
import { createOpenSession } from "../../src/mail/imapflow/session.adapter.ts";
import type { MailSession } from "../../src/mail/session.ts";
import { type Dovecot, rawClient, startDovecot } from "../support/dovecot.ts";
import * as mail from "../support/mail.ts";

const openSession = createOpenSession({ clientVersion: "0.0.0-test" });
const never = (): AbortSignal => new AbortController().signal;

let server: Dovecot;
let users = 0;
const newUser = (): string => `user${(users += 1)}`;

beforeAll(async () => {
  server = await startDovecot();
});
afterAll(async () => {
  await server.stop();
});

const settings = (user: string, more: Partial<ImapSettings> = {}): ImapSettings => ({
  ...{ host: "127.0.0.1", port: server.port, tls: "none", user, password: server.password },
  maxConnections: 10,
  ...more,
});
const openFor = (user: string, readOnly = true, folder = "INBOX"): Promise<MailSession> =>
  openSession({ imap: settings(user), folder, readOnly }, never());
const deliver = async (user: string, ...texts: string[]): Promise<void> =>
  server.deliver(
    user,
    texts.map((text) => mail.plainMessage(text, { subject: text })),
  );
const failure = async (promise: Promise<unknown>): Promise<[string, string]> => {
  const error = await promise.then(
    () => null,
    (reason: unknown) => reason,
  );
  if (!(error instanceof MailError)) throw new Error("no MailError", { cause: error });
  return [error.failure, error.code];
};
const rawFor = (user: string) =>
  rawClient({ host: "127.0.0.1", port: server.port, login: { user, password: server.password } });

describe("opening", () => {
  test("refuses a certificate that nobody vouches for, and accepts it once its authority is known", async () => {
    const implicit = settings("tls", { host: "localhost", port: server.tlsPort, tls: "implicit" });
    const starttls = settings("tls", { host: "localhost", tls: "starttls" });
    const open = (imap: ImapSettings) =>
      openSession({ imap, folder: "INBOX", readOnly: true }, never());
    expect((await failure(open(implicit)))[0]).toBe("unreachable");
    const [word, code] = await failure(open(starttls));
    expect([word, code]).toEqual([
      "unreachable",
      expect.stringMatching(/^[A-Z_]*(CERT|VERIFY)[A-Z_]*$/),
    ]);
    const before = tls.getCACertificates("default");
    tls.setDefaultCACertificates([...before, readFileSync(server.caFile, "utf8")]);
    for (const imap of [implicit, starttls]) await (await open(imap)).close();
    tls.setDefaultCACertificates(before);
  });

  test("tells what the folder and the server are like", async () => {
    const user = newUser();
    await deliver(user, "one");
    const session = await openFor(user);
    expect(session.folder).toEqual({
      uidvalidity: expect.stringMatching(/^[1-9]\d+$/),
      uidnext: 2,
      canIdle: true,
      canUidExpunge: true,
      canMove: true,
    });
    await session.close();
  });

  test("opens a folder whose name has a space and letters beyond ASCII", async () => {
    const user = newUser();
    await server.deliver(user, [mail.plainMessage("x")], { folder: "Büro 東京" });
    const session = await openFor(user, true, "Büro 東京");
    expect(await session.searchFrom(1)).toEqual([1]);
    await session.close();
  });

  test("calls a wrong password rejected and an unknown folder missing", async () => {
    const wrong = settings("ann", { password: "wrong" });
    const request = { imap: wrong, folder: "INBOX", readOnly: true };
    expect(await failure(openSession(request, never()))).toEqual([
      "rejected",
      "AUTHENTICATIONFAILED",
    ]);
    expect(await failure(openFor(newUser(), true, "Nowhere"))).toEqual([
      "folder_missing",
      "NONEXISTENT",
    ]);
  });
});

describe("searching", () => {
  test("finds UIDs from a number on and nothing below it", async () => {
    const user = newUser();
    await deliver(user, "a", "b", "c");
    const session = await openFor(user);
    expect(await session.searchFrom(2)).toEqual([2, 3]);
    expect(await session.searchFrom(4)).toEqual([]);
    await deliver(user, "d");
    expect(await session.searchFrom(4)).toEqual([4]);
    expect(
      await session.searchUids([
        [1, 2],
        [4, 9],
      ]),
    ).toEqual([1, 2, 4]);
    await session.close();
  });

  test("finds by internal date, from the day before on", async () => {
    const user = newUser();
    const noon = Date.UTC(2024, 4, 10, 12);
    for (const days of [-3, -1, 0, 5]) {
      await server.deliver(user, [mail.plainMessage("x")], {
        internalDateMs: noon + days * 86_400_000,
      });
    }
    const session = await openFor(user);
    expect(await session.searchSince(noon)).toEqual([2, 3, 4]);
    await session.close();
  });

  test("reads a folder of 60,000 messages, whose UIDs fill more than one reply", async () => {
    const user = newUser();
    await server.deliver(
      user,
      Array.from({ length: 60_000 }, () => Buffer.from("Subject: x\r\n\r\n")),
    );
    const session = await openFor(user);
    const uids = await session.searchFrom(1);
    expect([uids.length, uids[0], uids.at(-1)]).toEqual([60_000, 1, 60_000]);
    expect(await session.searchFrom(59_999)).toEqual([59_999, 60_000]);
    expect(await session.searchFrom(60_001)).toEqual([]);
    expect(
      await session.searchUids([
        [5, 6],
        [59_000, 70_000],
      ]),
    ).toHaveLength(1003);
    expect(
      await session.searchUids([
        [2, 2],
        [10_000, 70_000],
      ]),
    ).toHaveLength(50_002);
    await session.close();
  });
});

describe("reading", () => {
  test("decodes names, subjects and file names, and keeps attached messages closed", async () => {
    const user = newUser();
    const inner = mail.message({}, mail.alternative("inner", "<p>inner</p>"));
    const raw = mail.message(
      {
        from: `${mail.encodedWords("Jürgen Größe")} <J.G@Example.com>`,
        subject: "日本語の件名 and more",
        messageId: "<m1@example.com>",
        extra: [
          ["X-Ticket", " 42 "],
          ["x-ticket", mail.encodedWords("Zürich")],
          ["Cc", "undisclosed:;"],
        ],
      },
      mail.multipart("mixed", [
        mail.alternative("hi", "<p>hi</p>"),
        mail.attachmentPart({ filename: "Rechnung für März.pdf", content: Buffer.from("x") }),
        mail.messagePart(inner),
      ]),
    );
    await server.deliver(user, [raw], { internalDateMs: 1_700_000_000_000 });
    const session = await openFor(user);
    const [found] = await session.fetchMetadata([1, 7], ["x-ticket", "bad name"]);
    expect(found).toMatchObject({
      uid: 1,
      internalDateMs: 1_700_000_000_000,
      sizeBytes: raw.length,
    });
    expect(found?.envelope).toMatchObject({
      ...{ messageId: "<m1@example.com>", inReplyTo: null, subject: "日本語の件名 and more" },
      date: "2026-11-24T08:00:00.000Z",
      from: [{ name: "Jürgen Größe", address: "J.G@Example.com" }],
      cc: [],
    });
    expect([...(found?.headers ?? [])]).toEqual([["x-ticket", ["42", "Zürich"]]]);
    const { structure } = found ?? {};
    expect(structure).toMatchObject({ part: "", type: "multipart/mixed" });
    expect(
      structure?.children.map(({ part, type, children }) => [part, type, children.length]),
    ).toEqual([
      ["1", "multipart/alternative", 2],
      ["2", "application/octet-stream", 0],
      ["3", "message/rfc822", 0],
    ]);
    expect(structure?.children[0]?.children.map(({ part }) => part)).toEqual(["1.1", "1.2"]);
    expect(structure?.children[1]).toMatchObject({
      ...{ filename: "Rechnung für März.pdf", disposition: "attachment", encoding: "base64" },
    });
    await session.close();
  });

  test("invents neither dates nor addresses, and calls a lone part 1", async () => {
    const user = newUser();
    await server.deliver(user, [
      mail.plainMessage("x", { from: "nobody", date: "meeting 5" }),
      Buffer.from("Subject: bare\r\n\r\nbody\r\n"),
    ]);
    const session = await openFor(user);
    const [broken, bare] = await session.fetchMetadata([1, 2], []);
    expect(broken?.envelope).toMatchObject({
      date: null,
      from: [{ name: "nobody", address: null }],
    });
    expect(bare?.envelope).toMatchObject({
      subject: "bare",
      date: null,
      from: [],
      messageId: null,
    });
    expect(bare?.structure).toMatchObject({ part: "1", type: "text/plain", children: [] });
    expect(bare?.headers.size).toBe(0);
    await session.close();
  });

  test("reads pieces of parts, in one command for the same wish, and leaves out messages that are gone", async () => {
    const user = newUser();
    const raw = mail.message({}, mail.alternative("0123456789", mail.bigHtml(300_000)));
    await server.deliver(user, [raw, raw, raw]);
    const session = await openFor(user);
    const got: [number, string[]][] = [];
    const texts: string[] = [];
    const piece = { part: "1", offsetBytes: 2, lengthBytes: 5 };
    const html = { part: "2", offsetBytes: 0, lengthBytes: 1000 };
    const requests = [1, 2, 9].map((uid) => ({ uid, ranges: [piece, html] }));
    const before = session.bytesRead();
    await session.fetchParts(
      [
        ...requests,
        {
          uid: 3,
          ranges: [
            { ...piece, part: "7" },
            { ...html, lengthBytes: 0 },
          ],
        },
      ],
      (uid, parts) => {
        got.push([uid, [...parts].map(([part, octets]) => `${part} ${octets.length}`)]);
        texts.push(Buffer.from(parts.get("1") ?? []).toString());
      },
    );
    expect(got).toEqual([
      [1, ["1 5", "2 1000"]],
      [2, ["1 5", "2 1000"]],
      [3, ["7 0"]],
    ]);
    expect(texts).toEqual(["23456", "23456", ""]);
    expect(session.bytesRead() - before).toBeLessThan(4000);
    await session.close();
  });

  test("gives the start of a header with date and size", async () => {
    const user = newUser();
    const raw = mail.plainMessage("x");
    await server.deliver(user, [raw], { internalDateMs: 1_700_000_000_000 });
    const session = await openFor(user);
    const found = await session.fetchHeader(1, 20);
    expect(found).toMatchObject({ internalDateMs: 1_700_000_000_000, sizeBytes: raw.length });
    expect(Buffer.from(found?.header ?? []).toString()).toBe(raw.toString().slice(0, 20));
    expect(await session.fetchHeader(2, 20)).toBeNull();
    await session.close();
  });
});

describe("ranges of a whole message", () => {
  test("are what lies there, fewer octets at its end, none behind it, and null without it", async () => {
    const user = newUser();
    const raw = mail.plainMessage("grüße");
    await server.deliver(user, [raw]);
    const session = await openFor(user);
    const range = async (from: number, length: number): Promise<string | null> => {
      const octets = await session.fetchRaw(1, from, length);
      return octets === null ? null : Buffer.from(octets).toString("latin1");
    };
    const text = raw.toString("latin1");
    expect(await range(0, 10)).toBe(text.slice(0, 10));
    expect(await range(10, 1_000_000)).toBe(text.slice(10));
    expect(await range(raw.length, 10)).toBe("");
    expect(await session.fetchRaw(2, 0, 10)).toBeNull();
    await session.close();
  });
});

describe("waiting", () => {
  test("ends with news when mail arrives, and keeps news that came before", async () => {
    const user = newUser();
    await deliver(user, "a");
    const session = await openFor(user);
    expect(await session.searchFrom(1)).toEqual([1]);
    const waiting = session.waitForMail(never());
    await deliver(user, "b");
    expect(await waiting).toBe("news");
    expect(await session.searchFrom(2)).toEqual([2]);
    await deliver(user, "c");
    await session.searchUids([[1, 1]]);
    expect(await session.waitForMail(never())).toBe("news");
    expect(await session.searchFrom(3)).toEqual([3]);
    await session.close();
  });

  test("ends quietly when it is stopped, as often as one likes", async () => {
    const session = await openFor(newUser());
    for (let round = 0; round < 3; round += 1) {
      const stop = new AbortController();
      const waiting = session.waitForMail(stop.signal);
      stop.abort();
      expect(await waiting).toBe("quiet");
      expect(await session.waitForMail(stop.signal)).toBe("quiet");
      expect(await session.searchFrom(1)).toEqual([]);
    }
    await session.close();
  });

  test("rejects when the server goes away", async () => {
    await using other = await startDovecot();
    const imap = settings("ann", { port: other.port });
    const session = await openSession({ imap, folder: "INBOX", readOnly: true }, never());
    const waiting = failure(session.waitForMail(never()));
    await other.shutDown();
    expect((await waiting)[0]).toBe("closed");
    expect((await failure(session.searchFrom(1)))[0]).toBe("closed");
  });
});

describe("writing", () => {
  test("flags, moves and expunges exactly the messages it is told", async () => {
    const user = newUser();
    await deliver(user, "a", "b", "c", "d");
    await server.deliver(user, [mail.plainMessage("x")], { folder: "Done" });
    const other = await rawFor(user);
    await other.command("UID STORE 4 +FLAGS.SILENT (\\Deleted)");
    const session = await openFor(user, false);
    await session.addFlag([1], "\\Seen");
    await session.move([2], "Done");
    await session.addFlag([3], "\\Deleted");
    await session.expunge([3]);
    expect(await session.searchFrom(1)).toEqual([1, 4]);
    expect(await failure(session.move([1], "Nowhere"))).toEqual(["folder_missing", "TRYCREATE"]);
    await other.command("NOOP");
    expect((await other.command("UID SEARCH SEEN"))[0]).toBe("* SEARCH 1");
    expect((await other.command("UID SEARCH DELETED"))[0]).toBe("* SEARCH 4");
    expect((await other.command("STATUS Done (MESSAGES)"))[0]).toContain("MESSAGES 2");
    other.close();
    await session.close();
  });
});
