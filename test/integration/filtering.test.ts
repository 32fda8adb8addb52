// What is settled without a webhook: by sender, as a reply, by a rule, as one of a subject group. The
// reason is on record, the body was never fetched, and an operator can have any of it sent after all.
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Dovecot, startDovecot } from "../support/dovecot.ts";
import * as mail from "../support/mail.ts";
import { startRelay } from "../support/relay.ts";
import { type Scene, openScene } from "../support/scene.ts";

const BODY_BYTES = 300_000;
const MALLORY = '"ann@example.com" <mallory@example.net>';

let server: Dovecot;
beforeAll(async () => {
  server = await startDovecot();
});
afterAll(async () => {
  await server.stop();
});

interface ShownReceipt {
  uid: number;
  event_id: string;
  outcome: string;
  reason: string | null;
  pairs: readonly { destination: string; state: string; attempts: number }[];
}

const receiptsOf = async ({ daemon }: Scene): Promise<Map<number, ShownReceipt>> => {
  const rows = JSON.parse((await daemon.cli("receipts", "--json")).out) as ShownReceipt[];
  return new Map(rows.map((row) => [row.uid, row]));
};

const big = (subject: string, from?: string): Buffer =>
  mail.plainMessage(
    "x"
      .repeat(70)
      .concat("\n")
      .repeat(BODY_BYTES / 71),
    {
      subject,
      ...(from === undefined ? {} : { from }),
    },
  );

const FILTERS = {
  polling: {
    sender_of_interest_for_polling: ["Ann@Example.com"],
    skip_replies: true,
    enable_subject_group_dedup: true,
  },
  rules: [
    {
      id: "noise",
      conditions: [{ field: "subject", operator: "contains", value: "newsletter" }],
      actions: { drop: true },
    },
    {
      id: "unwanted",
      conditions: [{ field: "body", operator: "contains", value: "unsubscribe" }],
      actions: { drop: true },
    },
  ],
};

test("each filter settles its mail with its reason, and what the envelope tells is not fetched", async () => {
  await using relay = await startRelay(server.port);
  await using scene = await openScene(server, {
    mailbox: { port: relay.port },
    settings: FILTERS,
  });
  await scene.deliver(
    mail.plainMessage("wanted", { subject: "Report, lot 7" }),
    big("From somebody else", MALLORY),
    big("Re: Report"),
    big("Your NewsLetter of today"),
    big("Confirmation: other words, Lot 7"),
    mail.plainMessage("click here to unsubscribe", { subject: "Bait" }),
  );
  await expect
    .poll(async () => (await scene.daemon.status()).mailboxes[0]?.settled_up_to, {
      timeout: 20_000,
    })
    .toBe(6);
  const [event] = await scene.posted(1);
  expect(event?.data).toMatchObject({ uid: 1, subject: "Report, lot 7" });
  expect(scene.receiver.requests).toHaveLength(1);
  const receipts = await receiptsOf(scene);
  const told = [1, 2, 3, 4, 5, 6].map((uid) => {
    const { outcome, reason } = receipts.get(uid) ?? {};
    return [outcome, reason];
  });
  expect(told).toEqual([
    ["delivered", null],
    ["filtered", "sender"],
    // A reply to begin with: the group of its subject is not asked.
    ["filtered", "reply"],
    ["filtered", "rule_drop"],
    ["filtered", "reply"],
    ["filtered", "rule_drop"],
  ]);
  expect(relay.bytesDown()).toBeLessThan(BODY_BYTES / 5);
  expect((await scene.daemon.status()).mailboxes[0]?.counts).toMatchObject({
    delivered: 1,
    filtered: 5,
  });
  const text = (await scene.daemon.cli("receipts", "--uid", "2")).out;
  expect(text).toContain("sender_of_interest_for_polling");
  expect(text).not.toContain("mallory");
});

test("of a subject group one message is sent, in one batch or over a restart", async () => {
  await using scene = await openScene(server, {
    settings: { polling: { enable_subject_group_dedup: true } },
  });
  const subjects = ["Lot 12 ready", "Re: lot 12", "Lot 13", "No lot", "no  LÔT", "LOT 12 again"];
  await scene.deliverSubjects(...subjects);
  await expect
    .poll(async () => (await scene.daemon.status()).mailboxes[0]?.settled_up_to)
    .toBe(subjects.length);
  await scene.daemon.stop();
  await scene.deliverSubjects("lot 12, once more", "something new");
  await scene.daemon.start();
  const events = await scene.posted(4);
  expect(events.map(({ data }) => data.uid).toSorted((a, b) => a - b)).toEqual([1, 3, 4, 8]);
  const receipts = await receiptsOf(scene);
  for (const uid of [2, 5, 6, 7]) {
    expect(receipts.get(uid)).toMatchObject({ outcome: "filtered", reason: "subject_group" });
  }
});

test("redeliver sends a filtered and a delivered one again, same id, attempts going on", async () => {
  await using scene = await openScene(server, { settings: FILTERS });
  const { daemon, receiver } = scene;
  await scene.deliver(
    mail.plainMessage("wanted", { subject: "Report" }),
    mail.plainMessage("not wanted", { subject: "A newsletter", from: MALLORY }),
  );
  await expect.poll(async () => (await daemon.status()).mailboxes[0]?.settled_up_to).toBe(2);
  const before = await receiptsOf(scene);
  expect(before.get(2)).toMatchObject({ outcome: "filtered", reason: "sender" });
  expect((await daemon.cli("redeliver", "default", "1", "2")).code).toBe(0);
  await receiver.waitFor(3, 20_000);
  const sent = receiver.requests.map(({ id, attempt }) => [id, attempt]);
  expect(sent.slice(1).toSorted()).toEqual(
    [
      [before.get(1)?.event_id, 2],
      [before.get(2)?.event_id, 1],
    ].toSorted(),
  );
  expect(sent[0]).toEqual([before.get(1)?.event_id, 1]);
  await expect
    .poll(async () => (await daemon.status()).mailboxes[0]?.counts)
    .toMatchObject({ delivered: 2, filtered: 0 });
  expect((await receiptsOf(scene)).get(1)?.pairs).toMatchObject([{ attempts: 2 }]);
  expect((await daemon.cli("redeliver", "nowhere", "1")).code).toBe(1);
});
