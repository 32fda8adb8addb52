// Sends a folder of messages through the real daemon: `npm run corpus -- DIR` puts every .eml and .msg
// of DIR into a fresh Dovecot mailbox, byte for byte, waits until all of them are settled, and counts
// what became of them. Exits 1 when one is lost, sent twice, signed wrongly, or holds the event loop.
import { readFileSync, readdirSync } from "node:fs";
import path from "node:path";
import { WEBHOOK_SECRET } from "../test/support/daemon-config.ts";
import { startTestDaemon } from "../test/support/daemon.ts";
import { startDovecot } from "../test/support/dovecot.ts";
import { type ReceivedRequest, startReceiver } from "../test/support/receiver.ts";
import { readReceipts, waitUntilSettled } from "./support/receipts.ts";
import { turnProbe } from "./support/turn-probe.ts";

const USER = "corpus";

/** DESIGN section 7: main-thread CPU of one turn. */
const MAX_TURN_MS = 200;

/** When nothing is settled for so long, what is missing is lost. */
const STALL_MS = 90_000;

interface Payload {
  data: { uid: number; unreadable: string | null; truncated: readonly string[] };
}

const isMessageFile = (name: string): boolean => /\.(eml|msg)$/i.test(name);

/** What the receiver saw, in one word a message. */
const outcomeOf = (request: ReceivedRequest): string => {
  const { data } = JSON.parse(request.body) as Payload;
  if (data.unreadable !== null) return `reduced: ${data.unreadable}`;
  return data.truncated.length > 0 ? `truncated: ${data.truncated.join(", ")}` : "delivered whole";
};

const countBy = <T>(items: readonly T[], keyOf: (item: T) => string): Map<string, number> =>
  new Map([...Map.groupBy(items, keyOf)].map(([key, same]) => [key, same.length]));

const uidOf = (request: ReceivedRequest): number => (JSON.parse(request.body) as Payload).data.uid;

/** Everything that is wrong with a run, each in a line; `failed` holds the UIDs it is wrong with. */
const judge = (run: {
  names: readonly string[];
  requests: readonly ReceivedRequest[];
  /** UIDs settled without a webhook. */
  quiet: ReadonlySet<number>;
}) => {
  const { names, requests, quiet } = run;
  const problems: string[] = [];
  const failed = new Set<number>();
  const note = (uid: number, what: string): void => {
    failed.add(uid);
    problems.push(`${names[uid - 1] ?? `uid ${uid}`}: ${what}`);
  };
  const byUid = Map.groupBy(requests, uidOf);
  for (const uid of names.map((_, index) => index + 1)) {
    const received = byUid.get(uid) ?? [];
    if (received.length === 0 && !quiet.has(uid)) note(uid, "lost");
    if (received.length > 1) note(uid, `sent ${received.length} times`);
    if (received.some(({ verified }) => !verified)) note(uid, "the signature does not verify");
  }
  for (const uid of byUid.keys()) if (uid > names.length) note(uid, "nobody put it there");
  const ids = new Set(requests.map(({ id }) => id));
  if (ids.size !== byUid.size) problems.push(`${byUid.size} messages have ${ids.size} ids`);
  return { problems, failed };
};

/** The longest wait between two webhooks, and for which message. */
const slowestOf = (requests: readonly ReceivedRequest[], startMs: number) => {
  const slowest = { uid: 0, ms: 0 };
  let lastMs = startMs;
  for (const request of requests) {
    if (request.atMs - lastMs > slowest.ms) {
      slowest.ms = request.atMs - lastMs;
      slowest.uid = uidOf(request);
    }
    lastMs = request.atMs;
  }
  return slowest;
};

const print = (line: string): void => void process.stdout.write(`${line}\n`);

const run = async (folder: string): Promise<boolean> => {
  const names = readdirSync(folder).filter(isMessageFile).toSorted();
  if (names.length === 0) throw new Error("the folder holds no .eml or .msg file");
  const messages = names.map((name) => readFileSync(path.join(folder, name)));
  await using dovecot = await startDovecot();
  await dovecot.deliver(USER, messages);
  const receiver = await startReceiver({ secrets: [WEBHOOK_SECRET] });
  const probe = turnProbe(path.join(path.dirname(dovecot.logFile), "largest-turn"));
  try {
    const { port, password } = dovecot;
    await using daemon = await startTestDaemon({
      mailboxes: [{ port, user: USER, password, start_from: "beginning" }],
      webhook: { url: receiver.url },
      env: probe.env,
    });
    probe.begin(daemon.pid);
    const startMs = performance.now();
    const settled = await waitUntilSettled(daemon.dataDir, names.length, STALL_MS);
    const receipts = readReceipts(daemon.dataDir);
    const { requests } = receiver;
    const quiet = receipts.filter(({ outcome }) => outcome !== "delivered");
    const { problems, failed } = judge({
      names,
      requests,
      quiet: new Set(quiet.map(({ uid }) => uid)),
    });

    print(`${names.length} in, ${new Set(requests.map(({ id }) => id)).size} out`);
    const outcomes = [...countBy(requests, outcomeOf), ...countBy(quiet, ({ outcome }) => outcome)];
    for (const [outcome, count] of outcomes) print(`${String(count).padStart(6)}  ${outcome}`);
    const slowest = slowestOf(requests, startMs);
    print(`slowest message: ${names[slowest.uid - 1] ?? "none"} (${slowest.ms.toFixed(0)} ms)`);
    const turnMs = probe.largestMs();
    print(`largest event-loop block: ${turnMs ?? "?"} ms of CPU in one turn`);
    for (const problem of problems) print(problem);
    const isQuick = turnMs !== null && turnMs <= MAX_TURN_MS;
    if (!isQuick) print(`a turn took more than ${MAX_TURN_MS} ms of CPU, or was not measured`);
    const isWhole = failed.size === 0 && problems.length === 0 && settled === names.length;
    // What is wrong with no single message, or with the run as a whole, is one failure more.
    const failures = failed.size + (failed.size === 0 && !isWhole ? 1 : 0) + (isQuick ? 0 : 1);
    print(`${names.length - failed.size} passed, ${failures} failed`);
    return failures === 0;
  } finally {
    await receiver.stop();
  }
};

const [folder, ...rest] = process.argv.slice(2);
if (folder === undefined || rest.length > 0) {
  process.stderr.write("usage: npm run corpus -- DIR (a folder of .eml or .msg files)\n");
  process.exitCode = 64;
} else process.exitCode = (await run(folder)) ? 0 : 1;
