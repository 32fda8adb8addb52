// `check`: what is refused, what is warned of, what is explained, and that no secret is printed. It is
// run on real files; nothing is connected to.
import { existsSync, writeFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { CONFIG, withWorkspace } from "../../../test/support/cli-workspace.ts";

const RULE = (value: string): string =>
  `rules:\n  - id: broken\n    name: Broken\n    conditions: [{ field: subject, operator: regex, value: "${value}" }]\n    actions: { drop: true }\n`;

describe("check", () => {
  test("explains a usable configuration and writes nothing", async () => {
    await withWorkspace(async ({ run, dataDir }) => {
      const { code, out, err } = await run("check");
      expect({ code, err }).toEqual({ code: 0, err: "" });
      expect(out).toContain("mailbox default: imap.example.com:993, tls implicit, start_from now");
      expect(out).toContain("polling: active now");
      expect(out).toContain("webhook: 1 destination, 0 rules");
      expect(out).toMatch(/warning: polling\.sender_of_interest_for_polling is empty/);
      expect(out).toMatch(/warning: SIGNALPOST_SPOOL_KEY is not set/);
      expect(out).toMatch(/warning: lock\.file is in \/tmp: .*PrivateTmp.*container/);
      expect(out.endsWith("the configuration is usable")).toBe(true);
      expect(existsSync(dataDir)).toBe(false);
    });
  });

  test("says what offload will do, and shows no key and no token", async () => {
    await withWorkspace(async ({ run, writeConfig }) => {
      expect((await run("check")).out).toContain("attachments: stay in the mailbox\n");
      const section = [
        "offload:",
        "  endpoint: https://acc.r2.cloudflarestorage.com",
        "  bucket: my-mail",
        "  access_key_id: canary-id",
        "  secret_access_key: canary-word",
        "  public_base_url: https://files.example.com/canary-path",
        "  content_types: [application/pdf, image/*]",
        "  fetch_worker: { url: https://fetch.example.com/canary-path, token: canary-token, hosts: [dropbox.com] }",
        "",
      ].join("\n");
      writeConfig(CONFIG + section);
      const { code, out } = await run("check");
      expect(code).toBe(0);
      expect(out).toContain(
        "attachments: of 0 to 1073741824 bytes, 2 types, any name to bucket my-mail at acc.r2.cloudflarestorage.com, public URLs (not tried here)\n" +
          "links: of dropbox.com to bucket my-mail by the worker at fetch.example.com (not tried here)\n",
      );
      const json = (await run("check", "--json")).out;
      expect(JSON.parse(json)).toMatchObject({
        offload: {
          storage: { bucket: "my-mail", presign_seconds: null, content_types: 2 },
          fetch_worker: { host: "fetch.example.com", link_hosts: ["dropbox.com"] },
        },
      });
      expect(out + json).not.toContain("canary");
    });
  });

  test("says what only one half of offload will do", async () => {
    await withWorkspace(async ({ run, writeConfig }) => {
      writeConfig(
        `${CONFIG}offload: { region: eu-west-3, bucket: abc, access_key_id: a, secret_access_key: b }\n`,
      );
      const { out } = await run("check");
      expect(out).toContain(
        "at AWS S3 (eu-west-3), URLs signed for 604800 seconds (not tried here)",
      );
      expect(out).not.toContain("links:");
      writeConfig(
        `${CONFIG}offload: { bucket: abc, public_base_url: https://f.example.com, fetch_worker: { url: https://w.example.com, token: t } }\n`,
      );
      expect((await run("check")).out).toMatch(
        /attachments: stay in the mailbox\nlinks: of dropbox/,
      );
    });
  });

  test("prints no user, password, secret, folder or URL path", async () => {
    await withWorkspace(async ({ run }) => {
      const printed = [(await run("check")).out, (await run("check", "--json")).out].join("\n");
      for (const secret of [
        "someone",
        "pass-word-secret",
        "whsec_",
        "Private Folder",
        "private-path",
      ]) {
        expect(printed).not.toContain(secret);
      }
    });
  });

  test("says that nothing will poll while background tasks are off", async () => {
    await withWorkspace(async ({ run, writeConfig }) => {
      writeConfig(CONFIG.replace("enable_background_tasks: true\n", ""));
      const { code, out } = await run("check");
      expect(code).toBe(0);
      expect(out).toMatch(/nothing will poll/);
    });
  });

  test("tells a programme the same in one object", async () => {
    await withWorkspace(async ({ run, writeConfig }) => {
      writeConfig(`${CONFIG}polling: { vacation_start: 2026-11-20, vacation_end: 2026-11-30 }\n`);
      const report: unknown = JSON.parse((await run("check", "--json")).out);
      expect(report).toMatchObject({
        ok: true,
        problems: [],
        activity: { active: false, reason: "vacation", wakes_at: "2026-11-30T23:00:00.000Z" },
        mailboxes: [{ id: "default", host: "imap.example.com", port: 993, tls: "implicit" }],
        destinations: 1,
        data_dir_writable: true,
      });
    });
  });

  test("refuses a rule whose expression does not compile", async () => {
    await withWorkspace(async ({ run, writeConfig }) => {
      writeConfig(CONFIG + RULE("(unclosed"));
      const { code, out, err } = await run("check");
      expect(code).toBe(78);
      expect(err).toMatch(/signalpost\.yaml:\d+: rules \(broken\)\.conditions\[0\]\.value: write /);
      expect(out).not.toContain("the configuration is usable");
      writeConfig(CONFIG + RULE("closed"));
      expect((await run("check")).code).toBe(0);
    });
  });

  test("tells everything of every rule that cannot be used, by id and line, and counts the others", async () => {
    await withWorkspace(async ({ run, writeConfig }) => {
      const conditions = "conditions: [{ field: to, operator: equals, value: x }]";
      const rules = [
        `  - { id: good, ${conditions}, actions: { webhook_url: tok123 } }`,
        `  - { id: bad, ${conditions}, actions: { priority: urgent, webhook_url: "https://10.1.2.3/" } }`,
        `  - id: Not Good`,
        `    ${conditions}`,
      ];
      const text = `${CONFIG}rules:\n${rules.join("\n")}\n`;
      writeConfig(text);
      const first = text.split("\n").findIndex((line) => line.includes("id: good")) + 2;
      const { code, out, err } = await run("check");
      expect(code).toBe(78);
      expect(out).toContain("webhook: 2 destinations, 1 rule\n");
      expect(
        err.split("\n").map((line) => /:(\d+): (rules \S+ ?\S*): /.exec(line)?.slice(1)),
      ).toEqual([
        [`${first + 1}`, "rules (bad).actions.priority"],
        [`${first + 1}`, "rules (bad).actions.webhook_url"],
        [`${first + 2}`, "rules (rules[2]).id"],
      ]);
      expect(err).not.toMatch(/urgent|10\.1\.2\.3|Not Good/);
      const report: unknown = JSON.parse((await run("check", "--json")).out);
      expect(report).toMatchObject({ ok: false, rules: 1, destinations: 2 });
    });
  });

  test.each([
    ["https://169.254.169.254/", "never sent to"],
    ["https://127.0.0.1:8080/", "allow_private_addresses"],
    ["https://10.1.2.3/", "allow_private_addresses"],
  ])("refuses a webhook to %s", async (url, advice) => {
    await withWorkspace(async ({ run, writeConfig }) => {
      writeConfig(CONFIG.replace("https://hooks.example.com/private-path", url));
      const { code, err } = await run("check");
      expect(code).toBe(78);
      expect(err).toMatch(/: webhook\.url: /);
      expect(err).toContain(advice);
    });
  });

  test("refuses a data directory that cannot be one", async () => {
    await withWorkspace(async ({ run, dataDir }) => {
      writeFileSync(dataDir, "a file");
      const { code, err } = await run("check");
      expect(code).toBe(78);
      expect(err).toMatch(/: data_dir: /);
    });
  });

  test("lists the problems of a configuration that does not load, also as JSON", async () => {
    await withWorkspace(async ({ run, writeConfig }) => {
      writeConfig("mailboxes: 1\n");
      const plain = await run("check");
      expect(plain.code).toBe(78);
      expect(plain.err).toMatch(/signalpost\.yaml:2: mailboxes: /);
      const json = await run("check", "--json");
      expect(json.code).toBe(78);
      expect(JSON.parse(json.out)).toMatchObject({ ok: false, warnings: [] });
    });
  });
});
