// Measures Signalpost against a real Dovecot and prints Markdown: throughput beside the loop that a user
// would write and beside the wire, and with its state in Redis; the delay of a new message; the cost of
// mailboxes without mail.
// `npm run bench -- --only throughput --messages 1000` does less. Exits 1 when a message was lost or
// sent twice, or when the state in Redis costs more than it may; the other figures fail nothing.
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { benchDelay } from "./bench/delay.ts";
import { benchIdle } from "./bench/idle.ts";
import { benchRedis } from "./bench/redis.ts";
import type { Section } from "./bench/report.ts";
import { benchThroughput } from "./bench/throughput.ts";

const { values } = parseArgs({
  options: { only: { type: "string" }, messages: { type: "string", default: "5000" } },
});

const messages = Number(values.messages);

const PARTS: Readonly<Record<string, () => Promise<Section>>> = {
  throughput: () => benchThroughput(messages),
  redis: () => benchRedis(messages),
  delay: benchDelay,
  idle: benchIdle,
};

const print = (line: string): void => void process.stdout.write(`${line}\n`);

const run = async (parts: readonly string[]): Promise<boolean> => {
  const [cpu] = cpus();
  print(`Node ${process.version}, ${cpus().length} × ${cpu?.model ?? "unknown CPU"}\n`);
  const problems: string[] = [];
  for (const part of parts) {
    const section = await PARTS[part]?.();
    for (const line of section?.lines ?? []) print(line);
    print("");
    problems.push(...(section?.problems ?? []));
  }
  for (const problem of problems) print(`FAILED: ${problem}`);
  return problems.length === 0;
};

const { only } = values;
if ((only !== undefined && !(only in PARTS)) || !Number.isInteger(messages) || messages < 1) {
  const names = Object.keys(PARTS).join("|");
  process.stderr.write(`usage: npm run bench -- [--only ${names}] [--messages N]\n`);
  process.exitCode = 64;
} else {
  process.exitCode = (await run(only === undefined ? Object.keys(PARTS) : [only])) ? 0 : 1;
}
