// The imapflow adapter against a scripted server, for what a real one will not say: refusals of every
// kind, replies that are too large or half missing, silence. Whatever comes is a MailError of the right
// class, and nothing is ever left pending.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { MailError } from "../../src/core/errors.ts";
import type { ImapSettings } from "../../src/core/settings.ts";
import { createOpenSession } from "../../src/mail/imapflow/session.adapter.ts";
import type { MailSession, SessionRequest } from "../../src/mail/session.ts";
import { type ImapScript, type Reply, startImapScript } from "../support/imap-script.ts";

const openSession = createOpenSession({ clientVersion: "0.0.0-test" });
const never = (): AbortSignal => new AbortController().signal;
const requestFor = (
  { host, port }: Pick<ImapScript, "host" | "port">,
  tls: ImapSettings["tls"] = "none",
): SessionRequest => ({
  imap: { host, port, tls, user: "u", password: "p", maxConnections: 10 },
  folder: "INBOX",
  readOnly: true,
});
const failure = async (promise: Promise<unknown>): Promise<[string, string]> => {
  const error = await promise.then(
    () => null,
    (reason: unknown) => reason,
  );
  if (!(error instanceof MailError)) throw new Error("no MailError", { cause: error });
  return [error.failure, error.code];
};

const unhandled: unknown[] = [];
const noteUnhandled = (reason: unknown): void => void unhandled.push(reason);
beforeAll(() => void process.on("unhandledRejection", noteUnhandled));
afterAll(() => {
  process.off("unhandledRejection", noteUnhandled);
  if (unhandled.length > 0) throw new AggregateError(unhandled, "unhandled rejections");
});

