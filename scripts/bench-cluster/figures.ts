// What a row of the cluster's bench found out: figures, each with the bar it has to meet. Pure; used by
// every row, printed by bench-cluster.ts.
import { deliveriesOf, fencesInOrder } from "../../test/support/deliveries.ts";
import type { Dovecot } from "../../test/support/dovecot.ts";
import type { ReceivedRequest } from "../../test/support/receiver.ts";
import { table } from "../bench/report.ts";

/** One thing that was measured. */
export interface Figure {
  what: string;
  measured: string;
  /** Empty: it is told, and nothing is asked of it. */
  bar: string;
  isMet: boolean;
}

/** One fault, played once at full scale. */
export type Row = (dovecot: Dovecot) => Promise<readonly Figure[]>;

/** So many messages of a folder are uncommitted at a time: what an unclean end may send once more. */
export const UNCOMMITTED = 64;

/** From the loss of a holder to the first message of the next: lease, look, lock-delay (DESIGN section 5). */
export const UNCLEAN_SECONDS = 38;

/** A figure without a bar. */
export const told = (what: string, measured: string | number): Figure => ({
  what,
  measured: String(measured),
  bar: "",
  isMet: true,
});

/** A count or a time that must not be above `most`. */
export const atMost = (what: string, value: number, most: number): Figure => ({
  what,
  measured: String(Math.round(value * 100) / 100),
  bar: `<= ${most}`,
  isMet: value <= most,
});

/** The same from below. */
export const atLeast = (what: string, value: number, least: number): Figure => ({
  what,
  measured: String(Math.round(value * 100) / 100),
  bar: `>= ${least}`,
  isMet: value >= least,
});

/** Something that must be so. */
export const mustBe = (what: string, measured: string, wanted: string): Figure => ({
  what,
  measured,
  bar: wanted,
  isMet: measured === wanted,
});

/** How often a request began under an older fence than one before it. */
export const fenceFalls = (requests: readonly ReceivedRequest[]): number =>
  fencesInOrder(requests).filter((fence, index, all) => fence <= (all[index - 1] ?? -1)).length;

/**
 * What is asked of every row: each message came, under one id, repeated at most so often in all, and no
 * fence came back once a newer one was seen, but for requests that were under way (`late`).
 */
export const deliveryFigures = (
  requests: readonly ReceivedRequest[],
  names: readonly string[],
  { repeats, late = 0 }: { repeats: number; late?: number },
): readonly Figure[] => {
  const found = deliveriesOf(requests);
  return [
    atLeast("messages", names.length, 1),
    atMost("lost", found.missing(names).length, 0),
    atMost("under more than one id", found.torn.length, 0),
    atMost("sent again", found.repeats, repeats),
    atMost("fences that fell", fenceFalls(requests), late),
  ];
};

/** The longest time without a request between two instants, in seconds. */
export const longestPause = (
  requests: readonly ReceivedRequest[],
  fromMs: number,
  toMs: number,
): number => {
  const times = requests.map(({ beganMs }) => beganMs).filter((ms) => ms > fromMs && ms < toMs);
  const all = [fromMs, ...times.toSorted((a, b) => a - b), toMs];
  return Math.max(...all.map((ms, index) => ms - (all[index - 1] ?? ms))) / 1000;
};

/** All rows as one table. */
export const figureTable = (
  rows: readonly { name: string; figures: readonly Figure[] }[],
): readonly string[] =>
  table(
    ["figure", "measured", "bar", "met"],
    rows.flatMap(({ name, figures }) =>
      figures.map(({ what, measured, bar, isMet }) => [
        `${name}: ${what}`,
        measured,
        bar,
        bar === "" ? "" : isMet ? "yes" : "NO",
      ]),
    ),
  );
