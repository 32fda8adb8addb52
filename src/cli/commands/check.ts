// `signalpost check`: validates the configuration down to rule expressions and the webhook's address,
// then explains it in plain words. It connects to nothing and writes nothing.
import { resolve } from "node:path";
import { ConfigError } from "../../core/errors.ts";
import { compileRules } from "../../rules/compile.ts";
import { isUsableDataDir } from "../data-dir.adapter.ts";
import { CONFIG_OPTION, JSON_OPTION, parseFlags } from "../options.ts";
import { type Command, type Terminal, EXIT } from "../terminal.ts";
import { findConfig, loadFrom, problemText } from "../with-config.ts";
import { type CheckReport, createCheckReport } from "../check-report.ts";

const inspect = (path: string | null, terminal: Terminal): CheckReport => {
  const loaded = loadFrom(path, terminal);
  const { rules, webhook, dataDir } = loaded.settings;
  return createCheckReport({
    loaded,
    compiled: compileRules(rules, webhook),
    isDataDirUsable: isUsableDataDir(resolve(terminal.cwd, dataDir)),
    wallMs: terminal.wallMs(),
  });
};

const onOff = (value: boolean): string => (value ? "on" : "off");

const activityText = ({ background_tasks, activity }: CheckReport): string => {
  if (!background_tasks) return "polling: off (enable_background_tasks is false)";
  if (activity.active) return "polling: active now";
  const until = activity.wakes_at === null ? "" : `, looks again at ${activity.wakes_at}`;
  return `polling: not now (${activity.reason ?? "inactive"}${until})`;
};

const count = (amount: number, noun: string): string =>
  `${amount} ${noun}${amount === 1 ? "" : "s"}`;

/** Which attachments go where, in one line, and which links, in another. */
const offloadTexts = ({ offload }: CheckReport): string[] => {
  const { storage = null, fetch_worker: worker = null } = offload ?? {};
  const texts: string[] = [];
  if (storage === null) texts.push("attachments: stay in the mailbox");
  else {
    const wanted = [
      `${storage.min_bytes} to ${storage.max_bytes} bytes`,
      storage.content_types === 0 ? "any type" : count(storage.content_types, "type"),
      storage.filenames === 0 ? "any name" : count(storage.filenames, "name pattern"),
    ];
    const urls =
      storage.presign_seconds === null
        ? "public URLs"
        : `URLs signed for ${count(storage.presign_seconds, "second")}`;
    const where = storage.host ?? `AWS S3 (${storage.region})`;
    texts.push(
      `attachments: of ${wanted.join(", ")} to bucket ${storage.bucket} at ${where}, ${urls} (not tried here)`,
    );
  }
  if (worker !== null)
    texts.push(
      `links: of ${worker.link_hosts.join(", ")} to bucket ${worker.bucket} by the worker at ${worker.host} (not tried here)`,
    );
  return texts;
};

const explanation = (report: CheckReport): string => {
  const { config, http, senders_of_interest: senders } = report;
  const overridden = config.overridden.length > 0 ? config.overridden.join(", ") : "nothing";
  return [
    `configuration from ${config.source}, version ${config.version}`,
    `overridden by the environment: ${overridden}`,
    ...report.mailboxes.map(
      ({ id, host, port, tls, start_from, after_delivery }) =>
        `mailbox ${id}: ${host}:${port}, tls ${tls}, start_from ${start_from}, ` +
        `after_delivery ${after_delivery}`,
    ),
    activityText(report),
    `senders: ${senders === 0 ? "everyone" : `${senders} of interest`}`,
    `webhook: ${count(report.destinations, "destination")}, ${count(report.rules, "rule")}`,
    http === null ? "http: off" : `http: ${http.host}:${http.port}, token ${onOff(http.token)}`,
    `skip_replies ${onOff(report.skip_replies)}, ` +
      `subject group dedup ${onOff(report.subject_group_dedup)}, ` +
      `spool encryption ${onOff(report.spool_encrypted)}`,
    report.redis === null
      ? "state: on this host alone"
      : `state: shared through ${report.redis.server}, lock.fallback ${report.redis.fallback} (not tried here)`,
    ...offloadTexts(report),
    `data_dir: ${report.data_dir_writable ? "writable" : "not writable"}`,
    ...report.warnings.map((text) => `warning: ${text}`),
  ].join("\n");
};

/** Prints what is wrong, or what the configuration does; 78 when it cannot be used. */
export const check: Command = async (args, terminal) => {
  const { config, json } = parseFlags(args, { ...CONFIG_OPTION, ...JSON_OPTION });
  const path = findConfig(config, terminal);
  let report: CheckReport | null = null;
  let problems: CheckReport["problems"];
  try {
    report = inspect(path, terminal);
    problems = report.problems;
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    problems = error.problems;
  }
  const isUsable = problems.length === 0;
  if (json === true) {
    terminal.out(JSON.stringify(report ?? { ok: false, problems, warnings: [] }, null, 2));
  } else {
    if (report !== null) terminal.out(explanation(report));
    for (const problem of problems) terminal.err(problemText(path, problem));
    if (isUsable) terminal.out("the configuration is usable");
  }
  return isUsable ? EXIT.ok : EXIT.config;
};
