// One row of the hostile-mail report and what it must hold: the bars of the suite, in one place, for the
// tests and for the script that prints the table.

/** What one case did to the daemon. */
export interface Row {
  name: string;
  server: "Dovecot" | "scripted";
  /** `delivered`, `delivered, truncated: …`, `reduced: …`; what became of the hostile message. */
  outcome: string;
  /** The highest resident size during the case, above the idle daemon. */
  peakBytes: number;
  /** Read from the mail server for the hostile message and the good one behind it. */
  wireBytes: number;
  /** The longest turn of the main thread, in CPU. */
  turnMs: number;
  /** Cycles that ended before the good mail was settled. */
  lateCycles: number | null;
  /** How much later it came than without the hostile one before it. */
  lateMs: number | null;
  /** The good mail was settled while the hostile one was not, or in the same cycle. */
  isOvertaken: boolean;
  /** Connections made during the case. */
  connections: number;
  /** Whatever else is wrong: lost, sent twice, not well formed. */
  faults: readonly string[];
}

const MAX_PEAK_BYTES = 80_000_000;
/** DESIGN section 7: main-thread CPU of one turn. */
const MAX_TURN_MS = 200;
const MAX_LATE_CYCLES = 1;
/** For a good mail that was read before the hostile one had come to its end: the cycle that both died in. */
const SHARED_CYCLES = 1;

/** Every bar that the row does not hold, each in a line; empty when all is well. */
export const problemsOf = (row: Row): string[] => {
  const problems = [...row.faults];
  const { peakBytes, turnMs, lateCycles, isOvertaken } = row;
  if (peakBytes >= MAX_PEAK_BYTES) problems.push(`${megabytes(peakBytes)} MB above idle`);
  if (turnMs >= MAX_TURN_MS) problems.push(`a turn of ${turnMs.toFixed(0)} ms`);
  if (lateCycles !== null && lateCycles > MAX_LATE_CYCLES + (isOvertaken ? SHARED_CYCLES : 0)) {
    problems.push(`the good mail came ${lateCycles} cycles late`);
  }
  return problems;
};

const megabytes = (bytes: number): string => (bytes / 1_000_000).toFixed(1);

const cellsOf = (row: Row): string[] => {
  const { name, server, outcome, peakBytes, wireBytes, turnMs, lateCycles, lateMs } = row;
  const problems = problemsOf(row);
  return [
    ...[name, server, outcome, `+${megabytes(peakBytes)}`, (wireBytes / 1000).toFixed(1)],
    ...[turnMs.toFixed(0), lateCycles === null ? "" : String(lateCycles)],
    ...[lateMs === null ? "" : lateMs.toFixed(0), String(row.connections)],
    problems.length === 0 ? "yes" : `no: ${problems.join("; ")}`,
  ];
};

const HEAD = [
  ...["Case", "Server", "Outcome", "Peak RSS above idle (MB)", "Wire (KB)"],
  ...["Longest turn (ms CPU)", "Good mail late (cycles)", "Good mail late (ms)"],
  ...["Connections", "Holds"],
];

/** The rows as a markdown table. */
export const tableOf = (rows: readonly Row[]): string => {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  return [line(HEAD), line(HEAD.map(() => "---")), ...rows.map((row) => line(cellsOf(row)))].join(
    "\n",
  );
};
