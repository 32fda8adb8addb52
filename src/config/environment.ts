// Environment variables as configuration: each wins over the same key of the file. `SIGNALPOST_<PATH>`
// names every scalar key, the names of the service this one replaces are aliases, and an empty variable
// counts as unset (DESIGN section 9).
import type { ConfigProblem } from "../core/errors.ts";
import {
  dotted,
  isTree,
  type Path,
  SETTINGS_KEYS,
  type SettingsKey,
  valueAt,
  withValue,
} from "./keys.ts";

/** The variables of a process. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** A text turned into the type of its key, or what to write instead. */
type Coerced = { kind: "value"; value: unknown } | { kind: "wrong"; message: string };

const TRUE = /^(1|true|yes|y|on)$/i;
const FALSE = /^(0|false|no|n|off)$/i;
const FLAG = "write true or false";

const flagOf = (text: string): boolean | null => {
  if (TRUE.test(text.trim())) return true;
  return FALSE.test(text.trim()) ? false : null;
};

const listOf = (text: string): string[] =>
  text
    .split(/[,\r\n]/)
    .map((item) => item.trim())
    .filter((item) => item !== "");

const value = (of: unknown): Coerced => ({ kind: "value", value: of });
const wrong = (message: string): Coerced => ({ kind: "wrong", message });

const NUMBER = /^\s*[+-]?\d+(\.\d+)?\s*$/;

/**
 * `text` as the type of `key`. Lists are separated by commas or newlines and must not come out empty
 * (an empty list of senders would mean everyone); texts stay as they are, for the schema to judge.
 */
export const coerceText = (key: SettingsKey, text: string): Coerced => {
  if (key.kind === "true or false") {
    const flag = flagOf(text);
    return flag === null ? wrong(FLAG) : value(flag);
  }
  if (key.kind === "number")
    return NUMBER.test(text) ? value(Number(text)) : wrong("write a number");
  if (key.kind === "choice") return value(text.trim().toLowerCase());
  if (!key.kind.includes("list")) return value(text);
  const items = listOf(text);
  if (items.length === 0) return wrong("write at least one item, several separated by commas");
  if (key.kind === "text or list") return value(items.length === 1 ? items[0] : items);
  if (key.kind === "list of texts") return value(items);
  return items.every((item) => NUMBER.test(item))
    ? value(items.map(Number))
    : wrong("write numbers separated by commas");
};

/** The value of a variable; undefined when it is unset or blank. */
export const variable = (env: Environment, name: string): string | undefined => {
  const text = env[name];
  return text === undefined || text.trim() === "" ? undefined : text;
};

/** Variables of this program that are no keys: they are read elsewhere. */
const NO_KEYS = new Set([
  "SIGNALPOST_CONFIG",
  "SIGNALPOST_HOST_ID",
  "SIGNALPOST_CRASH_AT",
  "SIGNALPOST_SPOOL_KEY",
]);

