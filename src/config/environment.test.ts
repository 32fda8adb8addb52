// The environment as configuration: every scalar key has its variables, the older names mean the same,
// empty is unset, and a variable that means nothing is told.
import { describe, expect, test } from "vitest";
import { applyEnvironment, coerceText, type Environment } from "./environment.ts";
import { keyAt, type Path, SETTINGS_KEYS, valueAt } from "./keys.ts";

const laid = (env: Environment, file: unknown = {}) => applyEnvironment(file, env);

const valueOf = (env: Environment, path: Path, file: unknown = {}): unknown =>
  valueAt(laid(env, file).tree, path);

const problems = (env: Environment): string[] =>
  laid(env).problems.map(({ key, message }) => `${key}: ${message}`);

const DEFAULT: Path = ["mailboxes", 0];

describe("a variable", () => {
  test.each<[string, string, Path, unknown]>([
    ["IMAP_SERVER", "imap.example.com", [...DEFAULT, "imap", "host"], "imap.example.com"],
    ["IMAP_PORT", "1143", [...DEFAULT, "imap", "port"], 1143],
    ["IMAP_USE_SSL", "false", [...DEFAULT, "imap", "tls"], "none"],
    ["IMAP_USE_SSL", "1", [...DEFAULT, "imap", "tls"], "implicit"],
    ["EMAIL_ADDRESS", "me@example.com", [...DEFAULT, "imap", "user"], "me@example.com"],
    ["EMAIL_PASSWORD", " with spaces ", [...DEFAULT, "imap", "password"], " with spaces "],
    ["SIGNALPOST_START_FROM", "beginning", [...DEFAULT, "start_from"], "beginning"],
    ["SIGNALPOST_FOLDER", "Work", [...DEFAULT, "folder"], "Work"],
    ["SIGNALPOST_AFTER_DELIVERY", "mark_seen", [...DEFAULT, "after_delivery"], "mark_seen"],
    ["SIGNALPOST_IMAP_ALLOW_INSECURE", "yes", [...DEFAULT, "imap", "allow_insecure"], true],
    ["WEBHOOK_URL", "https://x.example", ["webhook", "url"], "https://x.example"],
    ["WEBHOOK_SECRET", "one", ["webhook", "secret"], "one"],
    ["WEBHOOK_SECRET", "one, two", ["webhook", "secret"], ["one", "two"]],
    [
      "SIGNALPOST_WEBHOOK_ALLOW_PRIVATE_ADDRESSES",
      "on",
      ["webhook", "allow_private_addresses"],
      true,
    ],
    [
      "SENDER_OF_INTEREST_FOR_POLLING",
      "a@b.c, d@e.f",
      ["polling", "sender_of_interest_for_polling"],
      ["a@b.c", "d@e.f"],
    ],
    ["POLLING_ACTIVE_DAYS", "0,1,2", ["polling", "active_days"], [0, 1, 2]],
    ["POLLING_ACTIVE_START_HOUR", "9", ["polling", "active_start_hour"], 9],
    ["POLLING_ACTIVE_END_HOUR", "23", ["polling", "active_end_hour"], 23],
    ["POLLING_TIMEZONE", "UTC", ["polling", "timezone"], "UTC"],
    ["EMAIL_POLLING_INTERVAL_SECONDS", "5", ["polling", "interval_seconds"], 5],
    ["POLLING_INACTIVE_CHECK_INTERVAL_SECONDS", "60", ["polling", "inactive_interval_seconds"], 60],
    ["ENABLE_SUBJECT_GROUP_DEDUP", "True", ["polling", "enable_subject_group_dedup"], true],
    ["MAX_HTML_BYTES", "1048576", ["limits", "max_html_bytes"], 1_048_576],
    ["MAX_TEXT_BYTES", "2048", ["limits", "max_text_bytes"], 2048],
    ["BG_POLLER_LOCK_FILE", "/run/p.lock", ["lock", "file"], "/run/p.lock"],
    ["LOG_LEVEL", "INFO", ["log_level"], "info"],
    ["ENABLE_BACKGROUND_TASKS", "y", ["enable_background_tasks"], true],
    ["SIGNALPOST_DATA_DIR", "/var/lib/signalpost", ["data_dir"], "/var/lib/signalpost"],
    ["SIGNALPOST_HTTP_PORT", "0", ["http", "port"], 0],
    ["SIGNALPOST_HTTP_TOKEN", "0123", ["http", "token"], "0123"],
    ["REDIS_URL", "redis://x", ["redis_url"], "redis://x"],
  ])("%s=%s sets its key", (...[name, text, path, value]) => {
    expect(valueOf({ [name]: text }, path)).toEqual(value);
  });

  test("exists for every key with one value, under one name that no other key has", () => {
    const names = SETTINGS_KEYS.flatMap(({ environment }) => environment);
    expect(new Set(names).size).toBe(names.length);
    const without = SETTINGS_KEYS.filter(
      ({ kind, key, environment }) =>
        !/^section|^map/.test(kind) && !key.startsWith("rules[]") && environment.length === 0,
    );
    expect(without.map(({ key }) => key)).toEqual(["mailboxes[].id"]);
  });

  test("counts as unset when it is empty or blank", () => {
    const file = { polling: { sender_of_interest_for_polling: ["a@b.c"] } };
    const env = { SENDER_OF_INTEREST_FOR_POLLING: "", LOG_LEVEL: "  ", SIGNALPOST_TYPO: "" };
    expect(laid(env, file)).toMatchObject({ tree: file, overridden: [], problems: [] });
  });

  test("cannot open the gate with a list of nothing", () => {
    expect(problems({ SENDER_OF_INTEREST_FOR_POLLING: " , " })).toEqual([
      "polling.sender_of_interest_for_polling: SENDER_OF_INTEREST_FOR_POLLING: write at least one item, several separated by commas",
    ]);
  });

  test("of our own name wins over the older one, empty ones do not", () => {
    const env = { SIGNALPOST_LOCK_FILE: "/a", BG_POLLER_LOCK_FILE: "/b" };
    expect(valueOf(env, ["lock", "file"])).toBe("/a");
    expect(valueOf({ ...env, SIGNALPOST_LOCK_FILE: "" }, ["lock", "file"])).toBe("/b");
  });

  test("overrides mailbox default wherever it stands, and only that", () => {
    const file = {
      mailboxes: [
        { id: "a", folder: "A" },
        { id: "default", folder: "B" },
      ],
    };
    const { tree, overridden } = laid({ SIGNALPOST_FOLDER: "C" }, file);
    expect(valueAt(tree, ["mailboxes", 0, "folder"])).toBe("A");
    expect(valueAt(tree, ["mailboxes", 1, "folder"])).toBe("C");
    expect(overridden).toEqual(["mailboxes.default.folder"]);
    expect(file.mailboxes[1]?.folder).toBe("B");
  });

  test("makes a section that the file has switched off", () => {
    expect(valueOf({ SIGNALPOST_HTTP_PORT: "1" }, ["http"], { http: null })).toEqual({ port: 1 });
  });

  test("replaces a secret file of the file, and the other way round", () => {
    expect(
      valueOf({ SIGNALPOST_HTTP_TOKEN: "t" }, ["http"], { http: { token_file: "f" } }),
    ).toEqual({
      token: "t",
    });
    expect(
      valueOf({ SIGNALPOST_HTTP_TOKEN_FILE: "f" }, ["http"], { http: { token: "t" } }),
    ).toEqual({
      token_file: "f",
    });
    expect(problems({ SIGNALPOST_HTTP_TOKEN: "t", SIGNALPOST_HTTP_TOKEN_FILE: "f" })).toEqual([
      "http.token_file: SIGNALPOST_HTTP_TOKEN_FILE: set it or SIGNALPOST_HTTP_TOKEN, not both",
    ]);
  });

  test("leaves a section of a wrong type for the schema to refuse", () => {
    expect(valueOf({ POLLING_TIMEZONE: "UTC" }, ["polling"], { polling: 5 })).toBe(5);
    expect(valueOf({ IMAP_PORT: "1" }, ["mailboxes"], { mailboxes: "x" })).toBe("x");
  });
});

