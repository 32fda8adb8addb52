// The configuration while the daemon runs: what changes by itself, what at SIGHUP, what not at all, and
// that a broken file costs nothing but a warning. And the daemon that is told not to poll.
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createTestDaemon } from "../support/daemon.ts";
import { type Dovecot, startDovecot } from "../support/dovecot.ts";
import * as mail from "../support/mail.ts";
import { newUser, openScene } from "../support/scene.ts";

let server: Dovecot;
beforeAll(async () => {
  server = await startDovecot();
});
afterAll(async () => {
  await server.stop();
});

/** As if the mailbox `default` had been named last a day ago, and another one just now. */
const letADayPass = (dataDir: string): void => {
  const database = new DatabaseSync(join(dataDir, "signalpost.db"), { timeout: 5000 });
  const name = database.prepare("INSERT OR REPLACE INTO named (mailbox, wall_ms) VALUES (?, ?)");
  name.run("other", Date.now());
  name.run("default", Date.now() - 86_400_000);
  database.close();
};

const DROP_NOISE = [
  {
    id: "noise",
    conditions: [{ field: "subject", operator: "contains", value: "noise" }],
    actions: { drop: true },
  },
];

describe("a changed file", () => {
  test("brings new rules and senders into force without a restart", async () => {
    await using scene = await openScene(server);
    const { daemon } = scene;
    await scene.deliverSubjects("noise before");
    await scene.posted(1);
    daemon.writeConfig({
      rules: DROP_NOISE,
      polling: { sender_of_interest_for_polling: ["ann@example.com"] },
    });
    await daemon.waitForEvent("config.reloaded", ({ rules }) => rules === 1);
    await scene.deliverSubjects("noise after", "signal");
    await scene.deliver(mail.plainMessage("x", { subject: "foreign", from: "eve@example.net" }));
    await daemon.waitForEvent("message.filtered", ({ reason }) => reason === "rule_drop");
    await daemon.waitForEvent("message.filtered", ({ reason }) => reason === "sender");
    const events = await scene.posted(2);
    expect(events.map(({ data }) => data.subject)).toEqual(["noise before", "signal"]);
    expect(daemon.events("mailbox.connected")).toHaveLength(1);
    expect(daemon.events("daemon.started")).toHaveLength(1);
  });

  test("takes vacation and its end within seconds, whatever the inactive interval says", async () => {
    await using scene = await openScene(server);
    const { daemon } = scene;
    const away = { vacation_start: "2000-01-01", vacation_end: "2999-12-31" };
    daemon.writeConfig({ polling: { ...away, inactive_interval_seconds: 600 } });
    await daemon.waitForEvent("mailbox.inactive");
    await scene.deliverSubjects("during the vacation");
    expect(await daemon.readyz()).toEqual({
      status: 200,
      body: { status: "ready", mailboxes: { default: "inactive" } },
    });
    daemon.writeConfig({ polling: { inactive_interval_seconds: 600 } });
    await daemon.waitForEvent("mailbox.active");
    await scene.posted(1);
  });

  test("that cannot be used leaves the last good one in force, with one warning", async () => {
    await using scene = await openScene(server, { settings: { rules: DROP_NOISE } });
    const { daemon } = scene;
    for (const [count, text] of [
      [1, ""],
      [2, "enable_background_tasks: true\nwebhook: { url: 7 }\n"],
    ] as const) {
      daemon.writeConfigText(text);
      await expect.poll(() => daemon.events("config.rejected")).toHaveLength(count);
    }
    await scene.deliverSubjects("noise", "signal");
    const [event] = await scene.posted(1);
    expect(event?.data.subject).toBe("signal");
    expect(daemon.events("config.rejected")).toHaveLength(2);
    expect(daemon.events("config.rejected")[1]).toMatchObject({ level: "warn", line: 2 });
    daemon.writeConfig({ rules: [] });
    await daemon.waitForEvent("config.reloaded", ({ rules }) => rules === 0);
    await scene.deliverSubjects("noise again");
    await scene.posted(2);
  });

  test("with one bad rule loses that rule alone, and `check` says which", async () => {
    await using scene = await openScene(server);
    const { daemon } = scene;
    const bad = {
      id: "broken",
      conditions: [{ field: "subject", operator: "regex", value: "(unclosed" }],
      actions: { drop: true },
    };
    daemon.writeConfig({ rules: [bad, ...DROP_NOISE] });
    await daemon.waitForEvent("config.rule_refused", ({ rule }) => rule === "broken");
    await scene.deliverSubjects("noise", "(unclosed");
    const [event] = await scene.posted(1);
    expect(event?.data.subject).toBe("(unclosed");
    expect(daemon.events("config.rule_refused")).toHaveLength(1);
    const checked = await daemon.cli("check");
    expect(checked.code).toBe(78);
    expect(checked.err).toContain("broken");
    await daemon.stop();
    await daemon.start();
  });

  test("in what needs a restart is named once and changes nothing", async () => {
    await using scene = await openScene(server);
    const { daemon } = scene;
    const port = daemon.httpPort;
    daemon.writeConfig({ top: { limits: { max_links: 7 } } });
    const line = await daemon.waitForEvent("config.needs_restart");
    expect(line).toMatchObject({ level: "warn", restart: "limits", sighup: null });
    daemon.kill("SIGHUP");
    daemon.writeConfig({ rules: DROP_NOISE });
    await daemon.waitForEvent("config.reloaded", ({ rules }) => rules === 1);
    expect(daemon.events("config.needs_restart")).toHaveLength(1);
    expect(daemon.httpPort).toBe(port);
    expect((await daemon.readyz()).status).toBe(200);
  });
});

