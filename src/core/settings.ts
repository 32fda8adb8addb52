// The settings in force, typed, as config/ validates them and everybody else reads them. One cycle
// sees one snapshot. Durations carry their unit; secrets are plain strings that never leave memory.
import type { Limits } from "./limits.ts";

/** Does `host` name this machine without asking anybody? Brackets around IPv6 are optional. */
export const isLoopbackHost = (host: string): boolean =>
  /^(localhost|127(\.\d{1,3}){3}|::1|\[::1\])$/i.test(host);

/** How to reach an IMAP account. `none`: no TLS, for loopback or where the user insisted. */
export interface ImapSettings {
  host: string;
  port: number;
  tls: "implicit" | "starttls" | "none";
  user: string;
  password: string;
  /** Of this process to this account (host and user), at a time. */
  maxConnections: number;
}

/** What is done to a message once every destination has it. */
export type AfterDelivery =
  | { kind: "none" }
  | { kind: "mark_seen" }
  | { kind: "move"; folder: string }
  | { kind: "delete" };

/** Where a folder's first contact starts; `date` is a calendar day in the polling time zone. */
export type StartFrom = { kind: "now" } | { kind: "beginning" } | { kind: "date"; date: string };

/** The start that `now`, `beginning` or a calendar day means. */
export const startFromOf = (text: string): StartFrom =>
  text === "now" || text === "beginning" ? { kind: text } : { kind: "date", date: text };

/** One watched folder. */
export interface MailboxSettings {
  id: string;
  folder: string;
  imap: ImapSettings;
  startFrom: StartFrom;
  afterDelivery: AfterDelivery;
}

/** The hot document `polling_config`. */
export interface PollingSettings {
  enablePolling: boolean;
  timezone: string;
  /** 0 = Monday. */
  activeDays: readonly number[];
  activeStartHour: number;
  activeEndHour: number;
  /** `2026-12-20`, inclusive; both or neither. */
  vacationStart: string | null;
  vacationEnd: string | null;
  /** Lower case; empty: everyone. */
  sendersOfInterest: readonly string[];
  intervalMs: number;
  inactiveIntervalMs: number;
  skipReplies: boolean;
  subjectGroupDedup: boolean;
}

/** The hot document `webhook_config`. */
export interface WebhookSettings {
  url: string;
  /** The first signs first; each `whsec_` and base64. */
  secrets: readonly string[];
  /** By name, for rules that sign with another secret. */
  namedSecrets: ReadonlyMap<string, string>;
  timeoutMs: number;
  concurrency: number;
  maxAttempts: number;
  allowPrivateAddresses: boolean;
}

/** What a condition may do with its value. */
export const RULE_OPERATORS = ["contains", "equals", "regex"] as const;

/** What a rule may say of its messages' priority. */
export const RULE_PRIORITIES = ["normal", "high"] as const;

/** One condition, as written; conditions of a rule are joined by AND. */
export interface RuleCondition {
  /** `sender subject body to mailbox has_attachment` or `header:<name>`, names in lower case. */
  field: string;
  /** One of {@link RULE_OPERATORS} in a rule that can be used. */
  operator: string;
  value: string;
  caseSensitive: boolean;
}

/**
 * One rule as it is written: config/ settles its shape alone, rules/ judges its values. A rule that is
 * refused there stands among the settings all the same, so that its destination is still known.
 */
export interface Rule {
  id: string;
  name: string;
  conditions: readonly RuleCondition[];
  /** A hook token stands here as the URL that it means. */
  webhookUrl: string | null;
  secretName: string | null;
  /** One of {@link RULE_PRIORITIES} in a rule that can be used. */
  priority: string;
  stopProcessing: boolean;
  drop: boolean;
}

/** A bucket of an S3-compatible storage, and how to reach it. */
export interface StorageSettings {
  /** `https://…`, without a path; null: AWS S3 of the region. */
  endpoint: string | null;
  region: string;
  bucket: string;
  accessKeyId: string;
  secretAccessKey: string;
  /** The bucket stands in the path, not in the host name. */
  pathStyle: boolean;
  allowPrivateAddresses: boolean;
}

/** The worker that fetches what a provider's link leads to and puts it into the bucket. */
export interface FetchWorkerSettings {
  url: string;
  token: string;
  /** Names of the bucket and of the hosts, exact or above a subdomain, whose links it is given. */
  bucket: string;
  hosts: readonly string[];
  allowPrivateAddresses: boolean;
}

/** What travels by reference in place of the webhook. */
export interface OffloadSettings {
  /** Null: attachments are not uploaded. */
  storage: StorageSettings | null;
  /** Null: links stay what they are. */
  worker: FetchWorkerSettings | null;
  /** Before every key, without a slash at either end; "": none. */
  prefix: string;
  /** Where anybody can read the bucket, without a slash at the end; null: URLs are signed. */
  publicBaseUrl: string | null;
  /** How long a signed URL is good for. */
  presignSeconds: number;
  /** Decoded bytes of the attachments that are wanted, both included. */
  minBytes: number;
  maxBytes: number;
  /** `application/pdf`, `image/*`, lower case; empty: every type. */
  contentTypes: readonly string[];
  /** `*.pdf`, lower case, `*` for any characters; empty: every name, and none. */
  filenames: readonly string[];
}

/** The part that is re-read at every cycle. */
export interface HotSettings {
  polling: PollingSettings;
  webhook: WebhookSettings;
  rules: readonly Rule[];
}

/** The part that only a restart or SIGHUP changes. */
export interface Settings extends HotSettings {
  enableBackgroundTasks: boolean;
  dataDir: string;
  /** `redis://` or `rediss://`, with user and password; null: everything on this host alone. */
  redisUrl: string | null;
  logLevel: "debug" | "info" | "warn" | "error";
  logMaskedText: boolean;
  http: { host: string; port: number; token: string | null } | null;
  lock: { key: string; ttlMs: number; file: string; fallback: "auto" | "file" | "wait" };
  mailboxes: readonly MailboxSettings[];
  limits: Limits;
  /** Null: nothing is moved to storage. */
  offload: OffloadSettings | null;
  /** From SIGNALPOST_SPOOL_KEY: the first encrypts, all decrypt; empty: payloads are stored plain. */
  spoolKeys: readonly string[];
}
