// What `signalpost help` prints: every command with its usage in one place. run-command.ts answers
// `--help` from the same table.
import { parseOptions, usageError } from "../options.ts";
import { type Command, EXIT } from "../terminal.ts";

const CONFIG =
  "--config FILE       the configuration (else SIGNALPOST_CONFIG, else ./signalpost.yaml)";
const JSON_LINE = "--json              for programs";

/** One command: how to call it, what it is for, its options. */
export const HELP: Readonly<
  Record<string, { usage: readonly string[]; summary: string; options: readonly string[] }>
> = {
  run: {
    usage: ["run [--config FILE]"],
    summary: "Watches the mailboxes until it is stopped.",
    options: [CONFIG],
  },
  demo: {
    usage: ["demo [--once]", "demo send [SUBJECT]"],
    summary:
      "Shows it all on this machine: a mailbox, a receiver and a few mails, nothing to set up.",
    options: [
      "--once              plays the samples and one live mail, then ends (1 when something is missing)",
    ],
  },
  check: {
    usage: ["check [--config FILE] [--json]"],
    summary:
      "Validates the configuration and explains what it does. Exit 78 when it cannot be used.",
    options: [CONFIG, JSON_LINE],
  },
  status: {
    usage: ["status [--cluster] [--config FILE] [--json]"],
    summary: "Shows mailboxes and destinations, from the store; needs no running daemon.",
    options: [
      "--cluster           the nodes instead, and which of them holds which mailbox",
      CONFIG,
      JSON_LINE,
    ],
  },
  parked: {
    usage: [
      "parked list [--json]",
      "parked show EVENT_ID [--payload] [--json]",
      "parked replay|drop EVENT_ID [--destination D] [--json]",
      "parked replay|drop --all [--json]",
    ],
    summary: "Lists, shows, sends again or throws away deliveries that were given up.",
    options: [
      "--payload           print the stored request too: it is the mail",
      "--destination D     only this destination of the event",
      "--all               every parked delivery",
      CONFIG,
      JSON_LINE,
    ],
  },
  receipts: {
    usage: ["receipts [--mailbox ID] [--uid N] [--last 50] [--config FILE] [--json]"],
    summary: "Tells what became of each message: 'why was my mail not sent?'",
    options: [
      "--mailbox ID        only this mailbox",
      "--uid N             only this UID",
      "--last N            the newest N receipts (default 50)",
      CONFIG,
      JSON_LINE,
    ],
  },
  redeliver: {
    usage: ["redeliver MAILBOX UID... [--config FILE] [--json]"],
    summary: "Asks the daemon to send messages again, under the same event id.",
    options: [CONFIG, JSON_LINE],
  },
  adopt: {
    usage: ["adopt MAILBOX --from now|beginning|DATE [--config FILE] [--json]"],
    summary: "Decides where a mailbox begins whose state was lost everywhere.",
    options: ["--from START        now, beginning, or a day such as 2026-12-24", CONFIG, JSON_LINE],
  },
  config: {
    usage: [
      "config get NAME [--config FILE] [--json]",
      "config set NAME --file F|- [--if-version N] [--config FILE] [--json]",
    ],
    summary:
      "Shows or replaces a document that all nodes share: polling_config, routing_rules or webhook_config.",
    options: [
      "--file F            the whole document as JSON; - reads standard input",
      "--if-version N      only when version N is stored (0: none yet)",
      CONFIG,
      JSON_LINE,
    ],
  },
  schema: { usage: ["schema"], summary: "Prints the JSON Schema of signalpost.yaml.", options: [] },
  version: { usage: ["version [--json]"], summary: "Prints the version.", options: [JSON_LINE] },
  help: {
    usage: ["help [COMMAND]"],
    summary: "Prints this, or more about a command.",
    options: [],
  },
};

const overview = (): string => {
  const lines = Object.entries(HELP).map(([name, { summary }]) => `  ${name.padEnd(11)}${summary}`);
  return [
    "Signalpost watches IMAP mailboxes and turns every new message into one signed webhook.",
    "",
    "usage: signalpost COMMAND [OPTIONS]",
    "",
    ...lines,
    "",
    "Exit codes: 0 ok, 1 failed, 64 usage, 70 wedged, 75 lease lost, 78 configuration.",
  ].join("\n");
};

/** The text about one command; about all of them for a name that is none. */
export const helpText = (name: string): string => {
  const entry = Object.hasOwn(HELP, name) ? HELP[name] : undefined;
  if (entry === undefined) return overview();
  const usage = entry.usage.map(
    (line, index) => `${index === 0 ? "usage:" : "      "} signalpost ${line}`,
  );
  const options = entry.options.map((line) => `  ${line}`);
  return [...usage, "", entry.summary, ...(options.length > 0 ? ["", ...options] : [])].join("\n");
};

/** `signalpost help [COMMAND]`. */
export const help: Command = async (args, terminal) => {
  const [name, ...more] = parseOptions(args, {}).positionals;
  if (more.length > 0) throw usageError("Ask about one command at a time");
  if (name !== undefined && !Object.hasOwn(HELP, name))
    throw usageError(`Unknown command '${name}'`);
  terminal.out(helpText(name ?? ""));
  return EXIT.ok;
};
