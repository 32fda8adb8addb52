// Reads vitest's JSON report and prints "<passed> <failed>" for .ci/run and scripts/resilience.sh. A file
// that did not load and a test that was skipped count as failed: nothing may be left out silently. With
// `--filtered`, after a run that chose tests by their tags, those it did not choose are no tests.
import { readFileSync } from "node:fs";

interface Report {
  numTotalTests: number;
  numPassedTests: number;
  testResults: readonly { status: string; assertionResults: readonly { status: string }[] }[];
}

const [path, flag] = process.argv.slice(2);
if (path === undefined || (flag !== undefined && flag !== "--filtered")) {
  throw new Error("usage: node scripts/count-tests.ts REPORT.json [--filtered]");
}
const report = JSON.parse(readFileSync(path, "utf8")) as Report;
const brokenFiles = report.testResults.filter(
  ({ status, assertionResults }) =>
    status === "failed" && assertionResults.every((test) => test.status !== "failed"),
).length;
const results = report.testResults.flatMap(({ assertionResults }) => assertionResults);
const unchosen =
  flag === undefined ? 0 : results.filter(({ status }) => status === "skipped").length;
const failed = report.numTotalTests - unchosen - report.numPassedTests + brokenFiles;
process.stdout.write(`${report.numPassedTests} ${failed}\n`);
