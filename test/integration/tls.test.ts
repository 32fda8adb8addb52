// How the daemon reaches a mail server: over verified TLS of both kinds, never with a password in the
// clear, and patiently where the password is wrong.
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Dovecot, startDovecot } from "../support/dovecot.ts";
import { startImapScript } from "../support/imap-script.ts";
import { startRelay } from "../support/relay.ts";
import { openScene } from "../support/scene.ts";

let server: Dovecot;
beforeAll(async () => {
  server = await startDovecot();
});
afterAll(async () => {
  await server.stop();
});

describe("TLS", () => {
  test.each(["implicit", "starttls"] as const)(
    "%s with a certificate of a known authority carries mail",
    async (tls) => {
      const port = tls === "implicit" ? server.tlsPort : server.port;
      await using scene = await openScene(server, {
        mailbox: { host: server.host, port, tls },
        env: { NODE_EXTRA_CA_CERTS: server.caFile },
      });
      await scene.deliverSubjects("over TLS");
      const [event] = await scene.posted(1);
      expect(event?.data.subject).toBe("over TLS");
      expect(readFileSync(server.logFile, "utf8")).toMatch(
        new RegExp(`Login: user=<${scene.user}>.* TLS`),
      );
    },
  );

  test.each([
    { what: "implicit TLS of an unknown authority", tls: "implicit", host: "localhost" },
    { what: "STARTTLS of an unknown authority", tls: "starttls", host: "localhost" },
    // The certificate is for localhost and 127.0.0.1; this is another way to write the latter.
    { what: "a certificate for another name", tls: "implicit", host: "127.1", isKnown: true },
  ] as const)("$what is refused before the login", async ({ tls, host, ...rest }) => {
    const port = tls === "implicit" ? server.tlsPort : server.port;
    await using scene = await openScene(server, {
      mailbox: { host, port, tls },
      env: "isKnown" in rest ? { NODE_EXTRA_CA_CERTS: server.caFile } : {},
      start: false,
    });
    await scene.daemon.start();
    const line = await scene.daemon.waitForEvent("mailbox.failed");
    expect(line).toMatchObject({ level: "warn", mailbox: "default", failure: "unreachable" });
    expect(line["code"]).toMatch(/CERT|VERIFY/);
    await expect
      .poll(() => scene.daemon.readyz())
      .toEqual({
        status: 503,
        body: { status: "not_ready", mailboxes: { default: "unreachable" } },
      });
    expect(readFileSync(server.logFile, "utf8")).not.toContain(`user=<${scene.user}>`);
  });

  test("a server that offers no STARTTLS is never told the password", async () => {
    await using fake = await startImapScript({ capabilities: "IMAP4rev1 IDLE AUTH=PLAIN" });
    await using scene = await openScene(server, {
      mailbox: { port: fake.port, tls: "starttls" },
      start: false,
    });
    await scene.daemon.start();
    const line = await scene.daemon.waitForEvent("mailbox.failed");
    expect(line).toMatchObject({ failure: "unreachable", code: "STARTTLS_UNAVAILABLE" });
    expect(line["hint"]).toContain("imap.tls");
    expect(fake.seen.join("\n")).not.toMatch(/LOGIN|AUTHENTICATE/);
  });
});

describe("a wrong password", () => {
  test("is tried once, told by /readyz, and the right one is taken at SIGHUP", async () => {
    await using relay = await startRelay(server.port);
    await using scene = await openScene(server, {
      mailbox: { port: relay.port, password: "wrong-horse" },
      start: false,
    });
    const { daemon, user } = scene;
    await daemon.start();
    const line = await daemon.waitForEvent("mailbox.failed");
    expect(line).toMatchObject({ failure: "rejected", code: "AUTHENTICATIONFAILED" });
    expect(line["hint"]).toContain("imap.password");
    // Five bad logins in ten minutes are what providers ban a host for.
    expect(line["retry_ms"]).toBeGreaterThanOrEqual(60_000);
    await expect
      .poll(() => daemon.readyz())
      .toEqual({ status: 503, body: { status: "not_ready", mailboxes: { default: "rejected" } } });
    expect(await daemon.metrics()).toContain(
      'signalpost_imap_reconnects_total{mailbox="default",reason="rejected"} 1',
    );
    expect(relay.connections()).toBe(1);
    expect(JSON.stringify(daemon.lines)).not.toContain(user);
    const { password } = server;
    daemon.writeConfig({ mailboxes: [{ port: relay.port, user, password }] });
    daemon.kill("SIGHUP");
    await daemon.waitForEvent("mailbox.first_contact");
    await scene.deliverSubjects("at last");
    const [event] = await scene.posted(1);
    expect(event?.data.subject).toBe("at last");
    expect(relay.connections()).toBe(2);
    expect((await daemon.readyz()).status).toBe(200);
  });

  test("of one mailbox leaves the others alone", async () => {
    const { port, password } = server;
    await using scene = await openScene(server, {
      settings: {
        mailboxes: [
          { id: "good", port, user: "tls-good", password },
          { id: "bad", port, user: "tls-bad", password: "wrong-horse" },
        ],
      },
    });
    await scene.daemon.waitForEvent("mailbox.failed", ({ mailbox }) => mailbox === "bad");
    await server.deliver("tls-good", [Buffer.from("Subject: fine\r\n\r\nfine\r\n")]);
    const [event] = await scene.posted(1);
    expect(event?.data).toMatchObject({ mailbox: "good", subject: "fine" });
    await expect
      .poll(async () => (await scene.daemon.readyz()).body.mailboxes)
      .toEqual({ good: "polling", bad: "rejected" });
  });

  test("a folder that does not exist has a word of its own, and is found once it does", async () => {
    await using scene = await openScene(server, { mailbox: { folder: "Later" }, start: false });
    await scene.daemon.start();
    const line = await scene.daemon.waitForEvent("mailbox.failed");
    expect(line).toMatchObject({ failure: "folder_missing", code: "NONEXISTENT" });
    expect((await scene.daemon.readyz()).body.mailboxes).toEqual({ default: "folder_missing" });
    const client = await scene.client();
    await client.command("CREATE Later");
    client.close();
    await scene.daemon.waitForEvent("mailbox.first_contact");
  });
});
