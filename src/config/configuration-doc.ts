// docs/configuration.md, made from the schema so that the page and the program cannot differ. Written
// by scripts/write-configuration-doc.ts; a test fails when the page is behind.
import { SETTINGS_KEYS, type SettingsKey } from "./keys.ts";

const INTRO = `# Configuration

<!-- Made by \`npm run docs\` from src/config; edit it there. -->

One file, \`signalpost.yaml\` (\`--config FILE\`, else \`SIGNALPOST_CONFIG\`, else \`./signalpost.yaml\`), then
environment variables. \`signalpost check\` validates both and names every problem with its key and line.
A key that does not exist is an error, and so is a variable \`SIGNALPOST_…\` that means no key.

A small complete file:

\`\`\`yaml
enable_background_tasks: true
mailboxes:
  - id: default
    imap: { host: imap.example.com, user: me@example.com, password: "\${IMAP_PASSWORD}" }
webhook:
  url: https://example.com/hooks/mail
  secret_file: ./webhook-secret
\`\`\`

The same without a file: \`ENABLE_BACKGROUND_TASKS=true\`, \`IMAP_SERVER\`, \`EMAIL_ADDRESS\`, \`EMAIL_PASSWORD\`,
\`WEBHOOK_URL\`, \`WEBHOOK_SECRET\`.

## Where a value comes from

- **The environment wins over the file.** Every key that has variables below can be set by any of them; the first
  that is set counts. A variable that is empty or blank counts as unset. Truth values are \`1 true yes y on\` and
  \`0 false no n off\`; lists are separated by commas. The variables of one account make or override the mailbox
  \`default\`. \`DISABLE_BACKGROUND_TASKS=true\` beats every way to enable them.
- **The \`R2_…\` variables** of the Python service fill in an \`offload\` that the file, or a variable
  \`SIGNALPOST_OFFLOAD_…\`, begins; those of the worker likewise a \`fetch_worker\`. Alone they begin both as they did
  there, when \`R2_FETCH_ENABLED\` is true and \`R2_FETCH_ENDPOINT\` is set; otherwise they mean nothing.
- **\`\${NAME}\` inside a text of the file** is replaced by that variable after parsing, also where the key is a number
  or a truth value (\`port: \${PORT}\`). A variable that is missing or empty is an error. \`$\${\` is a literal \`\${\`.
- **\`password_file\`, \`token_file\`, \`secret_file\`, \`secret_access_key_file\` and \`redis_url_file\`** name a file that
  holds the secret; one newline at its end is dropped. In the configuration file such a path is relative to the folder
  of that file, in the environment to the working directory. \`secret_file\` may hold several secrets, one a line.
- **Other paths** (\`data_dir\`, \`lock.file\`) are relative to the working directory.
- **\`SIGNALPOST_SPOOL_KEY\`** is no key of the file: the base64 of 32 bytes (\`openssl rand -base64 32\`), or several
  separated by commas. The first encrypts what waits on disk, all of them decrypt. Without it payloads are stored
  readable for the user of the process.
- **TLS** trusts what the system trusts plus \`NODE_EXTRA_CA_CERTS\`; verification cannot be switched off.

## When a change takes effect

- \`polling\`, \`webhook\` and \`rules\`: by themselves, at the next cycle after the file stood still for a second. With
  \`redis_url\` the [documents](#documents) hold them, and the file does not change them any more.
- \`mailboxes\`: at SIGHUP. Mailboxes that did not change are not touched.
- Everything else, and every change of the environment: at a restart. A change that must wait is named in one warning,
  \`config.needs_restart\`.

A changed file that cannot be used leaves the last good configuration in force, with one warning, \`config.rejected\`. A
secret in a file of its own is read again when the configuration file changes, and at SIGHUP. A rule with a bad value
(an unknown operator, an address that is not https, an id that is taken) is skipped with a warning,
\`config.rule_refused\`; the other rules stay. A rule with an unknown key or a value of the wrong type is an error.

## Documents

With \`redis_url\` three documents hold what changes while the nodes run, so that all of them follow one source. Every
node reads them together at each cycle.

| Document | Holds |
|---|---|
| \`polling_config\` | the keys of \`polling\` |
| \`routing_rules\` | \`{"rules": [...]}\`, each rule as in \`rules\` |
| \`webhook_config\` | \`url\`, \`timeout_seconds\`, \`concurrency\` and \`max_attempts\` of \`webhook\` |

\`signalpost config get NAME\` prints one with its version, \`signalpost config set NAME --file F\` replaces it as a
whole; with \`--if-version N\` only when nobody else was faster.

- **The first node makes what is missing**: \`polling_config\` and \`routing_rules\` from what the Python service's
  screens stored (\`r:ss:config:…\`), as far as it maps, then from the file. From then on the documents count. A file
  that says something else gets one warning, \`config.file_ignored\`, at the start and after each such edit.
- **Key by key**, a document wins over the file, and the environment wins over both. A key that is in no document comes
  from the file of each node, which must be complete by itself: it is in force until the store answers.
- **A value from a variable**, in the environment or as \`\${NAME}\` in the file, never enters a document and keeps
  winning on its node. A \`\${NAME}\` anywhere in \`rules\` keeps the whole list in the file. \`config set\` refuses such
  a key and names the variable; \`status\` lists it as overridden.
- **Secrets and \`allow_private_addresses\`** are never in a document: whoever may write to Redis shall not open the
  network. They stay in the file or the environment of each node. A document holds no \`\${NAME}\`; as in the file,
  \`$\${\` stands for the two characters.
- **A document that cannot be used** leaves its last good version in force, with one warning; the others are taken.
  While Redis cannot be reached all of them stay as they were.
`;

