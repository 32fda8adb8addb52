// How the bench writes down what it measured: medians, percentiles, Markdown tables. Pure; called by
// every part of the bench.

/** What one part of the bench has to say. */
export interface Section {
  lines: readonly string[];
  /** What must not be: a message lost or sent twice. Any of them fails the bench. */
  problems: readonly string[];
}

/** The value below which a share of `values` lies (nearest rank); NaN of none. */
export const percentile = (values: readonly number[], share: number): number => {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? NaN;
};

/** The middle of `values`. */
export const median = (values: readonly number[]): number => percentile(values, 0.5);

/** With so many digits behind the point. */
export const number = (value: number, digits = 0): string => value.toFixed(digits);

/** A Markdown table; the first column to the left, the others to the right. */
export const table = (
  head: readonly string[],
  rows: readonly (readonly string[])[],
): readonly string[] => {
  const all = [head, ...rows];
  const widths = head.map((_, column) =>
    Math.max(...all.map((row) => row[column]?.length ?? 0), 4),
  );
  const line = (cells: readonly string[]): string =>
    `| ${cells
      .map((cell, column) => {
        const width = widths[column] ?? 0;
        return column === 0 ? cell.padEnd(width) : cell.padStart(width);
      })
      .join(" | ")} |`;
  const rule = widths.map((width, column) =>
    column === 0 ? "-".repeat(width) : `${"-".repeat(width - 1)}:`,
  );
  return [line(head), line(rule), ...rows.map(line)];
};
