// The delay of one new message under IDLE: from the moment the mail server tells a second, raw
// connection of it (EXISTS) to the arrival of the webhook. Connection and receiver share this process and
// its clock. What the server itself waits before it tells is not part of it.
import { setTimeout as sleep } from "node:timers/promises";
import { startTestDaemon } from "../../test/support/daemon.ts";
import { type RawClient, rawClient, startDovecot } from "../../test/support/dovecot.ts";
import { plainMessage } from "../../test/support/mail.ts";
import { startReceiver } from "../../test/support/receiver.ts";
import { type Section, number, percentile, table } from "./report.ts";

const USER = "delay";
const MESSAGES = 200;
const EVERY_MS = 150;
const PATIENCE_MS = 30_000;

/** When the server told of each message; in a fresh folder the n-th message has UID n. */
const watchExists = async (client: RawClient): Promise<Map<number, number>> => {
  const toldMs = new Map<number, number>();
  client.send("i IDLE");
  while (toldMs.size < MESSAGES) {
    const { text, atMs } = await client.readLine();
    const count = Number(/^\* (\d+) EXISTS/i.exec(text)?.[1] ?? 0);
    for (let uid = toldMs.size + 1; uid <= count; uid += 1) toldMs.set(uid, atMs);
  }
  return toldMs;
};

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
  const { port, password } = dovecot;
  const receiver = await startReceiver();
  const client = await rawClient({ host: "127.0.0.1", port, login: { user: USER, password } });
  try {
    await using daemon = await startTestDaemon({
      mailboxes: [{ port, user: USER, password, start_from: "beginning" }],
      webhook: { url: receiver.url },
      polling: { interval_seconds: 30 },
      logLevel: "info",
    });
    await daemon.waitForEvent("mailbox.connected");
    // Both connections are to be idle before the first message comes.
    const told = watchExists(client);
    await sleep(1000);
    for (let index = 1; index <= MESSAGES; index += 1) {
      await dovecot.deliver(USER, [plainMessage(`Number ${index}`)]);
      await sleep(EVERY_MS);
    }
    await receiver.waitFor(MESSAGES, PATIENCE_MS);
    const toldMs = await told;
    const delaysMs = receiver.requests.map(({ body, atMs }) => {
      const { data } = JSON.parse(body) as { data: { uid: number } };
      return atMs - (toldMs.get(data.uid) ?? NaN);
    });
    const ids = new Set(receiver.requests.map(({ id }) => id)).size;
    const isWhole = ids === MESSAGES && delaysMs.length === MESSAGES;
    const problem = `delay: ${delaysMs.length} webhooks with ${ids} ids for ${MESSAGES} messages`;
    return { lines: report(delaysMs), problems: isWhole ? [] : [problem] };
  } finally {
    client.close();
    await receiver.stop();
  }
};
