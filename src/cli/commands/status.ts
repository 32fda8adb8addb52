// `signalpost status`: how mailboxes and destinations are, read from the store, where a running daemon
// writes its live row every 5 s. It works without a daemon and then says so.
import {
  type MailboxReport,
  type StatusReport,
  buildStatusReport,
  liveNodeOf,
} from "../../http/status-report.ts";
import { CONFIG_OPTION, JSON_OPTION, parseFlags } from "../options.ts";
import { type Command, EXIT, formatTable } from "../terminal.ts";
import { withStore } from "../with-store.ts";

const text = (value: string | number | null): string => (value === null ? "-" : String(value));

const mailboxCells = (mailbox: MailboxReport): string[] => {
  const { lease, counts, spool } = mailbox;
  return [
    mailbox.id,
    mailbox.state,
    text(mailbox.last_proof_at),
    text(mailbox.settled_up_to),
    lease.fence === null ? lease.state : `${lease.state} #${lease.fence}`,
    ...[counts.delivered, counts.filtered, counts.parked, counts.gone, counts.reduced].map(text),
    text(spool.waiting),
  ];
};

const reportText = (report: StatusReport): string => {
  const { config } = report;
  const running = report.node === null ? "no daemon runs here" : `node ${report.node}`;
  const overridden = config.overridden.length > 0 ? config.overridden.join(", ") : "nothing";
  return [
    `signalpost ${report.version}, ${running}`,
    `configuration ${config.version} from ${config.source}; overridden: ${overridden}`,
    "",
    formatTable(
      "MAILBOX,STATE,LAST PROOF,SETTLED,LEASE,DELIVERED,FILTERED,PARKED,GONE,REDUCED,WAITING".split(
        ",",
      ),
      report.mailboxes.map(mailboxCells),
    ),
    "",
    formatTable(
      ["DESTINATION", "BREAKER", "WAITING", "PARKED"],
      report.destinations.map(({ id, breaker, waiting, parked }) =>
        [id, breaker, waiting, parked].map(text),
      ),
    ),
  ].join("\n");
};

/** Prints the report; 1 when no daemon ever ran on this data directory. */
export const status: Command = async (args, terminal) => {
  const { config, json } = parseFlags(args, { ...CONFIG_OPTION, ...JSON_OPTION });
  return await withStore(config, terminal, async (store, loaded) => {
    const { settings, source, version, overridden } = loaded;
    const report = await buildStatusReport({
      store,
      live: liveNodeOf(await store.readNodes(), terminal.wallMs()),
      mailboxes: settings.mailboxes,
      version: terminal.versions.signalpost,
      config: { source, version, overridden },
    });
    terminal.out(json === true ? JSON.stringify(report, null, 2) : reportText(report));
    const locked = await store.undecryptable();
    if (locked > 0) {
      terminal.err(
        `signalpost: ${locked} deliveries wait: they are encrypted with a key that is not in ` +
          "SIGNALPOST_SPOOL_KEY here.",
      );
    }
    return EXIT.ok;
  });
};
