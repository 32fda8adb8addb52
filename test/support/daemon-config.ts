// The configuration that a test's daemon runs on: what a test says of it, and the signalpost.yaml that
// follows. Everything a test does not name has a value that suits loopback servers. Used by daemon.ts.
import { stringify } from "yaml";

/** The secret that webhooks are signed with unless a test names another. */
export const WEBHOOK_SECRET = `whsec_${Buffer.alloc(32, 7).toString("base64")}`;

/** One watched folder; `id` defaults to `default`, `start_from` to `now`, `tls` to `none`. */
export interface DaemonMailbox {
  id?: string;
  folder?: string;
  /** Default `127.0.0.1`. */
  host?: string;
  port: number;
  tls?: "implicit" | "starttls" | "none";
  user: string;
  password: string;
  start_from?: string;
  after_delivery?: string;
}

/** What goes into signalpost.yaml; keys of the sections are those of the file. */
export interface DaemonSettings {
  mailboxes: readonly DaemonMailbox[];
  /** `secret` defaults to {@link WEBHOOK_SECRET}; private addresses are allowed unless it says no. */
  webhook: { url: string; [key: string]: unknown };
  rules?: readonly unknown[];
  /** Keys of the section `lock` besides the file. */
  lock?: Readonly<Record<string, unknown>>;
  /** Default: every second a look. */
  polling?: Readonly<Record<string, unknown>>;
  limits?: Readonly<Record<string, unknown>>;
  /** At least `info`, because the start is read from the log. Default `debug`. */
  logLevel?: "debug" | "info";
  /** Further keys at the top; each replaces what stands there otherwise. */
  top?: Readonly<Record<string, unknown>>;
}

/** Where a daemon keeps its state and its lock. */
export interface DaemonPaths {
  readonly dataDir: string;
  readonly lockFile: string;
}

/** The configuration as text. */
export const configText = (settings: DaemonSettings, paths: DaemonPaths): string =>
  stringify({
    enable_background_tasks: true,
    data_dir: paths.dataDir,
    log_level: settings.logLevel ?? "debug",
    http: { host: "127.0.0.1", port: 0 },
    lock: { file: paths.lockFile, ...settings.lock },
    mailboxes: settings.mailboxes.map((mailbox) => {
      const { id = "default", host = "127.0.0.1", tls = "none", ...rest } = mailbox;
      const { port, user, password, ...more } = rest;
      return { id, imap: { host, port, tls, user, password }, ...more };
    }),
    polling: { interval_seconds: 1, ...settings.polling },
    webhook: { secret: WEBHOOK_SECRET, allow_private_addresses: true, ...settings.webhook },
    rules: settings.rules ?? [],
    ...(settings.limits === undefined ? {} : { limits: settings.limits }),
    ...settings.top,
  });
