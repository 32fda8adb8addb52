// Twenty times kill -9 at moments that nobody chose, while two thousand messages arrive and the receiver
// is at times out of order. Nothing is lost, and every repeat has the id of the first. The seed names
// the moments, though not what the process is doing at each.
// @module-tag resilience
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { deliveriesOf, messagesFor, subjects, until } from "../support/deliveries.ts";
import { startDovecot } from "../support/dovecot.ts";
import type { ReceivedRequest } from "../support/receiver.ts";
import { openScene } from "../support/scene.ts";
import { createSeededRandom } from "../support/seeded-random.ts";

const SEED = 20_261_124;
const KILLS = 20;
const MESSAGES = 2000;

/** Each process has between nothing and this long to work before its death. */
const LONGEST_LIFE_MS = 1200;

test("loses none of 2,000 messages over 20 deaths, and repeats under the same id", async () => {
  await using server = await startDovecot();
  const random = createSeededRandom(SEED);
  const below = (limit: number): number => random.u32() % limit;
  const accepted: ReceivedRequest[] = [];
  let isUnsteady = true;
  await using scene = await openScene(server, {
    answer: (request, n) => {
      // Every 23rd request meets a receiver that is out of order, so that the spool has work too.
      if (isUnsteady && n % 23 === 0) return { status: 503 };
      accepted.push(request);
      return { delayMs: n % 7 };
    },
    settings: { logLevel: "info" },
  });
  const { daemon } = scene;

  const names = subjects(MESSAGES);
  const arrival = (async () => {
    for (let at = 0; at < MESSAGES;) {
      const size = 1 + below(40);
      await scene.deliver(...messagesFor(names.slice(at, at + size)));
      at += size;
      await sleep(below(500));
    }
  })();
  for (let kill = 0; kill < KILLS; kill += 1) {
    await sleep(below(LONGEST_LIFE_MS));
    daemon.kill("SIGKILL");
    await daemon.exit;
    await daemon.start();
  }
  await arrival;
  isUnsteady = false;
  await until(
    "the last message is accepted",
    () => deliveriesOf(accepted).missing(names).length === 0,
    60_000,
  );
  await until("the spool is empty", async () => {
    const [mailbox] = (await daemon.status()).mailboxes;
    return mailbox?.spool.waiting === 0 && mailbox.settled_up_to === MESSAGES;
  });

  const all = deliveriesOf(accepted);
  const reduced = daemon.events("message.reduced").length;
  console.log(
    `seed ${SEED}: ${KILLS} kills, ${MESSAGES} messages, ${all.repeats} accepted more than once, ` +
      `at most ${all.most} times; ${reduced} reduced`,
  );
  expect(all.missing(names)).toEqual([]);
  expect(deliveriesOf(scene.receiver.requests).torn).toEqual([]);
  expect(all.repeats).toBeLessThanOrEqual(KILLS * 64);
  const [mailbox] = (await daemon.status()).mailboxes;
  expect(mailbox?.counts["delivered"]).toBe(MESSAGES);
  expect(mailbox?.spool).toEqual({ waiting: 0, parked: 0 });
  expect((await daemon.stop()).code).toBe(0);
});