describe("background tasks", () => {
  const enabled = (env: Environment): unknown => valueOf(env, ["enable_background_tasks"]);

  test("stay off when both switches are set", () => {
    for (const off of ["1", "true", "YES"]) {
      expect(enabled({ ENABLE_BACKGROUND_TASKS: "true", DISABLE_BACKGROUND_TASKS: off })).toBe(
        false,
      );
    }
    const env = { SIGNALPOST_ENABLE_BACKGROUND_TASKS: "true", DISABLE_BACKGROUND_TASKS: "1" };
    expect(enabled(env)).toBe(false);
    const file = { enable_background_tasks: true };
    expect(laid({ DISABLE_BACKGROUND_TASKS: "1" }, file)).toMatchObject({
      tree: { enable_background_tasks: false },
      overridden: ["enable_background_tasks"],
    });
  });

  test("are not touched by a disabling switch that is off or empty", () => {
    expect(enabled({ ENABLE_BACKGROUND_TASKS: "1", DISABLE_BACKGROUND_TASKS: "0" })).toBe(true);
    expect(enabled({ ENABLE_BACKGROUND_TASKS: "1", DISABLE_BACKGROUND_TASKS: "" })).toBe(true);
  });
});

describe("a wrong variable", () => {
  test.each([
    ["IMAP_PORT", "143;", "mailboxes[0].imap.port: IMAP_PORT: write a number"],
    ["IMAP_USE_SSL", "maybe", "mailboxes[0].imap.tls: IMAP_USE_SSL: write true or false"],
    [
      "ENABLE_BACKGROUND_TASKS",
      "2",
      "enable_background_tasks: ENABLE_BACKGROUND_TASKS: write true or false",
    ],
    [
      "DISABLE_BACKGROUND_TASKS",
      "2",
      "enable_background_tasks: DISABLE_BACKGROUND_TASKS: write true or false",
    ],
    [
      "POLLING_ACTIVE_DAYS",
      "mon",
      "polling.active_days: POLLING_ACTIVE_DAYS: write numbers separated by commas",
    ],
    [
      "SIGNALPOST_HTTP_TOKN",
      "x",
      "SIGNALPOST_HTTP_TOKN: no key has this variable; correct its name or unset it (docs/configuration.md)",
    ],
  ])("%s=%s is told without its value", (name, text, problem) => {
    expect(problems({ [name]: text })).toEqual([problem]);
  });

  test("is none when this program or Kubernetes reads or sets it elsewhere", () => {
    const env = {
      SIGNALPOST_CONFIG: "a.yaml",
      SIGNALPOST_HOST_ID: "h1",
      SIGNALPOST_CRASH_AT: "commit",
      SIGNALPOST_SERVICE_HOST: "10.0.0.1",
      SIGNALPOST_SERVICE_PORT_WEB: "8025",
      SIGNALPOST_PORT: "tcp://10.0.0.1:8025",
      SIGNALPOST_PORT_8025_TCP_ADDR: "10.0.0.1",
      WEBHOOK_SSL_VERIFY: "true",
    };
    expect(laid(env)).toMatchObject({ problems: [], overridden: [] });
    expect(problems({ SIGNALPOST_PORT: "8025" })).toHaveLength(1);
  });
});

