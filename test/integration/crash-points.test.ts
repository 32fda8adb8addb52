// The process dies at each named point of a message's life and is started again: nothing is lost, every
// repeat has the id of the first, and only what was in flight is repeated. Real Dovecot, real receiver,
// the shipped daemon.
// @module-tag resilience
import { afterAll, beforeAll, expect, test } from "vitest";
import type { TestDaemon } from "../support/daemon.ts";
import { deliveriesOf, messagesFor, subjects, until } from "../support/deliveries.ts";
import { type Dovecot, startDovecot } from "../support/dovecot.ts";
import { type Scene, type SceneOptions, openScene } from "../support/scene.ts";

/** More than one batch, so that a second one follows the point. */
const NAMES = subjects(100);
const BATCH = 64;

let server: Dovecot;

beforeAll(async () => {
  server = await startDovecot();
});
afterAll(async () => {
  await server.stop();
});

/** A scene with all messages in the folder, and its daemon not started yet. */
const sceneBefore = (options: SceneOptions = {}): Promise<Scene> =>
  openScene(server, {
    ...options,
    mailbox: { start_from: "beginning", ...options.mailbox },
    before: (user) => server.deliver(user, messagesFor(NAMES)),
    start: false,
  });

/** Runs the daemon until it dies at `point`; how many requests it had made by then. */
const crashAt = async (point: string, { daemon, receiver }: Scene): Promise<number> => {
  const end = await daemon.startAndEnd({ SIGNALPOST_CRASH_AT: point });
  expect(end).toEqual({ code: null, signal: "SIGKILL" });
  return receiver.requests.length;
};

/** Starts it again and waits until everything is settled. */
const settled = async (daemon: TestDaemon): Promise<void> => {
  await daemon.start();
  await until("every message is delivered", async () => {
    const [mailbox] = (await daemon.status()).mailboxes;
    return mailbox?.counts["delivered"] === NAMES.length && mailbox.spool.waiting === 0;
  });
};

test.each(["after-fetch", "after-webhook", "after-webhook:30"])(
  "a death at %s repeats what was in flight and loses nothing",
  async (point) => {
    await using scene = await sceneBefore();
    const before = await crashAt(point, scene);
    await settled(scene.daemon);
    const all = deliveriesOf(scene.receiver.requests);
    expect(all.missing(NAMES)).toEqual([]);
    expect(all.torn).toEqual([]);
    expect(all.most).toBeLessThanOrEqual(2);
    expect(all.repeats).toBeLessThanOrEqual(Math.min(before, BATCH));
    // Whether anything was sent by the time the last part was read is chance.
    expect(before).toBeGreaterThanOrEqual(point === "after-fetch" ? 0 : 1);
  },
);

test.each(["after-commit", "after-commit:2"])(
  "a death at %s repeats nothing and loses nothing",
  async (point) => {
    await using scene = await sceneBefore();
    const before = await crashAt(point, scene);
    expect(before).toBeGreaterThanOrEqual(BATCH);
    await settled(scene.daemon);
    const all = deliveriesOf(scene.receiver.requests);
    expect([all.missing(NAMES), all.torn, all.repeats]).toEqual([[], [], 0]);
  },
);

test("a death inside the spool's transaction leaves no half of it behind", async () => {
  let isDown = true;
  const answer = () => ({ status: isDown ? 503 : 200 });
  await using scene = await sceneBefore({ answer });
  const { daemon, receiver } = scene;
  const before = await crashAt("after-spool", scene);
  expect(before).toBeGreaterThan(0);
  const { code, out } = await daemon.cli("receipts", "--json");
  expect([code, JSON.parse(out)]).toEqual([0, []]);
  isDown = false;
  await settled(daemon);
  const accepted = deliveriesOf(receiver.requests.slice(before));
  expect([accepted.missing(NAMES), accepted.torn, accepted.repeats]).toEqual([[], [], 0]);
  expect(deliveriesOf(receiver.requests).torn).toEqual([]);
});

test("a death after the flag was set repeats nothing and leaves no message without its flag", async () => {
  await using scene = await sceneBefore({ mailbox: { after_delivery: "mark_seen" } });
  await crashAt("after-flag", scene);
  await settled(scene.daemon);
  const client = await scene.client();
  await until("every message is seen", async () => {
    const [found = ""] = await client.command("UID SEARCH UNSEEN");
    return found === "* SEARCH";
  });
  client.close();
  const all = deliveriesOf(scene.receiver.requests);
  expect([all.missing(NAMES), all.torn, all.repeats]).toEqual([[], [], 0]);
});

test("a point that does not exist is a clear error", async () => {
  await using scene = await openScene(server, { start: false });
  const { daemon } = scene;
  for (const point of ["after-lunch", "after-fetch:0", "after-fetch:x"]) {
    expect((await daemon.startAndEnd({ SIGNALPOST_CRASH_AT: point })).code).toBe(78);
  }
  expect(daemon.stderr()).toContain("SIGNALPOST_CRASH_AT");
  expect(daemon.stderr()).toContain("after-fetch, after-webhook, after-spool");
  expect(daemon.lines).toEqual([]);
});
