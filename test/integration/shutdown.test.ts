// What SIGTERM does, whenever it comes: the process ends with 0 within ten seconds, what was in flight
// is finished or sent again under the same id, nothing is lost, and the next start sees a clean stop.
// @module-tag resilience
import { DatabaseSync } from "node:sqlite";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { TestDaemon } from "../support/daemon.ts";
import { deliveriesOf, messagesFor, subjects, until } from "../support/deliveries.ts";
import { type Dovecot, startDovecot } from "../support/dovecot.ts";
import { startImapScript } from "../support/imap-script.ts";
import { openScene } from "../support/scene.ts";

const LIMIT_MS = 10_000;

let server: Dovecot;

beforeAll(async () => {
  server = await startDovecot();
});
afterAll(async () => {
  await server.stop();
});

/** SIGTERM; how the process ended, or `late` when it did not within its limit. */
const terminate = async (daemon: TestDaemon): Promise<unknown> => {
  const late = new AbortController();
  const limit = sleep(LIMIT_MS, "late", { signal: late.signal }).catch(() => "ended");
  const end = await Promise.race([daemon.stop(), limit]);
  late.abort();
  return end;
};

const CLEAN = { code: 0, signal: null };

/** Mailboxes whose mark says that somebody polls them. */
const marks = ({ dataDir }: TestDaemon): number => {
  const database = new DatabaseSync(join(dataDir, "signalpost.db"), { readOnly: true });
  const row = database.prepare("SELECT count(*) AS marks FROM runs").get();
  database.close();
  return Number(row?.["marks"]);
};

const allSettled = (daemon: TestDaemon, count: number): Promise<void> =>
  until("every message is delivered", async () => {
    const [mailbox] = (await daemon.status()).mailboxes;
    return mailbox?.counts["delivered"] === count;
  });

describe.concurrent("a stop in the middle of a batch", () => {
  const NAMES = subjects(100);

  test("finishes what is in flight, begins nothing new, and goes on after the next start", async () => {
    let delayMs = 1500;
    await using scene = await openScene(server, { answer: () => ({ delayMs }) });
    const { daemon, receiver } = scene;
    await scene.deliver(...messagesFor(NAMES));
    await receiver.waitFor(5, 20_000);
    expect(marks(daemon)).toBe(1);
    expect(await terminate(daemon)).toEqual(CLEAN);
    expect(marks(daemon)).toBe(0);
    expect(receiver.requests.length).toBeLessThan(NAMES.length);
    expect(daemon.events("lock.released")).toHaveLength(1);
    expect(daemon.events("daemon.stopped")).toHaveLength(1);
    delayMs = 0;
    await daemon.start();
    await allSettled(daemon, NAMES.length);
    const all = deliveriesOf(receiver.requests);
    expect([all.missing(NAMES), all.torn, all.repeats]).toEqual([[], [], 0]);
    expect(daemon.stderr()).toBe("");
  });

  test("cuts off a receiver that never answers, and sends the same again under the same id", async () => {
    let isHanging = true;
    await using scene = await openScene(server, { answer: () => ({ hang: isHanging }) });
    const { daemon, receiver } = scene;
    await scene.deliver(...messagesFor(NAMES));
    // The first look may have met only some of the messages.
    await receiver.waitFor(1, 20_000);
    expect(await terminate(daemon)).toEqual(CLEAN);
    expect(marks(daemon)).toBe(0);
    const before = receiver.requests.length;
    isHanging = false;
    await daemon.start();
    await allSettled(daemon, NAMES.length);
    const accepted = deliveriesOf(receiver.requests.slice(before));
    expect([accepted.missing(NAMES), accepted.repeats]).toEqual([[], 0]);
    expect(deliveriesOf(receiver.requests).torn).toEqual([]);
  });
});

describe.concurrent("a stop at another bad moment", () => {
  test("ends a spool that is being worked off, with nothing lost", async () => {
    const NAMES = subjects(20);
    let mode: "down" | "hanging" | "well" = "down";
    await using scene = await openScene(server, {
      answer: () => (mode === "down" ? { status: 503 } : { hang: mode === "hanging" }),
    });
    const { daemon, receiver } = scene;
    await scene.deliver(...messagesFor(NAMES));
    await until("everything waits", async () => {
      const [mailbox] = (await daemon.status()).mailboxes;
      return mailbox?.spool.waiting === NAMES.length;
    });
    mode = "hanging";
    await daemon.stop();
    const before = receiver.requests.length;
    await daemon.start();
    await receiver.waitFor(before + 1, 20_000);
    expect(await terminate(daemon)).toEqual(CLEAN);
    mode = "well";
    const count = receiver.requests.length;
    await daemon.start();
    await allSettled(daemon, NAMES.length);
    expect(deliveriesOf(receiver.requests.slice(count)).missing(NAMES)).toEqual([]);
    expect(deliveriesOf(receiver.requests).torn).toEqual([]);
  });

  test("waits for no mail server that says nothing", async () => {
    await using mute = await startImapScript({ greeting: null });
    await using scene = await openScene(server, { mailbox: { port: mute.port }, start: false });
    await scene.daemon.start();
    expect(await terminate(scene.daemon)).toEqual(CLEAN);
    expect(marks(scene.daemon)).toBe(0);
  });

  test("waits for no mail server that stopped in the middle of a command", async () => {
    await using deaf = await startImapScript({
      reply: ({ name }) => (name === "UID SEARCH" ? [] : undefined),
    });
    await using scene = await openScene(server, { mailbox: { port: deaf.port } });
    await until("the search is under way", () =>
      deaf.seen.some((line) => line.startsWith("UID SEARCH")),
    );
    expect(await terminate(scene.daemon)).toEqual(CLEAN);
    expect(marks(scene.daemon)).toBe(0);
  });

  test("may be asked for twice, and by SIGINT", async () => {
    await using scene = await openScene(server);
    scene.daemon.kill("SIGINT");
    scene.daemon.kill("SIGTERM");
    expect(await terminate(scene.daemon)).toEqual(CLEAN);
  });
});
