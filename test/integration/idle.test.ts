// How new mail is noticed: at once where the server tells of it, by looking where it does not; and what
// becomes of a message that somebody removes between the look and the reading.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Dovecot, startDovecot } from "../support/dovecot.ts";
import { startImapScript } from "../support/imap-script.ts";
import { startRelay } from "../support/relay.ts";
import { openScene } from "../support/scene.ts";

/** Far longer than a test waits: what arrives before it was not found by looking. */
const NEVER_LOOKS = { polling: { interval_seconds: 600 } };

let server: Dovecot;
beforeAll(async () => {
  server = await startDovecot();
});
afterAll(async () => {
  await server.stop();
});

describe("noticing mail", () => {
  test("mail that comes while the daemon idles is sent long before the next look", async () => {
    await using scene = await openScene(server, { settings: NEVER_LOOKS });
    for (const count of [1, 2, 3]) {
      await scene.deliverSubjects(`mail ${count}`);
      await scene.posted(count);
    }
    expect(await scene.daemon.metrics()).toContain(
      'signalpost_mail_found_total{mailbox="default",how="push"} 3',
    );
  });

  test("mail that comes just before the daemon begins to idle is not left lying", async () => {
    await using relay = await startRelay(server.port);
    await using scene = await openScene(server, {
      settings: NEVER_LOOKS,
      mailbox: { port: relay.port },
      start: false,
    });
    const held = relay.holdOnce(/ IDLE\r\n/, () => scene.deliverSubjects("in the gap"));
    await scene.daemon.start();
    await held;
    const [event] = await scene.posted(1);
    expect(event?.data.subject).toBe("in the gap");
  });

  /** A server with one message in its INBOX as soon as `isThere()`, which it never tells of. */
  const silentServer = (capabilities: string, isThere: () => boolean) =>
    startImapScript({
      capabilities,
      reply: ({ name, args, tag }) => {
        if (!isThere()) return undefined;
        if (name === "UID SEARCH") return ["* SEARCH 1", `${tag} OK done`];
        if (name !== "UID FETCH") return undefined;
        const envelope = '(NIL "silent" NIL NIL NIL NIL NIL NIL NIL NIL)';
        const body = '("TEXT" "PLAIN" NIL NIL NIL "7BIT" 5 1)';
        const rest = 'INTERNALDATE "01-Jan-2026 00:00:00 +0000" RFC822.SIZE 9';
        const line = args.includes("ENVELOPE")
          ? [`* 1 FETCH (UID 1 ENVELOPE ${envelope} BODYSTRUCTURE ${body} ${rest})`]
          : ["* 1 FETCH (UID 1 BODY[1]<0> {5}", "hello)"];
        return [...line, `${tag} OK done`];
      },
    });

  test.each([
    ["where IDLE is not offered", "IMAP4rev1", false],
    ["where IDLE says nothing", "IMAP4rev1 IDLE", true],
  ])("%s new mail is found by looking", async (_title, capabilities, idle) => {
    let isThere = false;
    await using fake = await silentServer(capabilities, () => isThere);
    await using scene = await openScene(server, { mailbox: { port: fake.port } });
    await scene.daemon.waitForEvent("mailbox.connected", (line) => line["idle"] === idle);
    await expect.poll(() => fake.seen).toContain(idle ? "IDLE" : "NOOP");
    isThere = true;
    const [event] = await scene.posted(1);
    expect(event?.data).toMatchObject({ subject: "silent", text: "hello" });
    expect(await scene.daemon.metrics()).toContain(
      'signalpost_mail_found_total{mailbox="default",how="poll"} 1',
    );
    expect(fake.seen.includes("IDLE")).toBe(idle);
  });

  test("a server that restarts is looked at again by itself", async () => {
    await using own = await startDovecot();
    await using scene = await openScene(own, { settings: NEVER_LOOKS });
    await scene.deliverSubjects("before");
    await scene.posted(1);
    await own.shutDown();
    await scene.daemon.waitForEvent("mailbox.failed", ({ failure }) => failure !== "rejected");
    await scene.deliverSubjects("while it was down");
    await own.start();
    const [, event] = await scene.posted(2, 40_000);
    expect(event?.data.subject).toBe("while it was down");
  });
});

describe("a message that vanishes", () => {
  test.each([
    ["it is told of", / UID FETCH [^\r]*ENVELOPE/],
    ["its body is read", / UID FETCH [^\r]*BODY\.PEEK\[1\]/],
  ])("before %s is gone, counted, and holds up nothing behind it", async (_title, command) => {
    await using relay = await startRelay(server.port);
    await using scene = await openScene(server, { mailbox: { port: relay.port } });
    const expunged = relay.holdOnce(command, async () => {
      const client = await scene.client();
      await client.command("UID STORE 1 +FLAGS (\\Deleted)");
      await client.command("UID EXPUNGE 1");
      client.close();
    });
    await scene.deliverSubjects("vanishes", "stays");
    await expunged;
    const [event] = await scene.posted(1);
    expect(event?.data).toMatchObject({ subject: "stays", uid: 2 });
    await scene.daemon.waitForEvent("message.gone", ({ uid }) => uid === 1);
    await scene.deliverSubjects("later");
    const [, later] = await scene.posted(2);
    expect(later?.data).toMatchObject({ subject: "later", uid: 3 });
    await scene.daemon.waitForEvent("message.delivered", ({ uid }) => uid === 3);
    const { mailboxes } = await scene.daemon.status();
    expect(mailboxes[0]).toMatchObject({ counts: { delivered: 2, gone: 1 }, settled_up_to: 3 });
  });
});
