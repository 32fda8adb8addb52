// The cluster in earnest: `bin/signalpost` as it ships, every fault once at full scale, each on a Redis of its
// own. Prints a table of figures with their bars, and exits 1 when one is missed. The tests play the same
// faults at a tenth of the time. `npm run bench:cluster -- --only kill,term` plays two of them.
import { parseArgs } from "node:util";
import { startDovecot } from "../test/support/dovecot.ts";
import { blackHole, stopped } from "./bench-cluster/cut-off.ts";
import { type Figure, type Row, figureTable } from "./bench-cluster/figures.ts";
import { killed, terminated, twoDaemons } from "./bench-cluster/handover.ts";
import { deleted, emptied, failover } from "./bench-cluster/lost-state.ts";
import { fresh, outageFile, outageWait } from "./bench-cluster/outage.ts";
import { spread } from "./bench-cluster/spread.ts";

/** The longest first, so that none is left over at the end. */
const ROWS: Readonly<Record<string, Row>> = {
  spread,
  "outage-wait": outageWait,
  "outage-file": outageFile,
  stop: stopped,
  "black-hole": blackHole,
  empty: emptied,
  kill: killed,
  fresh,
  failover,
  del: deleted,
  "two-daemons": twoDaemons,
  term: terminated,
};

/** Most of a row is waiting; more at a time would disturb what they measure. */
const AT_A_TIME = 2;

const print = (line: string): void => void process.stdout.write(`${line}\n`);

const failure = (error: unknown): Figure => ({
  what: `failed: ${error instanceof Error ? error.message : String(error)}`,
  measured: "",
  bar: "it ends",
  isMet: false,
});

const run = async (names: readonly string[]): Promise<boolean> => {
  await using dovecot = await startDovecot();
  const waiting = [...names];
  const done = new Map<string, readonly Figure[]>();
  const worker = async (): Promise<void> => {
    for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
      const startMs = performance.now();
      const figures = (await ROWS[name]?.(dovecot).catch((error) => [failure(error)])) ?? [];
      const seconds = ((performance.now() - startMs) / 1000).toFixed(0);
      const isMet = figures.every((figure) => figure.isMet);
      print(`${isMet ? "ok  " : "FAIL"} ${name} (${seconds} s)`);
      done.set(name, figures);
    }
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, worker));
  const rows = names.map((name) => ({ name, figures: done.get(name) ?? [] }));
  print("");
  for (const line of figureTable(rows)) print(line);
  return rows.every(({ figures }) => figures.every((figure) => figure.isMet));
};

const { values } = parseArgs({ options: { only: { type: "string" } } });
const names = values.only?.split(",") ?? Object.keys(ROWS);
if (names.some((name) => !(name in ROWS))) {
  process.stderr.write(
    `usage: npm run bench:cluster -- [--only NAME,…], of ${Object.keys(ROWS).join(" ")}\n`,
  );
  process.exitCode = 64;
} else {
  process.exitCode = (await run(names)) ? 0 : 1;
}
