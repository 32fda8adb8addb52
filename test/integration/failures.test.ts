// Receivers that are down, busy, gone or strange: what is retried, what is paused, what is parked and how
// an operator gets it out again; always under the same id, and no more often than the failure explains.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Dovecot, startDovecot } from "../support/dovecot.ts";
import { type Scene, openScene } from "../support/scene.ts";

let server: Dovecot;
beforeAll(async () => {
  server = await startDovecot();
});
afterAll(async () => {
  await server.stop();
});

/** What `parked list --json` prints. */
interface ParkedRow {
  event_id: string;
  destination: string;
  mailbox: string;
  uid: number;
  attempts: number;
  parked_at: string;
  reason: string;
}

const parkedRows = async ({ daemon }: Scene): Promise<ParkedRow[]> =>
  JSON.parse((await daemon.cli("parked", "list", "--json")).out) as ParkedRow[];

const idsAndAttempts = ({ receiver }: Scene): string[] =>
  receiver.requests.map(({ id, attempt }) => `${id} ${attempt}`);

describe("a receiver that is down", () => {
  test("gets everything under the same ids once it is back", async () => {
    await using scene = await openScene(server);
    const { daemon, receiver } = scene;
    await receiver.stop();
    await scene.deliverSubjects("one", "two", "three");
    await daemon.waitForEvent("cycle.finished", ({ taken }) => taken === 3);
    await expect
      .poll(async () => (await daemon.status()).mailboxes[0]?.spool)
      .toEqual({ waiting: 3, parked: 0 });
    const failed = daemon.events("delivery.failed");
    expect(failed.slice(0, 3)).toMatchObject(
      [1, 1, 1].map((attempt) => ({ level: "warn", class: "refused", attempt })),
    );
    expect((await daemon.readyz()).status).toBe(200);
    await receiver.restart();
    const events = await scene.posted(3, 60_000);
    expect(events.map(({ data }) => data.subject).toSorted()).toEqual(["one", "three", "two"]);
    const ids = receiver.requests.map(({ id }) => id);
    expect(ids.toSorted()).toEqual(
      failed
        .slice(0, 3)
        .map((line) => line["event_id"])
        .toSorted(),
    );
    expect(receiver.requests.every(({ attempt, verified }) => verified && attempt >= 2)).toBe(true);
    await expect
      .poll(async () => (await daemon.status()).mailboxes[0]?.counts["delivered"])
      .toBe(3);
  });

  test("opens its breaker after five failures, and a restart of the daemon loses nothing", async () => {
    await using scene = await openScene(server);
    const { daemon, receiver } = scene;
    await receiver.stop();
    await scene.deliverSubjects(..."abcdefgh");
    await daemon.waitForEvent("delivery.breaker_opened");
    expect((await daemon.status()).destinations).toMatchObject([
      { id: "default", breaker: "open" },
    ]);
    await daemon.stop();
    await receiver.restart();
    await daemon.start();
    const events = await scene.posted(8, 60_000);
    expect(events.map(({ data }) => data.subject).toSorted()).toEqual([..."abcdefgh"]);
  });

  test("is asked again after a lost reply, with the same id and the next attempt", async () => {
    await using scene = await openScene(server, {
      answer: (_request, n) => (n === 1 ? { dropAfterRead: true } : {}),
    });
    await scene.deliverSubjects("lost reply");
    await scene.posted(2);
    const [first, second] = scene.receiver.requests;
    expect([first?.attempt, second?.attempt]).toEqual([1, 2]);
    expect(second).toMatchObject({ id: first?.id, body: first?.body, fence: first?.fence });
    expect(scene.daemon.events("delivery.failed")).toMatchObject([{ class: "reset" }]);
  });
});