describe("SIGNALPOST_SPOOL_KEY", () => {
  const key = (fill: number): string => Buffer.alloc(32, fill).toString("base64");

  test("is one key of 32 bytes or several", () => {
    expect(laid({ SIGNALPOST_SPOOL_KEY: key(1) }).spoolKeys).toEqual([key(1)]);
    expect(laid({ SIGNALPOST_SPOOL_KEY: `${key(1)}, ${key(2)}` }).spoolKeys).toEqual([
      key(1),
      key(2),
    ]);
    expect(laid({}).spoolKeys).toEqual([]);
  });

  test.each([Buffer.alloc(31).toString("base64"), "correct horse battery staple", `${key(1)},x`])(
    "refuses %s without repeating it",
    (text) => {
      expect(problems({ SIGNALPOST_SPOOL_KEY: text })).toEqual([
        expect.stringMatching(/^SIGNALPOST_SPOOL_KEY: write the base64 of 32 random bytes/),
      ]);
    },
  );
});

describe("a text", () => {
  test("becomes a truth value by the ten words", () => {
    const key = keyAt(["enable_background_tasks"]);
    if (key === undefined) throw new Error("no such key");
    const of = (text: string) => coerceText(key, text);
    for (const text of ["1", "true", "yes", "y", "on", " ON "])
      expect(of(text)).toEqual({ kind: "value", value: true });
    for (const text of ["0", "false", "no", "n", "off", "Off"])
      expect(of(text)).toEqual({ kind: "value", value: false });
    expect(of("enabled")).toEqual({ kind: "wrong", message: "write true or false" });
  });
});
