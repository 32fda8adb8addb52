// Configurations that cannot be used: the daemon ends with exit 78 before it touches anything, and its
// message names the key and the line. No server is needed for any of it.
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { once } from "node:events";
import { createServer } from "node:net";
import { dirname } from "node:path";
import { describe, expect, test } from "vitest";
import { WEBHOOK_SECRET } from "../support/daemon-config.ts";
import { type TestDaemon, createTestDaemon } from "../support/daemon.ts";

/** The text of a usable file, one key a line, with some of its lines replaced or added. */
const fileWith = (
  { dataDir, lockFile }: TestDaemon,
  changes: Readonly<Record<string, string>>,
): string => {
  const lines: Record<string, string> = {
    enable: "enable_background_tasks: true",
    data: `data_dir: ${dataDir}`,
    lock: `lock: { file: ${lockFile} }`,
    http: "http: { port: 0 }",
    imap: "mailboxes: [{ id: default, imap: { host: imap.example.com, user: u, password: p } }]",
    url: "webhook:\n  url: https://hooks.example.com/hook",
    secret: `  secret: ${WEBHOOK_SECRET}`,
    ...changes,
  };
  return Object.values(lines).join("\n");
};

const withDaemon = async (use: (daemon: TestDaemon) => Promise<void>): Promise<void> => {
  await using daemon = createTestDaemon({
    mailboxes: [{ port: 9, user: "u", password: "p" }],
    webhook: { url: "http://127.0.0.1:9/hook" },
  });
  await use(daemon);
};

describe("a file that cannot be used", () => {
  test.each([
    ["an unknown key", ":4: htttp: ", { http: "htttp: { port: 0 }" }],
    ["an unknown key inside", ":4: http.prot: ", { http: "http: { prot: 0 }" }],
    ["a wrong type", ":4: http.port: ", { http: "http: { port: many }" }],
    [
      "a value out of range",
      ":9: polling.interval_seconds: ",
      { more: "polling: { interval_seconds: 0 }" },
    ],
    ["a missing section", ": mailboxes: is missing", { imap: "" }],
    ["a missing webhook secret", ":6: webhook.secret: ", { secret: "" }],
    ["a webhook secret that is none", ":8: webhook.secret: ", { secret: "  secret: hunter2" }],
    ["a variable that is not set", ":8: webhook.secret: ", { secret: '  secret: "${NO_SUCH}"' }],
    [
      "plain-text IMAP to another host",
      ":5: mailboxes[0].imap.tls: ",
      {
        imap: "mailboxes: [{ id: a, imap: { host: h.example.com, user: u, password: p, tls: none } }]",
      },
    ],
    [
      "a webhook URL without TLS",
      ":7: webhook.url: ",
      { url: "webhook:\n  url: http://h.example.com/" },
    ],
    ["a webhook URL that is none", ":7: webhook.url: ", { url: "webhook:\n  url: h.example.com" }],
    [
      "http to a public address",
      ":7: webhook.url: ",
      { url: "webhook:\n  url: http://93.184.216.34/", more: "  allow_private_addresses: true" },
    ],
    [
      "a private address unasked for",
      ":7: webhook.url: ",
      { url: "webhook:\n  url: https://10.1.2.3/" },
    ],
    [
      "http for every host without a token",
      ":4: http.",
      { http: "http: { host: 0.0.0.0, port: 0 }" },
    ],
    [
      "a mailbox id twice",
      ":7: mailboxes[1].id: ",
      {
        imap: "mailboxes:\n  - &one { id: a, imap: { host: h, user: u, password: p } }\n  - *one",
      },
    ],
    ["two values for one key", ":9: data_dir", { more: "data_dir: elsewhere" }],
    ["what is no YAML", "", { more: "rules: [" }],
  ])("with %s ends with 78 and says where", async (_what, place, changes) => {
    await withDaemon(async (daemon) => {
      daemon.writeConfigText(fileWith(daemon, changes));
      expect(await daemon.startAndEnd()).toEqual({ code: 78, signal: null });
      expect(daemon.stderr()).toContain(`signalpost.yaml${place}`);
      // Not the value, which may be a secret.
      expect(daemon.stderr()).not.toMatch(/hunter2|\n\s+at /);
      expect(existsSync(daemon.dataDir)).toBe(false);
    });
  });

  test("several problems are told at once, each with its line", async () => {
    await withDaemon(async (daemon) => {
      daemon.writeConfigText(
        fileWith(daemon, { http: "http: { port: -1 }", secret: "  secret: hunter2" }),
      );
      expect((await daemon.startAndEnd()).code).toBe(78);
      expect(daemon.stderr()).toMatch(/signalpost\.yaml:4: http\.port.*\n.*:8: webhook\.secret/);
      const { code, out } = await daemon.cli("check", "--json");
      const problems = [
        { key: "http.port", line: 4 },
        { key: "webhook.secret", line: 8 },
      ];
      expect([code, JSON.parse(out)]).toMatchObject([78, { ok: false, problems }]);
    });
  });

  test("a bad value from the environment names its variable", async () => {
    await withDaemon(async (daemon) => {
      daemon.writeConfigText(fileWith(daemon, {}));
      expect((await daemon.startAndEnd({ SIGNALPOST_HTTP_PORT: "many" })).code).toBe(78);
      expect(daemon.stderr()).toContain("SIGNALPOST_HTTP_PORT");
    });
  });
});

describe("a place that cannot be used", () => {
  test("a port in use ends with 78 and names it", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const address = server.address();
    const port = address !== null && typeof address === "object" ? address.port : 0;
    await withDaemon(async (daemon) => {
      daemon.writeConfigText(fileWith(daemon, { http: `http: { port: ${port} }` }));
      expect((await daemon.startAndEnd()).code).toBe(78);
      expect(daemon.stderr()).toContain("signalpost.yaml:4: http.port");
      expect(daemon.stderr()).toContain("EADDRINUSE");
      expect(daemon.events("daemon.started")).toEqual([]);
      expect(existsSync(daemon.lockFile)).toBe(false);
    });
    server.close();
    await once(server, "close");
  });

  test("a data directory that is a file ends with 78 and leaves the file alone", async () => {
    await withDaemon(async (daemon) => {
      mkdirSync(dirname(daemon.dataDir), { recursive: true });
      writeFileSync(daemon.dataDir, "somebody's file");
      daemon.writeConfigText(fileWith(daemon, {}));
      expect((await daemon.startAndEnd()).code).toBe(78);
      expect(daemon.stderr()).toContain("signalpost.yaml:2: data_dir");
      expect(existsSync(daemon.dataDir)).toBe(true);
      expect((await daemon.cli("check")).code).toBe(78);
    });
  });

  test("a lock file that cannot be used is told, and nothing is polled", async () => {
    await withDaemon(async (daemon) => {
      mkdirSync(daemon.lockFile);
      await daemon.start();
      const line = await daemon.waitForEvent("lock.refused");
      expect(line).toMatchObject({ level: "warn", reason: "lock_file_error" });
      await expect
        .poll(() => daemon.readyz())
        .toMatchObject({ status: 503, body: { mailboxes: { default: "lock_file_error" } } });
      expect(daemon.events("mailbox.failed")).toEqual([]);
    });
  });
});
