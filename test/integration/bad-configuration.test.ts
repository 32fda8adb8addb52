// Configurations that cannot be used: the daemon ends with exit 78 before it touches anything, and its
// message names the key and the line. No server is needed for any of it.
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { once } from "node:events";
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

const MAILBOX = "mailboxes: [{ id: default, imap: { user: u, password: p, ";

describe("a file that cannot be used", () => {
  test.each([
    ["an unknown key", { http: "htttp: { port: 0 }" }, 4, "htttp"],
    ["an unknown key inside", { http: "http: { prot: 0 }" }, 4, "http.prot"],
    ["a wrong type", { http: "http: { port: many }" }, 4, "http.port"],
    [
      "a value out of range",
      { poll: "polling: { interval_seconds: 0 }" },
      9,
      "polling.interval_seconds",
    ],
    ["a missing section", { imap: "" }, null, "mailboxes"],
    ["a missing webhook secret", { secret: "" }, null, "webhook.secret"],
    ["a webhook secret that is none", { secret: "  secret: hunter2" }, 8, "webhook.secret"],
    [
      "a variable that is not set",
      { secret: '  secret: "${NO_SUCH_VARIABLE}"' },
      8,
      "webhook.secret",
    ],
    [
      "plain-text IMAP to another host",
      { imap: `${MAILBOX}host: imap.example.com, tls: none } }]` },
      5,
      "mailboxes[0].imap.tls",
    ],
    [
      "a webhook URL that is not https",
      { url: "webhook:\n  url: http://hooks.example.com/" },
      7,
      "webhook.url",
    ],
    ["a webhook URL that is none", { url: "webhook:\n  url: hooks.example.com" }, 7, "webhook.url"],
    [
      "http to a public address",
      {
        url: "webhook:\n  url: http://93.184.216.34/",
        secret: `  secret: ${WEBHOOK_SECRET}\n  allow_private_addresses: true`,
      },
      7,
      "webhook.url",
    ],
    [
      "http for every host without a token",
      { http: "http: { host: 0.0.0.0, port: 0 }" },
      4,
      "http",
    ],
    [
      "a mailbox id twice",
      { imap: `mailboxes:\n  - &one { id: a, imap: { host: h, user: u, password: p } }\n  - *one` },
      7,
      "mailboxes[1].id",
    ],
    ["two values for one key", { more: "data_dir: elsewhere" }, 9, "data_dir"],
    ["what is no YAML", { more: "rules: [" }, null, ""],
  ] as const)("with %s ends with 78 and says where", async (_what, changes, line, key) => {
    await withDaemon(async (daemon) => {
      daemon.writeConfigText(fileWith(daemon, changes));
      expect(await daemon.startAndEnd()).toEqual({ code: 78, signal: null });
      const place = line === null ? "" : `:${line}: `;
      expect(daemon.stderr()).toContain(`signalpost.yaml${place}`);
      expect(daemon.stderr()).toContain(key);
      // Not the value, which may be a secret.
      expect(daemon.stderr()).not.toMatch(/hunter2|\n\s+at /);
      expect(existsSync(daemon.dataDir)).toBe(false);
      const checked = await daemon.cli("check", "--json");
      expect(checked.code).toBe(78);
      expect(JSON.parse(checked.out)).toMatchObject({ ok: false });
    });
  });

  test("several problems are told at once, each with its line", async () => {
    await withDaemon(async (daemon) => {
      daemon.writeConfigText(
        fileWith(daemon, { http: "http: { port: -1 }", secret: "  secret: hunter2" }),
      );
      expect((await daemon.startAndEnd()).code).toBe(78);
      expect(daemon.stderr()).toMatch(/signalpost\.yaml:4: http\.port.*\n.*:8: webhook\.secret/);
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
