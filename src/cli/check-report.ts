// What `signalpost check` has to say about a configuration that could be loaded: problems, warnings and
// the facts in plain words. Pure; it shows hosts, because the operator asks, but no user and no secret.
import type { LoadedSettings } from "../config/load.ts";
import { isoFromMs } from "../core/calendar.ts";
import type { ConfigProblem } from "../core/errors.ts";
import type { Settings, StartFrom } from "../core/settings.ts";
import { type Activity, activityAt } from "../poller/schedule.ts";
import type { compileRules } from "../rules/compile.ts";

/** What the check saw beside the settings. */
export interface CheckFacts {
  loaded: LoadedSettings;
  /** Which of its rules can be used, and what is wrong with the others. */
  compiled: ReturnType<typeof compileRules>;
  isDataDirUsable: boolean;
  wallMs: number;
}

/** The outcome of a check, as `--json` prints it. */
export interface CheckReport {
  ok: boolean;
  problems: readonly ConfigProblem[];
  warnings: readonly string[];
  config: { source: string; version: string; overridden: readonly string[] };
  background_tasks: boolean;
  activity: { active: boolean; reason: string | null; wakes_at: string | null };
  mailboxes: readonly {
    id: string;
    host: string;
    port: number;
    tls: string;
    start_from: string;
    after_delivery: string;
  }[];
  senders_of_interest: number;
  rules: number;
  destinations: number;
  http: { host: string; port: number; token: boolean } | null;
  spool_encrypted: boolean;
  skip_replies: boolean;
  subject_group_dedup: boolean;
  data_dir_writable: boolean;
  /** Where state is shared, without user and password; null: this host alone. */
  redis: { server: string; fallback: Settings["lock"]["fallback"] } | null;
  /** Null: attachments stay in the mailbox, and links what they are. */
  offload: {
    storage: {
      /** The host of the storage; null: AWS S3 of the region. */
      host: string | null;
      region: string;
      bucket: string;
      /** How long the URLs in events are good for; null: they are public and stay. */
      presign_seconds: number | null;
      min_bytes: number;
      max_bytes: number;
      content_types: number;
      filenames: number;
    } | null;
    fetch_worker: { host: string; bucket: string; link_hosts: readonly string[] } | null;
  } | null;
}

const problemsOf = (facts: CheckFacts): ConfigProblem[] => {
  const { loaded, compiled, isDataDirUsable } = facts;
  const problems: ConfigProblem[] = compiled.refused.flatMap(({ id, index, problems: wrong }) =>
    wrong.map(({ key, message }) => ({
      key: `rules (${id}).${key}`,
      line: loaded.lineOf(`rules.${index}.${key}`),
      message,
    })),
  );
  if (!isDataDirUsable) {
    const message = "this user cannot write there; create it for the user of the daemon";
    problems.push({ key: "data_dir", line: null, message });
  }
  return problems;
};

/** What is allowed but may surprise; each with what to do about it. */
const warningsOf = (settings: Settings): string[] => {
  const { polling, lock, mailboxes } = settings;
  const insecure = mailboxes.filter(({ imap }) => imap.tls === "none").map(({ id }) => id);
  const checks: [boolean, string][] = [
    [
      !settings.enableBackgroundTasks,
      "enable_background_tasks is false: nothing will poll until it is true.",
    ],
    [
      !polling.enablePolling,
      "polling.enable_polling is false: no mail is fetched until it is true.",
    ],
    [
      polling.sendersOfInterest.length === 0,
      "polling.sender_of_interest_for_polling is empty: mail from everyone is sent.",
    ],
    [
      settings.spoolKeys.length === 0,
      "SIGNALPOST_SPOOL_KEY is not set: mail that waits for a destination lies unencrypted in " +
        `${settings.redisUrl === null ? "data_dir" : "Redis"}. Set it to the base64 of 32 random bytes.`,
    ],
    [
      settings.redisUrl === null && lock.file.startsWith("/tmp/"),
      "lock.file is in /tmp: under systemd's PrivateTmp, or in a container, no other process sees " +
        "it, and two of them would poll one mailbox. Where that can happen, name a file in a " +
        "directory that they share.",
    ],
    [
      insecure.length > 0,
      `no TLS to the mail server of ${insecure.join(", ")}: password and mail travel readable.`,
    ],
    [settings.http === null, "http is off: no health check, no metrics."],
  ];
  return checks.filter(([applies]) => applies).map(([, text]) => text);
};

const startText = (start: StartFrom): string => (start.kind === "date" ? start.date : start.kind);

const activityReport = (activity: Activity): CheckReport["activity"] => {
  if (activity.kind === "active") return { active: true, reason: null, wakes_at: null };
  const { reason, wakeMs } = activity;
  return { active: false, reason, wakes_at: wakeMs === null ? null : isoFromMs(wakeMs) };
};

/** `rediss://host:port/db`, and nothing that logs in. */
const serverOf = (url: string): string => {
  const { protocol, hostname, port, pathname } = new URL(url);
  return `${protocol}//${hostname}:${port === "" ? "6379" : port}${pathname === "/" ? "" : pathname}`;
};

const offloadReport = (offload: Settings["offload"]): CheckReport["offload"] => {
  if (offload === null) return null;
  const { storage, worker } = offload;
  return {
    storage: storage && {
      host: storage.endpoint === null ? null : new URL(storage.endpoint).host,
      region: storage.region,
      bucket: storage.bucket,
      presign_seconds: offload.publicBaseUrl === null ? offload.presignSeconds : null,
      min_bytes: offload.minBytes,
      max_bytes: offload.maxBytes,
      content_types: offload.contentTypes.length,
      filenames: offload.filenames.length,
    },
    fetch_worker: worker && {
      host: new URL(worker.url).host,
      bucket: worker.bucket,
      link_hosts: worker.hosts,
    },
  };
};

/** The report on `facts`. */
export const createCheckReport = (facts: CheckFacts): CheckReport => {
  const { settings, source, version, overridden } = facts.loaded;
  const { polling, webhook, http } = settings;
  const { rules } = facts.compiled;
  const problems = problemsOf(facts);
  const urls = new Set([webhook.url, ...rules.flatMap(({ webhookUrl }) => webhookUrl ?? [])]);
  return {
    ok: problems.length === 0,
    problems,
    warnings: warningsOf(settings),
    config: { source, version, overridden },
    background_tasks: settings.enableBackgroundTasks,
    activity: activityReport(activityAt(polling, facts.wallMs)),
    mailboxes: settings.mailboxes.map(({ id, imap, startFrom, afterDelivery }) => ({
      id,
      host: imap.host,
      port: imap.port,
      tls: imap.tls,
      start_from: startText(startFrom),
      after_delivery: afterDelivery.kind,
    })),
    senders_of_interest: polling.sendersOfInterest.length,
    rules: rules.length,
    destinations: urls.size,
    http: http === null ? null : { host: http.host, port: http.port, token: http.token !== null },
    spool_encrypted: settings.spoolKeys.length > 0,
    skip_replies: polling.skipReplies,
    subject_group_dedup: polling.subjectGroupDedup,
    data_dir_writable: facts.isDataDirUsable,
    redis:
      settings.redisUrl === null
        ? null
        : { server: serverOf(settings.redisUrl), fallback: settings.lock.fallback },
    offload: offloadReport(settings.offload),
  };
};
