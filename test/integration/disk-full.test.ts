// The disk under the data directory is full: the daemon says so, sends nothing twice because of it, and
// goes on by itself when there is space again. Nothing is lost, also over a death in the middle of it.
// The disk is a small tmpfs, so these tests need root.
// @module-tag resilience
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { TestDaemon } from "../support/daemon.ts";
import { deliveriesOf, messagesFor, subjects, until } from "../support/deliveries.ts";
import { type Dovecot, startDovecot } from "../support/dovecot.ts";
import { openScene } from "../support/scene.ts";
import { mountSmallDisk } from "../support/small-disk.ts";

const DISK_BYTES = 8 * 1024 * 1024;

/** Long enough for several tries of a commit. */
const A_WHILE_MS = 4000;

let server: Dovecot;

beforeAll(async () => {
  server = await startDovecot();
});
afterAll(async () => {
  await server.stop();
});

/** A daemon whose state is on that disk. */
const onDisk = (dir: string) => ({ top: { data_dir: join(dir, "data") } });

const saysFailing = (daemon: TestDaemon): Promise<void> =>
  until("/readyz says commit_failing", async () => {
    const { status, body } = await daemon.readyz();
    return status === 503 && body.mailboxes["default"] === "commit_failing";
  });

const allSettled = (daemon: TestDaemon, count: number): Promise<void> =>
  until("every message is delivered", async () => {
    const [mailbox] = (await daemon.status()).mailboxes;
    return mailbox?.counts["delivered"] === count && mailbox.state === "polling";
  });

test("sends each message once while nothing can be committed, and goes on when there is space", async () => {
  using disk = mountSmallDisk(DISK_BYTES);
  await using scene = await openScene(server, { settings: onDisk(disk.dir) });
  const { daemon, receiver } = scene;
  const names = subjects(100);
  await scene.deliver(...messagesFor(names.slice(0, 10)));
  await allSettled(daemon, 10);

  disk.fill();
  await scene.deliver(...messagesFor(names.slice(10)));
  await saysFailing(daemon);
  await sleep(A_WHILE_MS);
  const full = deliveriesOf(receiver.requests);
  expect([full.repeats, full.torn]).toEqual([0, []]);
  expect(receiver.requests.length).toBeLessThanOrEqual(10 + 64);
  expect(daemon.events("commit.failed").length).toBeGreaterThan(1);

  disk.free();
  await allSettled(daemon, names.length);
  const all = deliveriesOf(receiver.requests);
  expect([all.missing(names), all.torn, all.repeats]).toEqual([[], [], 0]);
  expect((await daemon.stop()).code).toBe(0);
});

test("after a death on a full disk nothing is sent before there is space, and then once more", async () => {
  using disk = mountSmallDisk(DISK_BYTES);
  await using scene = await openScene(server, { settings: onDisk(disk.dir) });
  const { daemon, receiver } = scene;
  const names = subjects(30);
  disk.fill();
  await scene.deliver(...messagesFor(names));
  await saysFailing(daemon);
  daemon.kill("SIGKILL");
  await daemon.exit;
  const before = receiver.requests.length;
  expect(before).toBeGreaterThan(0);

  await daemon.start();
  await saysFailing(daemon);
  await sleep(A_WHILE_MS);
  expect(receiver.requests.length).toBe(before);

  disk.free();
  await allSettled(daemon, names.length);
  const all = deliveriesOf(receiver.requests);
  expect([all.missing(names), all.torn]).toEqual([[], []]);
  expect(all.most).toBeLessThanOrEqual(2);
  expect(all.repeats).toBeLessThanOrEqual(before);
});

test("what waits in the spool is sent once, however long it cannot be written down", async () => {
  using disk = mountSmallDisk(DISK_BYTES);
  let isDown = true;
  await using scene = await openScene(server, {
    settings: onDisk(disk.dir),
    answer: () => ({ status: isDown ? 503 : 200 }),
  });
  const { daemon, receiver } = scene;
  const names = subjects(3);
  await scene.deliver(...messagesFor(names));
  await until("everything waits", async () => {
    const [mailbox] = (await daemon.status()).mailboxes;
    return mailbox?.spool.waiting === names.length;
  });
  disk.fill();
  const before = receiver.requests.length;
  isDown = false;
  await receiver.waitFor(before + 1, 20_000);
  await saysFailing(daemon);
  await sleep(A_WHILE_MS);
  expect(deliveriesOf(receiver.requests.slice(before)).repeats).toBe(0);

  disk.free();
  await allSettled(daemon, names.length);
  const accepted = deliveriesOf(receiver.requests.slice(before));
  expect([accepted.missing(names), accepted.repeats]).toEqual([[], 0]);
  expect(deliveriesOf(receiver.requests).torn).toEqual([]);
});
