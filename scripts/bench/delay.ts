// The delay of one new message under IDLE: from the moment the mail server tells of it (EXISTS), seen by
// a tap on the daemon's own connection, to the arrival of the webhook. Tap and receiver share this process
// and its clock. What the server itself waits before it tells is not part of it.
import { setTimeout as sleep } from "node:timers/promises";
import { startTestDaemon } from "../../test/support/daemon.ts";
import { startDovecot } from "../../test/support/dovecot.ts";
import { plainMessage } from "../../test/support/mail.ts";
import { startReceiver } from "../../test/support/receiver.ts";
import { startExistsTap } from "./exists-tap.ts";
import { type Section, number, percentile, table } from "./report.ts";

const USER = "delay";
const MESSAGES = 200;
const EVERY_MS = 150;
const SETTLE_MS = 1000;
const PATIENCE_MS = 30_000;

const report = (delaysMs: readonly number[]): readonly string[] => [
  `Delay of ${delaysMs.length} messages under IDLE, from EXISTS to the webhook (ms)`,
  "",
  ...table(
    ["", "p50", "p90", "p99", "max"],
    [["Signalpost", ...[0.5, 0.9, 0.99, 1].map((share) => number(percentile(delaysMs, share), 1))]],
  ),
];

/** Measures; fails when a message does not arrive exactly once. */
export const benchDelay = async (): Promise<Section> => {
  await using dovecot = await startDovecot();
  await using tap = await startExistsTap(dovecot.port);
  const receiver = await startReceiver();
  try {
    const { port, toldMs } = tap;
    const { password } = dovecot;
    await using daemon = await startTestDaemon({
      mailboxes: [{ port, user: USER, password, start_from: "beginning" }],
      webhook: { url: receiver.url },
      polling: { interval_seconds: 30 },
      logLevel: "info",
    });
    await daemon.waitForEvent("mailbox.connected");
    // The first look at the folder is to be over before the first message comes.
    await sleep(SETTLE_MS);
    for (let index = 1; index <= MESSAGES; index += 1) {
      await dovecot.deliver(USER, [plainMessage(`Number ${index}`)]);
      await sleep(EVERY_MS);
    }
    await receiver.waitFor(MESSAGES, PATIENCE_MS);
    const delaysMs = receiver.requests.map(({ body, atMs }) => {
      const { data } = JSON.parse(body) as { data: { uid: number } };
      // In a fresh folder the n-th message has UID n.
      return atMs - (toldMs.get(data.uid) ?? NaN);
    });
    const ids = new Set(receiver.requests.map(({ id }) => id)).size;
    const isWhole = ids === MESSAGES && delaysMs.length === MESSAGES;
    const problem = `delay: ${delaysMs.length} webhooks with ${ids} ids for ${MESSAGES} messages`;
    return { lines: report(delaysMs), problems: isWhole ? [] : [problem] };
  } finally {
    await receiver.stop();
  }
};
