// `signalpost status`: how mailboxes and destinations are, and with `--cluster` which node holds what, read
// from the store, where each running daemon writes its live row every 5 s. It works without a daemon and
// then says so.
import { type ClusterReport, buildClusterReport } from "../../http/cluster-report.ts";
import { contentsOf, judgeDocuments } from "../../config/documents/judge-documents.ts";
import {
  type MailboxReport,
  type StatusReport,
  buildStatusReport,
  liveNodeOf,
} from "../../http/status-report.ts";
import type { LoadedSettings } from "../../config/load.ts";
import type { Store } from "../../store/store.ts";
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

const clusterText = ({ nodes, mailboxes }: ClusterReport): string => {
  if (nodes.length === 0) return "no daemon runs with this store";
  return [
    formatTable(
      ["NODE", "HOST", "VERSION", "SINCE", "HELD"],
      nodes.map(({ node, host, version, since, held }) =>
        [node, host, version, since, held].map(text),
      ),
    ),
    "",
    formatTable(
      ["MAILBOX", "STATE", "HOLDER", "SINCE", "AGE", "FENCE", "STANDBY"],
      mailboxes.map(({ id, state, holder, since, lock_age_seconds: age, fence, standby }) => [
        ...[id, state, holder, since, age === null ? null : `${age} s`, fence].map(text),
        standby.length === 0 ? "-" : standby.join(" "),
      ]),
    ),
  ].join("\n");
};

/** The settings as a daemon would have them now: with the documents that the nodes share. */
const inForce = async (store: Store, loaded: LoadedSettings): Promise<LoadedSettings> => {
  if (loaded.settings.redisUrl === null) return loaded;
  const { good } = judgeDocuments(loaded, await store.readDocuments());
  return loaded.withDocuments(contentsOf(good));
};

const CLUSTER_OPTION = { cluster: { type: "boolean" } } as const;

/** Prints the report; 1 when no daemon ever ran on this data directory. */
export const status: Command = async (args, terminal) => {
  const options = { ...CONFIG_OPTION, ...JSON_OPTION, ...CLUSTER_OPTION };
  const { config, json, cluster } = parseFlags(args, options);
  return await withStore(config, terminal, async (store, loaded) => {
    if (cluster === true) {
      const nodes = buildClusterReport(await store.readNodes(), terminal.wallMs());
      terminal.out(json === true ? JSON.stringify(nodes, null, 2) : clusterText(nodes));
      return EXIT.ok;
    }
    const { settings, source, version, overridden } = await inForce(store, loaded);
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
