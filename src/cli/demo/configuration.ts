// The configuration of the demo, written as a user would write it, so that the file explains itself to
// who opens it. Loaded by the same code as any other; running-demo.ts writes it to the demo's folder.
import { ACCOUNT } from "./embedded-mailbox.adapter.ts";

/** What differs from run to run. */
export interface DemoPlaces {
  /** Absolute; holds state and lock. */
  dir: string;
  imapPort: number;
  webhookPort: number;
  /** `whsec_` and base64. */
  secret: string;
}

/** The text of `signalpost.yaml`. */
export const demoConfiguration = ({ dir, imapPort, webhookPort, secret }: DemoPlaces): string => `\
# The configuration of this demo; docs/configuration.md knows every key. Change a rule, save, and send
# two mails: a changed file is taken once it stood still for a moment, so the second one follows it.
enable_background_tasks: true
data_dir: ${JSON.stringify(`${dir}/data`)}
log_level: debug
http: { host: 127.0.0.1, port: 0 }
lock: { file: ${JSON.stringify(`${dir}/poller.lock`)} }

mailboxes:
  - id: default
    folder: INBOX
    imap: { host: 127.0.0.1, port: ${imapPort}, tls: none, user: ${ACCOUNT.user}, password: ${ACCOUNT.password} }
    start_from: beginning        # the default is "now": mail that is already there stays where it is

polling:
  interval_seconds: 300          # new mail is seen at once, because the server announces it (IDLE)

webhook:
  url: http://127.0.0.1:${webhookPort}/webhook
  secret: ${secret}
  allow_private_addresses: true  # the receiver is on this machine

rules:
  - id: newsletters
    name: Newsletters are dropped
    conditions: [{ field: "header:list-unsubscribe", operator: contains, value: http }]
    actions: { drop: true }
  - id: invoices
    name: Invoices go to accounting
    conditions:
      - { field: subject, operator: regex, value: '^(invoice|facture|rechnung)\\b' }
      - { field: has_attachment, operator: equals, value: true }
    actions: { webhook_url: "http://127.0.0.1:${webhookPort}/accounting", priority: high, stop_processing: true }
`;
