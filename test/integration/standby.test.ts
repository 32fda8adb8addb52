// Two daemons with one lock file and one data directory: one polls, the other stands by and takes over
// when the first ends, however it ends. Nothing is sent twice and nothing is lost.
import { afterAll, beforeAll, expect, test } from "vitest";
import { type TestDaemon, createTestDaemon } from "../support/daemon.ts";
import { type Dovecot, startDovecot } from "../support/dovecot.ts";
import { type Scene, openScene } from "../support/scene.ts";

let server: Dovecot;
beforeAll(async () => {
  server = await startDovecot();
});
afterAll(async () => {
  await server.stop();
});

const secondTo = ({ daemon, receiver, user }: Scene): TestDaemon =>
  createTestDaemon({
    mailboxes: [{ port: server.port, user, password: server.password }],
    webhook: { url: receiver.url },
    shareWith: daemon,
  });

test.each(["SIGTERM", "SIGKILL"] as const)(
  "the second stands by with one warning and takes over after %s",
  async (signal) => {
    await using scene = await openScene(server);
    await using second = secondTo(scene);
    const { daemon: first } = scene;
    await second.start();
    const refused = await second.waitForEvent("lock.refused");
    expect(refused).toMatchObject({ level: "warn", mailbox: "default", reason: "held_by_other" });
    await expect
      .poll(() => second.readyz())
      .toEqual({
        status: 200,
        body: { status: "ready", mailboxes: { default: "standby" } },
      });
    await scene.deliverSubjects("to the first");
    await scene.posted(1);
    await first.waitForEvent("message.delivered");
    const { mailboxes } = await second.status();
    expect(mailboxes[0]).toMatchObject({ state: "standby", counts: { delivered: 1 } });
    expect(second.events("mailbox.connected")).toEqual([]);

    first.kill(signal);
    await first.exit;
    await scene.deliverSubjects("to the second");
    await second.waitForEvent("lock.acquired");
    const events = await scene.posted(2);
    expect(events.map(({ data }) => data.subject)).toEqual(["to the first", "to the second"]);
    const [before, after] = scene.receiver.requests;
    expect(after?.fence).toBeGreaterThan(before?.fence ?? Infinity);
    expect(second.events("lock.refused")).toHaveLength(1);
    expect(second.events("mailbox.first_contact")).toEqual([]);
    await second.stop();
    expect(scene.receiver.requests).toHaveLength(2);
  },
);
