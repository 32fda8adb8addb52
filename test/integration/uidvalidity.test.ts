// A folder whose UIDs were thrown away, as after a restored backup or a move to another server: old mail
// is known again and not sent, what came in between is, and ids follow the new numbers.
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Dovecot, startDovecot } from "../support/dovecot.ts";
import * as mail from "../support/mail.ts";
import { type Scene, type SceneOptions, openScene } from "../support/scene.ts";

const HOUR_MS = 3_600_000;

let server: Dovecot;
beforeAll(async () => {
  server = await startDovecot();
});
afterAll(async () => {
  await server.stop();
});

/** `count` small messages with Message-IDs, told apart by `name`. */
const series = (name: string, count: number): Buffer[] =>
  Array.from({ length: count }, (_, index) =>
    mail.plainMessage(`${name} ${index}`, {
      subject: name,
      messageId: `<${name}-${index}@example.com>`,
    }),
  );

/** Stops the daemon, renumbers the folder and has `between` arrive, as the server sees it later. */
const renumber = async (scene: Scene, between: readonly Buffer[]): Promise<void> => {
  await scene.daemon.stop();
  server.resetUidvalidity(scene.user);
  await scene.deliver(...between);
};

const uidvalidityOf = async (scene: Scene): Promise<string | null | undefined> =>
  (await scene.daemon.status()).mailboxes[0]?.uidvalidity;

test("old mail is not sent again, mail that came in between is, under the new numbers", async () => {
  await using scene = await openScene(server);
  await scene.deliver(...series("old", 20));
  const before = await scene.posted(20);
  await expect.poll(async () => (await scene.daemon.status()).mailboxes[0]?.settled_up_to).toBe(20);
  const oldValidity = await uidvalidityOf(scene);
  await renumber(scene, series("between", 3));
  await scene.daemon.start();
  const events = await scene.posted(23);
  await scene.deliver(...series("after", 1));
  const [newest] = (await scene.posted(24)).slice(23);
  const fresh = events.slice(20);
  expect(fresh.map(({ data }) => data.subject)).toEqual(["between", "between", "between"]);
  expect(newest?.data.subject).toBe("after");
  const newValidity = await uidvalidityOf(scene);
  expect(newValidity).not.toBe(oldValidity);
  for (const event of [...fresh, newest]) expect(event?.data["uidvalidity"]).toBe(newValidity);
  const ids = new Set(before.map(({ data }) => data.event_id));
  expect(fresh.filter(({ data }) => ids.has(data.event_id))).toEqual([]);
  expect(scene.daemon.events("mailbox.reset")).toMatchObject([
    { level: "warn", same_account: true, matched: 20, fresh: 3, reset_skipped: 0 },
  ]);
  expect(await scene.daemon.metrics()).toContain(
    'signalpost_mailbox_resets_total{mailbox="default"} 1',
  );
});

test("1,500 old messages, more than the tail holds at least, stay where they are", async () => {
  const options: SceneOptions = {
    mailbox: { start_from: "beginning" },
    settings: { logLevel: "info" },
    before: (user) =>
      // 17 hours of mail, all of it within a day of the newest.
      server
        .deliver(user, series("early", 750), { internalDateMs: Date.now() - 17 * HOUR_MS })
        .then(() =>
          server.deliver(user, series("late", 750), { internalDateMs: Date.now() - HOUR_MS }),
        ),
  };
  await using scene = await openScene(server, options);
  await scene.posted(1500, 60_000);
  await expect
    .poll(async () => (await scene.daemon.status()).mailboxes[0]?.settled_up_to, {
      timeout: 20_000,
    })
    .toBe(1500);
  await renumber(scene, series("between", 2));
  await scene.daemon.start();
  const events = await scene.posted(1502);
  await scene.daemon.waitForEvent("mailbox.reset", ({ fresh }) => fresh === 2);
  expect(events.slice(1500).map(({ data }) => data.subject)).toEqual(["between", "between"]);
  expect(new Set(events.map(({ data }) => data.event_id)).size).toBe(1502);
});

test("what was there before the first contact stays unsent after a reset", async () => {
  await using scene = await openScene(server, {
    before: (user) =>
      server.deliver(user, series("ancient", 30), { internalDateMs: Date.now() - 2 * HOUR_MS }),
  });
  await renumber(scene, series("between", 1));
  await scene.daemon.start();
  const [event] = await scene.posted(1);
  expect(event?.data.subject).toBe("between");
  const [line] = scene.daemon.events("mailbox.reset");
  expect(line).toMatchObject({ matched: 0, fresh: 1, reset_skipped: 30 });
  await scene.daemon.stop();
  expect(scene.receiver.requests).toHaveLength(1);
});

test("a folder that is renumbered while the daemon runs is noticed by itself", async () => {
  await using scene = await openScene(server);
  await scene.deliver(...series("old", 5));
  await scene.posted(5);
  await expect.poll(async () => (await scene.daemon.status()).mailboxes[0]?.settled_up_to).toBe(5);
  await server.shutDown();
  server.resetUidvalidity(scene.user);
  await scene.deliver(...series("between", 1));
  await server.start();
  const events = await scene.posted(6, 40_000);
  expect(events[5]?.data.subject).toBe("between");
  expect(scene.daemon.events("mailbox.reset")).toMatchObject([{ matched: 5, fresh: 1 }]);
});

test("another account under the same mailbox id is a reset, not a resend", async () => {
  await using scene = await openScene(server);
  await scene.deliver(...series("first account", 2));
  await scene.posted(2);
  await expect.poll(async () => (await scene.daemon.status()).mailboxes[0]?.settled_up_to).toBe(2);
  const other = `${scene.user}-other`;
  await server.deliver(other, series("second account", 4), {
    internalDateMs: Date.now() - 2 * HOUR_MS,
  });
  const { port, password } = server;
  scene.daemon.writeConfig({ mailboxes: [{ port, user: other, password }] });
  scene.daemon.kill("SIGHUP");
  await scene.daemon.waitForEvent("mailbox.reset", (line) => line["same_account"] === false);
  await server.deliver(other, series("new there", 1));
  const events = await scene.posted(3);
  expect(events[2]?.data.subject).toBe("new there");
  await scene.daemon.stop();
  expect(scene.receiver.requests).toHaveLength(3);
});