describe("SIGHUP", () => {
  test("adds and removes a mailbox and does not touch the other", async () => {
    await using scene = await openScene(server);
    const { daemon } = scene;
    const { port, password } = server;
    const other = newUser();
    const kept = { port, user: scene.user, password };
    const leaseOf = async () =>
      (await daemon.status()).mailboxes.find(({ id }) => id === "default");
    const lease = (await leaseOf())?.lease;

    daemon.writeConfig({ mailboxes: [kept, { id: "second", port, user: other, password }] });
    await daemon.waitForEvent("config.needs_restart", ({ sighup }) => sighup === "mailboxes");
    expect(daemon.events("mailbox.first_contact")).toHaveLength(1);
    daemon.kill("SIGHUP");
    await daemon.waitForEvent("mailbox.first_contact", ({ mailbox }) => mailbox === "second");
    await server.deliver(other, [mail.plainMessage("x", { subject: "to the second" })]);
    const [event] = await scene.posted(1);
    expect(event?.data).toMatchObject({ mailbox: "second", subject: "to the second" });

    daemon.writeConfig({ mailboxes: [kept] });
    daemon.kill("SIGHUP");
    await daemon.waitForEvent("lock.released", ({ mailbox }) => mailbox === "second");
    await expect
      .poll(async () => (await daemon.readyz()).body.mailboxes)
      .toEqual({ default: "polling" });
    expect(await daemon.metrics()).not.toContain('mailbox="second"');
    await server.deliver(other, [mail.plainMessage("x", { subject: "to nobody" })]);
    await scene.deliverSubjects("to the first");
    const events = await scene.posted(2);
    expect(events[1]?.data).toMatchObject({ mailbox: "default", subject: "to the first" });
    expect((await leaseOf())?.lease).toEqual(lease);
    const touched = daemon
      .events("mailbox.connected")
      .filter(({ mailbox }) => mailbox === "default");
    expect(touched).toHaveLength(1);
  });

  test("parks what waits for a mailbox that nobody has named for a day", async () => {
    await using scene = await openScene(server, { answer: () => ({ status: 500 }) });
    const { daemon } = scene;
    await scene.deliverSubjects("left behind");
    await daemon.waitForEvent("delivery.failed");
    const { port, password } = server;
    daemon.writeConfig({ mailboxes: [{ id: "other", port, user: newUser(), password }] });
    daemon.kill("SIGHUP");
    await daemon.waitForEvent("lock.released");
    letADayPass(daemon.dataDir);
    await daemon.waitForEvent("spool.mailbox_gone", ({ mailbox }) => mailbox === "default");
    const rows = JSON.parse((await daemon.cli("parked", "list", "--json")).out);
    expect(rows).toMatchObject([{ mailbox: "default", reason: "mailbox_gone" }]);
  });
});

describe("background tasks that are off", () => {
  test.each([
    ["by default", { top: { enable_background_tasks: undefined } }, {}],
    ["by the file", { top: { enable_background_tasks: false } }, {}],
    ["by the environment, which beats the file", {}, { DISABLE_BACKGROUND_TASKS: "true" }],
  ])("%s leave the process up and ready, with one warning and no connection", async (...row) => {
    const [, settings, env] = row;
    await using daemon = createTestDaemon({
      mailboxes: [{ port: server.port, user: newUser(), password: server.password }],
      webhook: { url: "http://127.0.0.1:9/hook" },
      env,
      ...settings,
    });
    await daemon.start();
    await daemon.waitForEvent("daemon.disabled", ({ level }) => level === "warn");
    expect(await daemon.readyz()).toEqual({
      status: 200,
      body: { status: "disabled", mailboxes: { default: "disabled" } },
    });
    expect(await daemon.stop()).toEqual({ code: 0, signal: null });
    expect(daemon.lines.filter(({ level }) => level !== "info")).toHaveLength(1);
    expect(daemon.events("lock.acquired")).toEqual([]);
  });
});
