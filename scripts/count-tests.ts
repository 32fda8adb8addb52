// Reads vitest's JSON report and prints "<passed> <failed>" for .ci/run. A file that did not load and
// a test that was skipped count as failed: nothing may be left out silently.
import { readFileSync } from "node:fs";

interface Report {
  numTotalTests: number;
  numPassedTests: number;
  testResults: readonly { status: string; assertionResults: readonly { status: string }[] }[];
}

const [path] = process.argv.slice(2);
if (path === undefined) throw new Error("usage: node scripts/count-tests.ts REPORT.json");
const report = JSON.parse(readFileSync(path, "utf8")) as Report;
const brokenFiles = report.testResults.filter(
  ({ status, assertionResults }) =>
    status === "failed" && assertionResults.every((test) => test.status === "passed"),
).length;
const failed = report.numTotalTests - report.numPassedTests + brokenFiles;
process.stdout.write(`${report.numPassedTests} ${failed}\n`);
