// Messages with two destinations, a rule's and the default: each is attempted, retried and parked on its
// own, so that a dead one costs the other nothing. Both carry one id; a header tells them apart.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { WEBHOOK_SECRET } from "../support/daemon-config.ts";
import { type Dovecot, startDovecot } from "../support/dovecot.ts";
import { type ReceivedRequest, type ReceiverAnswer, startReceiver } from "../support/receiver.ts";
import { type Scene, openScene } from "../support/scene.ts";

let server: Dovecot;
beforeAll(async () => {
  server = await startDovecot();
});
afterAll(async () => {
  await server.stop();
});

/** A rule that everything matches; its URL lies at the host that the default URL opened. */
const ruleFor = ({ receiver }: Scene, actions: Readonly<Record<string, unknown>> = {}) => ({
  id: "copy",
  name: "Copies",
  conditions: [{ field: "sender", operator: "contains", value: "@" }],
  actions: { webhook_url: new URL("/copy", receiver.url).href, priority: "high", ...actions },
});

const to = ({ receiver }: Scene, destination: string): ReceivedRequest[] =>
  receiver.requests.filter((request) => request.destination === destination);

/** A scene whose mail goes to `/copy` and `/hook`; `answer` is the one of `/copy`. */
const openPair = async (
  answer: (n: number) => ReceiverAnswer,
  more: { webhook?: Record<string, unknown>; actions?: Record<string, unknown> } = {},
): Promise<Scene> => {
  let copies = 0;
  const scene = await openScene(server, {
    answer: ({ path }) => {
      if (path !== "/copy") return {};
      copies += 1;
      return answer(copies);
    },
    webhook: more.webhook ?? {},
    start: false,
  });
  scene.daemon.writeConfig({ rules: [ruleFor(scene, more.actions)] });
  await scene.daemon.start();
  await scene.daemon.waitForEvent("mailbox.first_contact");
  return scene;
};

describe("two destinations", () => {
  test("both get every message, under one id and with one body", async () => {
    await using scene = await openPair(() => ({}));
    await scene.deliverSubjects("one", "two");
    const [event] = await scene.posted(4);
    expect(event?.data["rule"]).toEqual({ id: "copy", name: "Copies", priority: "high" });
    const [copies, hooks] = [to(scene, "rule-copy"), to(scene, "default")];
    const content = ({ id, body }: ReceivedRequest): string => `${id} ${body}`;
    expect(copies.map(content).toSorted()).toEqual(hooks.map(content).toSorted());
    expect(new Set(hooks.map(({ id }) => id)).size).toBe(2);
    expect(copies.map(({ path }) => path)).toEqual(["/copy", "/copy"]);
    expect(scene.receiver.requests.every(({ verified }) => verified)).toBe(true);
  });

  test("while one is down the other gets all, and the one that was down gets them later", async () => {
    const other = await startReceiver({ secrets: [WEBHOOK_SECRET] });
    await using owned = new AsyncDisposableStack();
    owned.defer(() => other.stop());
    await using scene = await openPair(() => ({}), { actions: { webhook_url: other.url } });
    const { daemon, receiver } = scene;
    await other.stop();
    await scene.deliverSubjects(..."abcdefgh");
    const opened = await daemon.waitForEvent("delivery.breaker_opened");
    expect(opened["destination"]).toBe("rule-copy");
    await scene.posted(8);
    // From now on the broken one is not even tried, so that it can hold up nothing.
    await scene.deliverSubjects("i");
    await scene.posted(9);
    await expect
      .poll(async () => new Map((await daemon.status()).destinations.map((one) => [one.id, one])))
      .toEqual(
        new Map([
          ["default", { id: "default", breaker: "closed", waiting: 0, parked: 0 }],
          ["rule-copy", { id: "rule-copy", breaker: "open", waiting: 9, parked: 0 }],
        ]),
      );
    expect((await daemon.readyz()).status).toBe(200);

    await other.restart();
    // A fresh process has no breaker yet, which saves half a minute of waiting for the probe.
    await daemon.stop();
    await daemon.start();
    await other.waitFor(9, 40_000);
    await expect
      .poll(async () => (await daemon.status()).mailboxes[0]?.counts["delivered"])
      .toBe(9);
    const ids = (requests: readonly ReceivedRequest[]) => requests.map(({ id }) => id).toSorted();
    expect(ids(other.requests)).toEqual(ids(receiver.requests));
    expect(new Set(other.requests.map(({ destination }) => destination))).toEqual(
      new Set(["rule-copy"]),
    );
    expect(receiver.requests.every(({ attempt }) => attempt === 1)).toBe(true);
    expect(receiver.requests).toHaveLength(9);
  });

  test("one that never answers holds up the other by its time limit at most", async () => {
    await using scene = await openPair(() => ({ hang: true }), { webhook: { timeout_seconds: 1 } });
    await scene.deliverSubjects("first");
    await expect.poll(() => to(scene, "default")).toHaveLength(1);
    await scene.deliverSubjects("second");
    await expect.poll(() => to(scene, "default"), { timeout: 5000 }).toHaveLength(2);
    const [receipt] = JSON.parse((await scene.daemon.cli("receipts", "--uid", "1", "--json")).out);
    expect(receipt).toMatchObject({
      outcome: "spooled",
      pairs: expect.arrayContaining([
        expect.objectContaining({ destination: "default", state: "delivered" }),
        expect.objectContaining({ destination: "rule-copy", state: "waiting", reason: "timeout" }),
      ]),
    });
  });

  test("one that refuses for good is parked alone, and replayed alone", async () => {
    await using scene = await openPair((n) => (n === 1 ? { status: 410 } : {}));
    const { daemon } = scene;
    await scene.deliverSubjects("refused once");
    await daemon.waitForEvent("delivery.parked", (line) => line["destination"] === "rule-copy");
    await expect
      .poll(async () => (await daemon.status()).mailboxes[0]?.spool)
      .toEqual({ waiting: 0, parked: 1 });
    expect(to(scene, "default")).toHaveLength(1);
    expect((await daemon.cli("parked", "replay", "--all")).code).toBe(0);
    await expect.poll(() => to(scene, "rule-copy")).toHaveLength(2);
    const [first, second] = to(scene, "rule-copy");
    expect(second).toMatchObject({ id: first?.id, attempt: 2 });
    expect(to(scene, "default")).toHaveLength(1);
  });

  test("stop_processing takes the default away", async () => {
    await using scene = await openPair(() => ({}), { actions: { stop_processing: true } });
    await scene.deliverSubjects("one");
    await scene.daemon.waitForEvent("message.delivered");
    expect(scene.receiver.requests.map(({ destination }) => destination)).toEqual(["rule-copy"]);
  });

  test("a rule that is taken away while its mail is kept leaves it as destination_gone", async () => {
    await using scene = await openPair(() => ({ status: 410 }));
    const { daemon } = scene;
    await scene.deliverSubjects("orphan");
    await daemon.waitForEvent("delivery.parked", ({ reason }) => reason === "http_4xx");
    daemon.writeConfig({ rules: [] });
    await daemon.waitForEvent("config.reloaded", ({ rules }) => rules === 0);
    expect((await daemon.cli("parked", "replay", "--all")).code).toBe(0);
    await daemon.waitForEvent("delivery.parked", ({ reason }) => reason === "destination_gone");
    const rows = JSON.parse((await daemon.cli("parked", "list", "--json")).out);
    expect(rows).toMatchObject([{ destination: "rule-copy", reason: "destination_gone" }]);
    expect(to(scene, "rule-copy")).toHaveLength(1);
  });
});
