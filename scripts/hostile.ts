// Runs the hostile-mail suite and prints what each case cost: `npm run hostile` prints a markdown table,
// `-- --out FILE` writes it to a file too, `-- --only WORD` runs the cases whose name has the word. Exits 1
// when a case does not hold.
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { type Row, problemsOf, tableOf } from "../test/hostile/row.ts";
import { CASES, openStages, runCase } from "../test/hostile/suite.ts";

const print = (line: string): void => void process.stdout.write(`${line}\n`);

const summaryOf = (rows: readonly Row[], seconds: number): string => {
  const failed = rows.filter((row) => problemsOf(row).length > 0).length;
  return `${rows.length - failed} passed, ${failed} failed, in ${seconds.toFixed(0)} s`;
};

const run = async (only: string, out: string | undefined): Promise<boolean> => {
  const startedMs = performance.now();
  const cases = CASES.filter(({ name }) => name.includes(only));
  await using stages = await openStages(cases);
  const rows: Row[] = [];
  for (const one of cases) {
    rows.push(await runCase(stages, one));
    process.stderr.write(".");
  }
  process.stderr.write("\n");
  const seconds = (performance.now() - startedMs) / 1000;
  const report = `${tableOf(rows)}\n\n${summaryOf(rows, seconds)}`;
  print(report);
  if (out !== undefined) writeFileSync(out, `${report}\n`);
  return rows.every((row) => problemsOf(row).length === 0);
};

const { values } = parseArgs({
  options: { out: { type: "string" }, only: { type: "string", default: "" } },
});
process.exitCode = (await run(values.only, values.out)) ? 0 : 1;
