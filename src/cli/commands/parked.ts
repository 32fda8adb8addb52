// `signalpost parked`: the deliveries that were given up and kept. They can be listed, looked at, sent
// again (a running daemon sees it within a second) or thrown away.
import { isoFromMs } from "../../core/calendar.ts";
import type { PairSelector, SpoolRow } from "../../store/store.ts";
import { CONFIG_OPTION, JSON_OPTION, parseFlags, parseOptions, usageError } from "../options.ts";
import { type Command, EXIT, formatTable, printable } from "../terminal.ts";
import { withStore } from "../with-store.ts";

const SHARED = { ...CONFIG_OPTION, ...JSON_OPTION };

const listedRow = (row: SpoolRow) => ({
  event_id: row.eventId,
  destination: row.destination,
  mailbox: row.mailbox,
  uid: row.uid,
  attempts: row.attempts,
  parked_at: row.parkedMs === null ? null : isoFromMs(row.parkedMs),
  reason: row.reason,
});

const list: Command = async (args, terminal) => {
  const { config, json } = parseFlags(args, SHARED);
  return await withStore(config, terminal, async (store) => {
    const rows = (await store.listParked()).map(listedRow);
    if (json === true) terminal.out(JSON.stringify(rows, null, 2));
    else if (rows.length === 0) terminal.out("nothing is parked");
    else {
      const headings = [
        "EVENT",
        "DESTINATION",
        "MAILBOX",
        "UID",
        "ATTEMPTS",
        "PARKED AT",
        "REASON",
      ];
      terminal.out(
        formatTable(
          headings,
          rows.map((row) => Object.values(row).map((value) => String(value ?? "-"))),
        ),
      );
    }
    return EXIT.ok;
  });
};

const show: Command = async (args, terminal) => {
  const { values, positionals } = parseOptions(args, { ...SHARED, payload: { type: "boolean" } });
  const [eventId, ...more] = positionals;
  if (eventId === undefined || more.length > 0) throw usageError("Name one event id");
  // What people wrote could drive the reader's terminal; a pipe gets it as it is.
  const print = (text: string): void => terminal.out(terminal.isTty ? printable(text) : text);
  return await withStore(values.config, terminal, async (store) => {
    const entries = await store.readEntries(eventId);
    if (entries.length === 0) {
      terminal.err("signalpost: nothing of that event waits or is parked");
      return EXIT.failed;
    }
    const shown = entries.map((entry) => ({
      ...listedRow(entry),
      state: entry.state,
      error: entry.errorClass,
      ...(values.payload === true ? { payload: entry.payload } : {}),
    }));
    if (values.json === true) print(JSON.stringify(shown, null, 2));
    else {
      const lines = shown.map((row) =>
        Object.entries(row).map(([name, value]) => `${name.padEnd(13)}${value ?? "-"}`),
      );
      print(lines.map((entryLines) => entryLines.join("\n")).join("\n\n"));
    }
    return EXIT.ok;
  });
};

const selectorOf = (
  eventIds: readonly string[],
  { all, destination }: { all?: boolean; destination?: string },
): PairSelector => {
  const [eventId, ...more] = eventIds;
  if (all === true) {
    if (eventId !== undefined || destination !== undefined) throw usageError("--all stands alone");
    return "all";
  }
  if (eventId === undefined || more.length > 0) throw usageError("Name one event id, or --all");
  return { eventId, destination: destination ?? null };
};

const change =
  (verb: "replay" | "drop"): Command =>
  async (args, terminal) => {
    const { values, positionals } = parseOptions(args, {
      ...SHARED,
      all: { type: "boolean" },
      destination: { type: "string" },
    });
    const selector = selectorOf(positionals, values);
    return await withStore(values.config, terminal, async (store) => {
      const count =
        verb === "replay"
          ? await store.replay(selector, terminal.wallMs())
          : await store.drop(selector);
      const done = verb === "replay" ? "replayed" : "dropped";
      if (values.json === true) terminal.out(JSON.stringify({ [done]: count }));
      else if (count > 0) terminal.out(`${done} ${count}`);
      if (count > 0) return EXIT.ok;
      terminal.err("signalpost: nothing parked matches; see 'signalpost parked list'");
      return EXIT.failed;
    });
  };

/** `signalpost parked list|show|replay|drop`; 1 when nothing matches. */
export const parked: Command = async ([verb, ...args], terminal) => {
  switch (verb) {
    case "list":
      return await list(args, terminal);
    case "show":
      return await show(args, terminal);
    case "replay":
    case "drop":
      return await change(verb)(args, terminal);
    default:
      throw usageError("Say list, show, replay or drop");
  }
};