describe("answers", () => {
  test("429 with Retry-After pauses the destination and uses no attempt", async () => {
    await using scene = await openScene(server, {
      answer: (_request, n) => (n === 1 ? { status: 429, headers: { "retry-after": "2" } } : {}),
      webhook: { max_attempts: 1 },
    });
    await scene.deliverSubjects("first");
    await scene.receiver.waitFor(1, 10_000);
    await scene.deliverSubjects("second");
    await scene.posted(3);
    const [refused, ...later] = scene.receiver.requests;
    // With one attempt allowed, a counted one would have parked it.
    expect(later.map(({ id }) => id)).toContain(refused?.id);
    for (const { atMs } of later) expect(atMs - (refused?.atMs ?? 0)).toBeGreaterThan(1900);
    await expect
      .poll(async () => (await scene.daemon.status()).mailboxes[0]?.counts["delivered"])
      .toBe(2);
    expect(await parkedRows(scene)).toEqual([]);
    expect(scene.daemon.events("delivery.failed")).toEqual([]);
  });

  test("404 parks at once; it is listed, shown, and sent again by a replay at once", async () => {
    let isMended = false;
    await using scene = await openScene(server, {
      answer: () => (isMended ? {} : { status: 404 }),
    });
    const { daemon, receiver } = scene;
    await scene.deliverSubjects("Private-Words");
    await daemon.waitForEvent("delivery.parked", ({ reason }) => reason === "http_4xx");
    await expect.poll(() => parkedRows(scene)).toHaveLength(1);
    const [row] = await parkedRows(scene);
    const id = receiver.requests[0]?.id ?? "";
    expect(row).toMatchObject({ event_id: id, destination: "default", mailbox: "default" });
    expect(row).toMatchObject({ uid: 1, attempts: 1, reason: "http_4xx" });
    const shown = await daemon.cli("parked", "show", id);
    expect(shown.out).toContain(id);
    expect(shown.out).not.toContain("Private-Words");
    expect((await daemon.cli("parked", "show", id, "--payload")).out).toContain("Private-Words");

    isMended = true;
    expect((await daemon.cli("parked", "replay", id)).code).toBe(0);
    // Left to itself the spool would sleep on for half a minute.
    await receiver.waitFor(2, 5000);
    expect(idsAndAttempts(scene)).toEqual([`${id} 1`, `${id} 2`]);
    await expect.poll(() => parkedRows(scene)).toEqual([]);
    await expect
      .poll(async () => (await daemon.status()).mailboxes[0]?.counts)
      .toMatchObject({ delivered: 1, parked: 0 });
  });

  test("302 is not followed and parks as a redirect, and a dropped one stays settled", async () => {
    await using scene = await openScene(server, {
      answer: ({ path }) =>
        path === "/hook" ? { status: 302, headers: { location: "/there" } } : {},
    });
    await scene.deliverSubjects("moved");
    await scene.daemon.waitForEvent("delivery.parked", ({ reason }) => reason === "redirect");
    await expect.poll(() => parkedRows(scene)).toMatchObject([{ reason: "redirect", attempts: 1 }]);
    const [row] = await parkedRows(scene);
    expect((await scene.daemon.cli("parked", "drop", row?.event_id ?? "")).code).toBe(0);
    expect(await parkedRows(scene)).toEqual([]);
    await scene.daemon.stop();
    await scene.daemon.start();
    await scene.daemon.waitForNext("mailbox.state");
    expect(scene.receiver.requests.map(({ path }) => path)).toEqual(["/hook"]);
  });

  test.each([
    ["a body without end", { endlessBody: true }],
    ["a body that never comes", { stalledBody: true }],
    ["no content", { status: 204 }],
  ])("2xx with %s is a success", async (_title, answer) => {
    await using scene = await openScene(server, {
      answer: (_request, n) => (n === 1 ? answer : {}),
      webhook: { timeout_seconds: 2 },
    });
    await scene.deliverSubjects("first");
    await scene.daemon.waitForEvent("message.delivered");
    await scene.deliverSubjects("second");
    await scene.posted(2);
    expect(scene.receiver.requests.map(({ attempt }) => attempt)).toEqual([1, 1]);
  });

  test("no answer within the time allowed is a timeout that is tried again", async () => {
    await using scene = await openScene(server, {
      answer: (_request, n) => (n === 1 ? { hang: true } : {}),
      webhook: { timeout_seconds: 1 },
    });
    await scene.deliverSubjects("slow");
    await scene.posted(2);
    expect(scene.daemon.events("delivery.failed")).toMatchObject([{ class: "timeout" }]);
    expect(idsAndAttempts(scene)[1]).toBe(`${scene.receiver.requests[0]?.id} 2`);
  });

  test("a rule's address that is never sent to is refused with its rule, and the mail goes on", async () => {
    const rule = {
      id: "inside",
      conditions: [{ field: "sender", operator: "contains", value: "@" }],
      actions: { webhook_url: "https://169.254.169.254/latest", stop_processing: true },
    };
    await using scene = await openScene(server, { settings: { rules: [rule] } });
    await scene.daemon.waitForEvent("config.rule_refused", (line) => line["rule"] === "inside");
    await scene.deliverSubjects("into the house");
    await scene.posted(1);
    expect(scene.receiver.requests[0]?.destination).toBe("default");
  });
});
