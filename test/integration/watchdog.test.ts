// What hangs, and what is taken away: a wedged event loop, a stopped process, a mail server that falls
// silent or goes, a lock file that is deleted or replaced. The daemon says so, ends itself where nothing
// else helps, and otherwise comes back by itself with nothing lost. Tests of one group run side by side,
// because most of them wait.
// @module-tag resilience
import { rmSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type TestDaemon, createTestDaemon } from "../support/daemon.ts";
import { deliveriesOf, messagesFor, subjects, until } from "../support/deliveries.ts";
import { type Dovecot, startDovecot } from "../support/dovecot.ts";
import { startContender } from "../support/lock-contender.ts";
import { openScene } from "../support/scene.ts";

/** Longer than a wedged event loop is tolerated. */
const LONG_PAUSE_MS = 32_000;

let server: Dovecot;

beforeAll(async () => {
  server = await startDovecot();
});
afterAll(async () => {
  await server.stop();
});

const says = (daemon: TestDaemon, word: string, timeoutMs?: number): Promise<void> =>
  until(
    `/readyz says ${word}`,
    async () => (await daemon.readyz()).body.mailboxes["default"] === word,
    timeoutMs,
  );

/** Code in the daemon's process that stops its event loop for good when SIGUSR2 comes. */
const WEDGE = {
  NODE_OPTIONS: "--import=data:text/javascript,process.once('SIGUSR2',()=>{for(;;);})",
};

describe.concurrent("a process", () => {
  test("whose event loop is wedged ends with 70, and the next one loses nothing", async () => {
    await using scene = await openScene(server, { start: false });
    const { daemon } = scene;
    await daemon.start(WEDGE);
    await daemon.waitForEvent("mailbox.first_contact");
    daemon.kill("SIGUSR2");
    await scene.deliver(...messagesFor(["meanwhile"]));
    expect(await daemon.exit).toEqual({ code: 70, signal: null });
    expect(daemon.stderr()).toContain('"event":"daemon.wedged"');
    await daemon.start();
    const [event] = await scene.posted(1);
    expect(event?.data.subject).toBe("meanwhile");
  });

  test("that was stopped for long goes on as if nothing had been", async () => {
    await using scene = await openScene(server);
    const { daemon } = scene;
    daemon.kill("SIGSTOP");
    await scene.deliver(...messagesFor(["meanwhile"]));
    await sleep(LONG_PAUSE_MS);
    daemon.kill("SIGCONT");
    await scene.posted(1);
    expect(daemon.events("lock.acquired")).toHaveLength(1);
    expect(daemon.events("lock.lost")).toEqual([]);
    expect((await daemon.stop()).code).toBe(0);
  });
});

describe.concurrent("a mail server", () => {
  test("that never greets is unreachable, and is used as soon as it answers", async () => {
    await using mute = await startDovecot();
    await using scene = await openScene(mute, { start: false });
    const { daemon } = scene;
    mute.pause();
    await daemon.start();
    const failed = await daemon.waitForEvent("mailbox.failed", () => true, 45_000);
    expect(failed).toMatchObject({ failure: "unreachable" });
    await says(daemon, "unreachable");
    expect((await daemon.readyz()).status).toBe(503);
    mute.continue();
    await says(daemon, "polling", 45_000);
    await scene.deliver(...messagesFor(["after"]));
    await scene.posted(1);
  });

  test("that falls silent under an open connection is waited for, without another log-in", async () => {
    await using silent = await startDovecot();
    await using scene = await openScene(silent);
    const { daemon } = scene;
    await says(daemon, "polling");
    silent.pause();
    await scene.deliver(...messagesFor(["meanwhile"]));
    await sleep(10_000);
    expect(
      (await daemon.metrics()).match(/^signalpost_last_proof_age_seconds\S* (\d+)/m)?.[1],
    ).toMatch(/^(8|9|1\d)$/);
    silent.continue();
    await scene.posted(1);
    await says(daemon, "polling");
    expect(daemon.events("mailbox.connected")).toHaveLength(1);
  });

  test("that is gone is unreachable, and nothing is lost when it comes back", async () => {
    await using leaving = await startDovecot();
    await using scene = await openScene(leaving);
    const { daemon } = scene;
    await leaving.shutDown();
    await says(daemon, "unreachable");
    expect((await daemon.readyz()).status).toBe(503);
    await scene.deliver(...messagesFor(["meanwhile"]));
    await leaving.start();
    await scene.posted(1, 60_000);
    await says(daemon, "polling");
    const failures = daemon.events("mailbox.failed");
    expect(failures.length).toBeLessThan(20);
  });
});

describe.concurrent("a lock file", () => {
  test("that is deleted ends the lease, and the mailbox is taken again under a newer fence", async () => {
    await using scene = await openScene(server);
    const { daemon, receiver } = scene;
    await scene.deliver(...messagesFor(["before"]));
    await scene.posted(1);
    rmSync(daemon.lockFile);
    const lost = await daemon.waitForEvent("lock.lost");
    expect(lost).toMatchObject({ level: "error", reason: "lock_file_replaced" });
    await scene.deliver(...messagesFor(["after"]));
    await scene.posted(2);
    const [before, after] = receiver.requests;
    expect(after?.fence).toBeGreaterThan(before?.fence ?? Infinity);
    await says(daemon, "polling");
    expect(daemon.events("lock.acquired")).toHaveLength(2);
  });

  test("that another process replaced and holds keeps the daemon off until it is free", async () => {
    await using scene = await openScene(server);
    const { daemon, receiver } = scene;
    const other = startContender(daemon.lockFile);
    rmSync(daemon.lockFile);
    writeFileSync(daemon.lockFile, "");
    expect(await other.ask("acquire")).toMatchObject({ kind: "held" });
    await daemon.waitForEvent("lock.lost");
    await says(daemon, "standby");
    await scene.deliver(...messagesFor(["meanwhile"]));
    await sleep(2500);
    expect(receiver.requests).toEqual([]);
    await other.kill("SIGKILL");
    await scene.posted(1);
    await says(daemon, "polling");
  });

  test("that a second daemon took ends the work of the first, which commits nothing any more", async () => {
    const names = subjects(10);
    let isHanging = true;
    await using scene = await openScene(server, {
      mailbox: { start_from: "beginning" },
      answer: () => ({ hang: isHanging }),
      before: (user) => server.deliver(user, messagesFor(names)),
      start: false,
    });
    const { daemon: first, receiver, user } = scene;
    await using second = createTestDaemon({
      mailboxes: [{ port: server.port, user, password: server.password }],
      webhook: { url: receiver.url },
      shareWith: first,
    });
    await first.start();
    await receiver.waitFor(names.length, 20_000);
    isHanging = false;
    rmSync(first.lockFile);
    await second.start();
    await until("the second settles all", async () => {
      const [mailbox] = (await second.status()).mailboxes;
      return mailbox?.counts["delivered"] === names.length;
    });
    // Its own requests still hang: what the other one writes makes it look.
    await first.waitForEvent("lock.lost");
    await says(first, "standby");
    const all = deliveriesOf(receiver.requests);
    expect([all.missing(names), all.torn, all.most]).toEqual([[], [], 2]);
    expect(first.events("message.delivered")).toEqual([]);

    await second.stop();
    await scene.deliver(...messagesFor(["later"]));
    await receiver.waitFor(2 * names.length + 1, 45_000);
    await says(first, "polling");
    expect(first.events("lock.acquired")).toHaveLength(2);
  });
});