describe("a server that misbehaves", () => {
  const scripted = async (
    script: { reply?: Reply; greeting?: string | null; capabilities?: string },
    use: (open: () => Promise<MailSession>, seen: readonly string[]) => Promise<void>,
    tlsMode: ImapSettings["tls"] = "none",
  ): Promise<void> => {
    await using fake = await startImapScript(script);
    await use(() => openSession(requestFor(fake, tlsMode), never()), fake.seen);
  };
  const replyTo =
    (name: string, ...lines: string[]): Reply =>
    (command) =>
      command.name === name ? lines.map((line) => line.replace("TAG", command.tag)) : undefined;

  test.each([
    ["NO [LIMIT] too many", "throttled", "LIMIT"],
    ["NO [UNAVAILABLE] later", "throttled", "UNAVAILABLE"],
    ["NO [INUSE] busy", "throttled", "INUSE"],
    ["NO Too many simultaneous connections. (Failure)", "throttled", "LIMIT"],
    ["NO [AUTHENTICATIONFAILED] no", "rejected", "AUTHENTICATIONFAILED"],
    ["NO [ANN-EXAMPLE-COM] ann@example.com", "rejected", "LOGIN_REFUSED"],
  ])("answers a login with %s", async (line, word, code) => {
    await scripted({ reply: replyTo("LOGIN", `TAG ${line}`) }, async (open) => {
      expect(await failure(open())).toEqual([word, code]);
    });
  });

  test("never logs in where STARTTLS is not offered", async () => {
    const use = async (
      open: () => Promise<MailSession>,
      seen: readonly string[],
    ): Promise<void> => {
      expect(await failure(open())).toEqual(["unreachable", "STARTTLS_UNAVAILABLE"]);
      expect(seen.join()).not.toMatch(/LOGIN|AUTHENTICATE/);
    };
    await scripted({}, use, "starttls");
    await scripted({ greeting: "* PREAUTH welcome" }, use, "starttls");
  });

  test("an attempt ends when it is aborted, and when the server hangs up or is not there", async () => {
    await using silent = await startImapScript({ greeting: null });
    const stop = new AbortController();
    const request = requestFor(silent);
    const opening = failure(openSession(request, stop.signal));
    setTimeout(() => stop.abort(), 50);
    expect(await opening).toEqual(["closed", "ABORT_ERR"]);
    await silent.stop();
    expect(await failure(openSession(request, never()))).toEqual(["unreachable", "ECONNREFUSED"]);
    await scripted({ greeting: "* BYE full" }, async (open) => {
      expect((await failure(open()))[0]).toBe("unreachable");
    });
  });

  test("refusals and deaths of a command are told apart, and neither leaves it pending", async () => {
    const cases: [string[], string, string][] = [
      [["TAG NO [INUSE] x"], "throttled", "INUSE"],
      [["TAG NO [SERVERBUG] x"], "refused", "SERVERBUG"],
      [["TAG BAD ann@example.com"], "refused", "COMMAND_REFUSED"],
      [["* BYE [ALERT] x"], "closed", "NoConnection"],
      [[`* SEARCH ${"1 ".repeat(200_000)}`], "closed", "LineTooLarge"],
      [["* 1 FETCH (UID 1 BODY[] {2147483648}"], "closed", "LiteralTooLarge"],
    ];
    for (const [lines, word, code] of cases) {
      await scripted({ reply: replyTo("UID SEARCH", ...lines) }, async (open) => {
        const session = await open();
        expect(await failure(session.searchFrom(1))).toEqual([word, code]);
        session.destroy();
      });
    }
  });

  test("a row of metadata may have 96 KiB, and one literal in it 64 KiB", async () => {
    const row = (...names: number[]): string[] => {
      const to = names.map((length) => `({${length}}\r\n${"x".repeat(length)} NIL "a" "b")`);
      const envelope = `ENVELOPE (NIL NIL NIL NIL NIL (${to.join("")}) NIL NIL NIL NIL)`;
      const rest = 'INTERNALDATE "01-Jan-2026 00:00:00 +0000" RFC822.SIZE 9';
      return [`* 1 FETCH (UID 1 ${envelope} ${rest})`, "TAG OK done"];
    };
    const KIB = 1024;
    const outcome = async (...names: number[]): Promise<unknown> => {
      let found: unknown;
      await scripted({ reply: replyTo("UID FETCH", ...row(...names)) }, async (open) => {
        const session = await open();
        const rows = session.fetchMetadata([1], []);
        found = await rows.then(
          ([one]) => one?.envelope?.to.length,
          () => failure(rows),
        );
        session.destroy();
      });
      return found;
    };
    expect(await outcome(64 * KIB, 31 * KIB)).toBe(2);
    expect(await outcome(64 * KIB + 1)).toEqual(["closed", "LiteralTooLarge"]);
    expect(await outcome(64 * KIB, 32 * KIB)).toEqual(["closed", "ResponseTooLarge"]);
  });

  test("what is missing of a message is null, and what is no answer is left out", async () => {
    const deep =
      "(".repeat(150) + '"TEXT" "PLAIN" NIL NIL NIL "7BIT" 1 1' + ' "MIXED")'.repeat(149) + ")";
    const rest = 'INTERNALDATE "01-Jan-2026 00:00:00 +0000" RFC822.SIZE 9';
    const lines = [
      `* 1 FETCH (UID 1 ENVELOPE NIL ${rest})`,
      "* 2 FETCH (UID 2 FLAGS (\\Seen))",
      `* 3 FETCH (UID 3 ENVELOPE (NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL) BODYSTRUCTURE ${deep} ${rest})`,
    ];
    await scripted({ reply: replyTo("UID FETCH", ...lines, "TAG OK done") }, async (open) => {
      const session = await open();
      const found = await session.fetchMetadata([1, 2, 3], []);
      expect(found.map(({ uid, structure }) => [uid, structure])).toEqual([
        [1, null],
        [3, null],
      ]);
      expect(found.map(({ envelope }) => envelope?.from)).toEqual([undefined, []]);
      session.destroy();
    });
  });

  test("a folder without UIDVALIDITY and UIDNEXT says so", async () => {
    await scripted({ reply: replyTo("EXAMINE", "* 0 EXISTS", "TAG OK done") }, async (open) => {
      const session = await open();
      expect(session.folder).toMatchObject({ uidvalidity: "0", uidnext: null });
      session.destroy();
    });
  });

  test("without IDLE it waits for the stop alone and asks by NOOP before it searches", async () => {
    await scripted({ capabilities: "IMAP4rev1" }, async (open, seen) => {
      const session = await open();
      expect(session.folder).toMatchObject({
        canIdle: false,
        canMove: false,
        canUidExpunge: false,
      });
      await session
        .waitForMail(AbortSignal.timeout(50))
        .then((outcome) => expect(outcome).toBe("quiet"));
      expect(await session.searchFrom(4)).toEqual([]);
      expect(seen.slice(-2)).toEqual(["NOOP", "UID SEARCH UID 4:*"]);
      expect((await failure(session.expunge([1])))[1]).toBe("UNSUPPORTED");
      await session.close();
    });
  });

  test("a server that ends or refuses every IDLE is not asked again", async () => {
    for (const lines of [["+ ok", "TAG OK done"], ["TAG NO no"]]) {
      await scripted({ reply: replyTo("IDLE", ...lines) }, async (open, seen) => {
        const session = await open();
        for (const ms of [60, 20]) {
          expect(await session.waitForMail(AbortSignal.timeout(ms))).toBe("quiet");
        }
        expect(seen.filter((line) => line === "IDLE")).toHaveLength(1);
        session.destroy();
      });
    }
  });

  test("100,000 UIDs of ten digits are read in replies that fit, and the last one is no news", async () => {
    const first = 4_000_000_000;
    const reply: Reply = ({ name, args, tag }) => {
      if (name === "EXAMINE") return ["* 100000 EXISTS", `${tag} OK done`];
      if (name !== "UID SEARCH") return undefined;
      const [, from, to] = / (\d+):(\d+|\*)$/.exec(args) ?? [];
      const low = Number(from);
      const high = to === "*" ? 100_000 : Number(to);
      // As servers do: `n:*` names the last message, even when it is below n.
      if (args.includes(`${first + 200_000}:*`))
        return [`* SEARCH ${first + 99_999}`, `${tag} OK done`];
      const uids = Array.from({ length: high - low + 1 }, (_, i) => first + low - 1 + i);
      return [`* SEARCH ${uids.join(" ")}`, `${tag} OK done`];
    };
    await scripted({ reply }, async (open, seen) => {
      const session = await open();
      const uids = await session.searchFrom(1);
      expect([uids.length, uids[0], uids.at(-1)]).toEqual([100_000, first, first + 99_999]);
      expect(await session.searchFrom(first + 200_000)).toEqual([]);
      expect(seen.filter((line) => line.startsWith("UID SEARCH"))).toHaveLength(6);
      session.destroy();
    });
  });

  test("destroy ends whatever is pending, and octets of a literal in flight are counted", async () => {
    const reply: Reply = ({ name, socket }) => {
      if (name !== "UID FETCH") return undefined;
      socket.write(`* 1 FETCH (UID 1 BODY[1]<0> {4000}\r\n${"x".repeat(1000)}`);
      return [];
    };
    await scripted({ reply }, async (open) => {
      const session = await open();
      const before = session.bytesRead();
      const ranges = [{ part: "1", offsetBytes: 0, lengthBytes: 4000 }];
      const pending = [
        session.fetchParts([{ uid: 1, ranges }], () => {}),
        session.searchFrom(1),
        session.waitForMail(never()),
        session.fetchMetadata([1], []),
      ].map(failure);
      await expect.poll(() => session.bytesRead() - before).toBeGreaterThan(1000);
      session.destroy();
      for (const outcome of await Promise.all(pending)) expect(outcome[0]).toBe("closed");
      await session.close();
    });
  });
});
