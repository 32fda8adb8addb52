// What a mailbox costs that gets no mail: memory and CPU of one daemon that watches one, and of one that
// watches two hundred, each on a connection of its own under IDLE.
import { setTimeout as sleep } from "node:timers/promises";
import { startTestDaemon } from "../../test/support/daemon.ts";
import { type Dovecot, startDovecot } from "../../test/support/dovecot.ts";
import { cpuSeconds, rssMiB } from "../support/process-cost.ts";
import { type Section, number, table } from "./report.ts";

const MAILBOXES = 200;
const WATCH_MS = 30_000;
/** After the last log-in, until nothing of the start is left. */
const SETTLE_MS = 5000;
const START_TIMEOUT_MS = 60_000;

interface Cost {
  rssMiB: number;
  /** Of one core. */
  cpuPercent: number;
}

const costOf = async (dovecot: Dovecot, mailboxes: number): Promise<Cost> => {
  const { port, password } = dovecot;
  const ids = Array.from({ length: mailboxes }, (_, index) => `box-${index}`);
  await using daemon = await startTestDaemon({
    mailboxes: ids.map((id) => ({ id, port, user: id, password })),
    webhook: { url: "http://127.0.0.1:9/hook" },
    polling: { interval_seconds: 30 },
    logLevel: "info",
  });
  for (const id of ids) {
    await daemon.waitForEvent(
      "mailbox.connected",
      (line) => line["mailbox"] === id,
      START_TIMEOUT_MS,
    );
  }
  await sleep(SETTLE_MS);
  const before = { cpu: cpuSeconds(daemon.pid), ms: performance.now() };
  await sleep(WATCH_MS);
  const seconds = (performance.now() - before.ms) / 1000;
  const cpuPercent = ((cpuSeconds(daemon.pid) - before.cpu) / seconds) * 100;
  return { rssMiB: rssMiB(daemon.pid), cpuPercent };
};

const rowOf = (name: string, cost: Cost): string[] => [
  name,
  number(cost.rssMiB),
  number(cost.cpuPercent, 2),
];

/** Measures both. */
export const benchIdle = async (): Promise<Section> => {
  await using dovecot = await startDovecot();
  const one = await costOf(dovecot, 1);
  const many = await costOf(dovecot, MAILBOXES);
  const eachMiB = (many.rssMiB - one.rssMiB) / (MAILBOXES - 1);
  const lines = [
    `Mailboxes without mail, over ${WATCH_MS / 1000} s`,
    "",
    ...table(
      ["", "RSS, MiB", "CPU, % of a core"],
      [rowOf("1 mailbox", one), rowOf(`${MAILBOXES} mailboxes`, many)],
    ),
    "",
    `Each further mailbox: ${number(eachMiB * 1024)} KiB`,
  ];
  return { lines, problems: [] };
};