const code = (text: string): string => `\`${text}\``;

const cell = (text: string): string => text.replaceAll("|", "\\|").replaceAll("\n", " ");

const typeOf = ({ kind, choices, range, unit, nullable }: SettingsKey): string => {
  const type = kind === "choice" ? choices.map(code).join(", ") : kind;
  const ranged = range === null ? type : `${type}, ${range[0]} to ${range[1]}`;
  const measured = unit === null ? ranged : `${ranged} (${unit})`;
  return nullable && kind !== "null" ? `${measured} or null` : measured;
};

const defaultOf = ({ required, byDefault, defaultText }: SettingsKey): string => {
  if (defaultText !== null) return defaultText;
  if (required) return "required";
  return byDefault === undefined ? "none" : code(JSON.stringify(byDefault));
};

const row = (key: SettingsKey): string => {
  const cells = [
    code(key.key),
    typeOf(key),
    defaultOf(key),
    key.environment.map(code).join(" "),
    key.description,
  ];
  return `| ${cells.map(cell).join(" | ")} |`;
};

const table = (keys: readonly SettingsKey[]): string[] => [
  "| Key | Type | Default | Environment | Meaning |",
  "|---|---|---|---|---|",
  ...keys.map(row),
];

const isGroup = ({ kind }: SettingsKey): boolean => kind === "section" || kind === "sections";

/** The whole page, Markdown. */
export const configurationDoc = (): string => {
  const isTop = ({ key }: SettingsKey): boolean => /^\w+$/.test(key);
  const top = SETTINGS_KEYS.filter((key) => isTop(key) && !isGroup(key));
  const sections = SETTINGS_KEYS.filter((key) => isTop(key) && isGroup(key));
  const lines = [INTRO, "## Keys at the top", "", ...table(top)];
  for (const { key: name, description } of sections) {
    const below = SETTINGS_KEYS.filter(({ key }) => /^\w+/.exec(key)?.[0] === name);
    const keys = below.filter((key) => !isTop(key) && !isGroup(key));
    lines.push("", `## ${code(name)}`, "", description, "", ...table(keys));
  }
  return `${lines.join("\n")}\n`;
};