/** What Kubernetes sets in every container beside a service that is called signalpost. */
const isServiceLink = (name: string, text: string): boolean =>
  /^SIGNALPOST_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP)(_\w+)?)$/.test(name) ||
  (name === "SIGNALPOST_PORT" && /^(tcp|udp):\/\//.test(text));

const unknownVariables = (env: Environment): ConfigProblem[] => {
  const known = new Set(SETTINGS_KEYS.flatMap(({ environment }) => environment));
  return Object.keys(env)
    .filter((name) => name.startsWith("SIGNALPOST_") && !known.has(name) && !NO_KEYS.has(name))
    .filter((name) => {
      const text = variable(env, name);
      return text !== undefined && !isServiceLink(name, text);
    })
    .toSorted()
    .map((key) => ({
      key,
      line: null,
      message: "no key has this variable; correct its name or unset it (docs/configuration.md)",
    }));
};

/** `SIGNALPOST_SPOOL_KEY`: the base64 of 32 bytes, several separated by commas. */
const readSpoolKeys = (env: Environment): { spoolKeys: string[]; problems: ConfigProblem[] } => {
  const spoolKeys = listOf(variable(env, "SIGNALPOST_SPOOL_KEY") ?? "");
  const isKey = (text: string): boolean =>
    /^[A-Za-z0-9+/]{43}=$/.test(text) && Buffer.from(text, "base64").toString("base64") === text;
  if (spoolKeys.every(isKey)) return { spoolKeys, problems: [] };
  const message =
    "write the base64 of 32 random bytes (`openssl rand -base64 32`), several separated by commas";
  return { spoolKeys: [], problems: [{ key: "SIGNALPOST_SPOOL_KEY", line: null, message }] };
};

/** The reference's variables whose text means something else than the key's own. */
const coerceVariable = (key: SettingsKey, name: string, text: string): Coerced => {
  if (name !== "IMAP_USE_SSL") return coerceText(key, text);
  const flag = flagOf(text);
  if (flag === null) return wrong(FLAG);
  return value(flag ? "implicit" : "none");
};

/** Variables of the Python service that `offload.fetch_worker` and `offload` also go by. */
const FETCH_WORKER_ALIASES = ["R2_FETCH_ENABLED", "R2_FETCH_ENDPOINT", "R2_FETCH_TOKEN"];
const OFFLOAD_ALIASES = ["R2_BUCKET_NAME", "R2_PUBLIC_BASE_URL"];
const FETCH_WORKER_SWITCH = "SIGNALPOST_OFFLOAD_FETCH_WORKER_ENABLED";

const isSaidOff = (text: string | undefined): boolean =>
  text !== undefined && flagOf(text) === false;

/**
 * The variables of `offload` that mean nothing here. Those of the Python service add to a section that the
 * file or a variable of ours makes; alone they make one as there, when R2_FETCH_ENABLED is true and
 * R2_FETCH_ENDPOINT is set. What is left of them beside that, or a switch that is off, makes no half one.
 */
const idleVariables = (file: unknown, env: Environment): ReadonlySet<string> => {
  const isMade = (section: Path): boolean => {
    const prefix = `SIGNALPOST_${section.join("_").toUpperCase()}_`;
    return (
      isTree(valueAt(file, section)) ||
      Object.keys(env).some(
        (name) =>
          name.startsWith(prefix) &&
          variable(env, name) !== undefined &&
          !(name === FETCH_WORKER_SWITCH && isSaidOff(env[name])),
      )
    );
  };
  const enabled = variable(env, "R2_FETCH_ENABLED");
  if (
    enabled !== undefined &&
    !isSaidOff(enabled) &&
    variable(env, "R2_FETCH_ENDPOINT") !== undefined
  )
    return new Set();
  return new Set([
    ...(isMade(["offload", "fetch_worker"]) ? [] : FETCH_WORKER_ALIASES),
    ...(isMade(["offload"]) ? [] : [...OFFLOAD_ALIASES, FETCH_WORKER_SWITCH]),
  ]);
};

/** Where mailbox `default` stands in the tree, or would be appended. */
const defaultMailbox = (tree: unknown): number => {
  const mailboxes = valueAt(tree, ["mailboxes"]);
  if (!Array.isArray(mailboxes)) return 0;
  const found = mailboxes.findIndex((entry) => isTree(entry) && entry["id"] === "default");
  return found === -1 ? mailboxes.length : found;
};

const pathOf = ({ key }: SettingsKey, mailbox: number): Path =>
  key.split(".").flatMap((part) => (part === "mailboxes[]" ? ["mailboxes", mailbox] : [part]));

/** The key of which only one may be set: a secret and the file that holds it. */
const twinOf = (path: Path): Path => {
  const last = String(path.at(-1));
  const twin = last.endsWith("_file") ? last.slice(0, -"_file".length) : `${last}_file`;
  return [...path.slice(0, -1), twin];
};

/** The tree with the environment laid over it. */
export interface WithEnvironment {
  tree: unknown;
  /** By dotted path: the variable that set it. */
  variables: ReadonlyMap<string, string>;
  /** Dotted keys that the environment set, mailbox `default` by its name. */
  overridden: readonly string[];
  spoolKeys: readonly string[];
  problems: readonly ConfigProblem[];
}

/** Lays the environment over the tree of the file (`{}` without one). */
export const applyEnvironment = (file: unknown, env: Environment): WithEnvironment => {
  const { spoolKeys, problems } = readSpoolKeys(env);
  problems.push(...unknownVariables(env));
  const variables = new Map<string, string>();
  const overridden: string[] = [];
  const mailbox = defaultMailbox(file);
  let tree = file;
  const put = (key: SettingsKey, name: string, coerced: Coerced): void => {
    const path = pathOf(key, mailbox);
    const twin = variables.get(dotted(twinOf(path)));
    variables.set(dotted(path), name);
    overridden.push(key.key.replace("[]", ".default"));
    const message = twin === undefined ? null : `set it or ${twin}, not both`;
    if (coerced.kind === "wrong" || message !== null) {
      const what = coerced.kind === "wrong" ? coerced.message : message;
      problems.push({ key: dotted(path), line: null, message: `${name}: ${what}` });
      return;
    }
    if (path[0] === "mailboxes") {
      if (valueAt(tree, ["mailboxes"]) === undefined) tree = withValue(tree, ["mailboxes"], []);
      tree = withValue(tree, ["mailboxes", mailbox, "id"], "default");
    }
    tree = withValue(withValue(tree, twinOf(path), undefined), path, coerced.value);
  };
  const idle = idleVariables(file, env);
  for (const key of SETTINGS_KEYS) {
    const name = key.environment.find(
      (candidate) => !idle.has(candidate) && variable(env, candidate) !== undefined,
    );
    if (name !== undefined) put(key, name, coerceVariable(key, name, variable(env, name) ?? ""));
  }
  const disable = variable(env, "DISABLE_BACKGROUND_TASKS");
  const enabling = SETTINGS_KEYS.find(({ key }) => key === "enable_background_tasks");
  if (disable !== undefined && enabling !== undefined && flagOf(disable) !== false) {
    const off = flagOf(disable) === null ? wrong(FLAG) : value(false);
    put(enabling, "DISABLE_BACKGROUND_TASKS", off);
  }
  return { tree, variables, overridden: [...new Set(overridden)], spoolKeys, problems };
};
