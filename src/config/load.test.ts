// Loading as a whole: what a good file, a good environment and both together give, and which source
// wins. Faults of single keys are in sections/sections.test.ts, faults of the file in file.test.ts.
import { describe, expect, test } from "vitest";
import { ConfigError, type ConfigProblem } from "../core/errors.ts";
import { DEFAULT_LIMITS } from "../core/limits.ts";
import type { ConfigFileState } from "./config-file.ts";
import { configPath, loadSettings, type LoadedSettings } from "./load.ts";

const SECRET = `whsec_${Buffer.alloc(32, 7).toString("base64")}`;
const OTHER = `whsec_${Buffer.alloc(24, 9).toString("base64")}`;

const ACCOUNT = {
  IMAP_SERVER: "imap.example.com",
  EMAIL_ADDRESS: "me@example.com",
  EMAIL_PASSWORD: "hunter2hunter2",
  WEBHOOK_URL: "https://hooks.example.com/in",
  WEBHOOK_SECRET: SECRET,
};

const files =
  (contents: Readonly<Record<string, string>>) =>
  (path: string): ConfigFileState | null => {
    const text = contents[path];
    return text === undefined ? null : { stamp: String(text.length), text };
  };

const fromFile = (text: string, env = {}): LoadedSettings =>
  loadSettings({
    path: "signalpost.yaml",
    env,
    readConfigFile: files({ "signalpost.yaml": text }),
  });

const fromEnvironment = (env: Readonly<Record<string, string>>): LoadedSettings =>
  loadSettings({ path: null, env, readConfigFile: files({}) });

const problemsOf = (load: () => unknown): readonly ConfigProblem[] => {
  try {
    load();
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
};

const SMALL = `mailboxes:
  - id: default
    imap: { host: imap.example.com, user: me, password: secret-word }
webhook:
  url: https://hooks.example.com/in
  secret: ${SECRET}
`;

const DESIGN_SAMPLE = `
enable_background_tasks: true          # ENABLE_BACKGROUND_TASKS
data_dir: ./data
log_level: info
http: { host: 127.0.0.1, port: 8025, token: null }
lock: { key: "render_signal:poller_lock", ttl_seconds: 300, file: /tmp/render_signal_server_email_poller.lock, fallback: auto }
mailboxes:
  - id: default
    folder: INBOX
    imap: { host: imap.example.com, port: 993, tls: implicit, user: me, password: "\${IMAP_PASSWORD}" }
    start_from: now
    after_delivery: none               # none | mark_seen | move:<folder> | delete
polling:
  enable_polling: true
  timezone: Europe/Paris               # POLLING_TIMEZONE
  active_days: [0, 1, 2, 3, 4, 5, 6]   # 0 = Monday
  active_start_hour: 0
  active_end_hour: 24
  vacation_start: null                 # inclusive dates
  vacation_end: null
  sender_of_interest_for_polling: []   # empty = everyone
  interval_seconds: 30
  inactive_interval_seconds: 600
  skip_replies: false
  enable_subject_group_dedup: false
webhook: { url: "https://hooks.example.com/in", secret: ${SECRET},
            timeout_seconds: 30, concurrency: 16, max_attempts: 12, allow_private_addresses: false }
rules: []
log_masked_text: false
limits: { max_html_bytes: 1000000, max_text_bytes: 1000000 }
offload: null
`;

describe("a file", () => {
  test("gives every key of the documented sample its value", () => {
    const { settings, source, overridden } = fromFile(DESIGN_SAMPLE, { IMAP_PASSWORD: "p4ss" });
    expect(source).toBe("file");
    expect(overridden).toEqual([]);
    expect(settings).toMatchObject({
      enableBackgroundTasks: true,
      http: { host: "127.0.0.1", port: 8025, token: null },
      lock: { key: "render_signal:poller_lock", ttlMs: 300_000, fallback: "auto" },
      mailboxes: [
        {
          id: "default",
          folder: "INBOX",
          imap: { host: "imap.example.com", port: 993, tls: "implicit", password: "p4ss" },
          startFrom: { kind: "now" },
          afterDelivery: { kind: "none" },
        },
      ],
      polling: { intervalMs: 30_000, inactiveIntervalMs: 600_000, activeEndHour: 24 },
      webhook: { secrets: [SECRET], timeoutMs: 30_000, maxAttempts: 12 },
      limits: DEFAULT_LIMITS,
    });
  });

  test("leaves what it does not name to the defaults", () => {
    const { settings } = fromFile(SMALL);
    expect(settings.enableBackgroundTasks).toBe(false);
    expect(settings.webhook.maxAttempts).toBe(20);
    expect(settings.http).toEqual({ host: "127.0.0.1", port: 8025, token: null });
    expect(settings.polling).toEqual({
      enablePolling: true,
      timezone: "Europe/Paris",
      activeDays: [0, 1, 2, 3, 4, 5, 6],
      activeStartHour: 0,
      activeEndHour: 24,
      vacationStart: null,
      vacationEnd: null,
      sendersOfInterest: [],
      intervalMs: 30_000,
      inactiveIntervalMs: 600_000,
      skipReplies: false,
      subjectGroupDedup: false,
    });
  });

  test("switches the HTTP server off with null", () => {
    expect(fromFile(`http: null\n${SMALL}`).settings.http).toBeNull();
  });

  test("translates start_from, after_delivery and the folder name", () => {
    const text = SMALL.replace(
      "    imap:",
      "    folder: inbox\n    start_from: 2024-02-29\n    after_delivery: move:Done/2024\n    imap:",
    );
    expect(fromFile(text).settings.mailboxes[0]).toMatchObject({
      folder: "INBOX",
      startFrom: { kind: "date", date: "2024-02-29" },
      afterDelivery: { kind: "move", folder: "Done/2024" },
    });
  });

  test("takes several secrets, the first one first, and named ones", () => {
    const text = SMALL.replace(
      `secret: ${SECRET}`,
      `secret: [${OTHER}, ${SECRET}]\n  secrets: { team-a: ${OTHER} }`,
    );
    const { webhook } = fromFile(text).settings;
    expect(webhook.secrets).toEqual([OTHER, SECRET]);
    expect([...webhook.namedSecrets]).toEqual([["team-a", OTHER]]);
  });

  test("finds its secret files beside itself, absolute ones where they are", () => {
    const text = SMALL.replace("password: secret-word", "password_file: keys/imap").replace(
      `secret: ${SECRET}`,
      "secret_file: /run/webhook",
    );
    const readConfigFile = files({
      "conf/s.yaml": text,
      "conf/keys/imap": "beside\n",
      "/run/webhook": SECRET,
    });
    const { settings } = loadSettings({ path: "conf/s.yaml", env: {}, readConfigFile });
    expect(settings.mailboxes[0]?.imap.password).toBe("beside");
    expect(settings.webhook.secrets).toEqual([SECRET]);
  });

  test("tells a secret file that is missing once, by its key and line", () => {
    const text = SMALL.replace("password: secret-word", "password_file: canary");
    expect(problemsOf(() => fromFile(text))).toEqual([
      { key: "mailboxes[0].imap.password_file", line: 3, message: "name a file that exists" },
    ]);
  });

  test("is an error when it is named and does not exist, without telling its path", () => {
    const load = () =>
      loadSettings({ path: "/etc/private-name.yaml", env: ACCOUNT, readConfigFile: files({}) });
    expect(problemsOf(load)).toEqual([
      {
        key: "",
        line: null,
        message: "the configuration file does not exist; name another with --config",
      },
    ]);
  });

  test("is an error when it cannot be read, told by the system's code alone", () => {
    const readConfigFile = () => {
      throw Object.assign(new Error("EACCES: /etc/private-name.yaml"), { code: "EACCES" });
    };
    const [problem] = problemsOf(() => loadSettings({ path: "x", env: {}, readConfigFile }));
    expect(problem?.message).toBe("the configuration file cannot be read (EACCES)");
  });
});

describe("the environment", () => {
  test("makes mailbox default and the webhook without any file", () => {
    const { settings, source } = fromEnvironment(ACCOUNT);
    expect(source).toBe("environment");
    expect(settings.mailboxes).toEqual([
      {
        id: "default",
        folder: "INBOX",
        imap: {
          host: "imap.example.com",
          port: 993,
          tls: "implicit",
          user: "me@example.com",
          password: "hunter2hunter2",
          maxConnections: 10,
        },
        startFrom: { kind: "now" },
        afterDelivery: { kind: "none" },
      },
    ]);
    expect(settings.webhook).toMatchObject({ url: ACCOUNT.WEBHOOK_URL, secrets: [SECRET] });
  });

  test("says what is missing and which variables set it when it is all there is", () => {
    expect(problemsOf(() => fromEnvironment({})).map(({ key }) => key)).toEqual([
      "mailboxes",
      "webhook.url",
      "webhook.secret",
    ]);
    const [mailboxes, url] = problemsOf(() => fromEnvironment({}));
    expect(mailboxes?.message).toContain("IMAP_SERVER, EMAIL_ADDRESS and EMAIL_PASSWORD");
    expect(url?.message).toContain("or set WEBHOOK_URL");
  });

  test("wins over the file and remembers where", () => {
    const env = { IMAP_PORT: "1993", SIGNALPOST_HTTP_PORT: "0", POLLING_TIMEZONE: "UTC" };
    const loaded = fromFile(`polling: { timezone: Asia/Tokyo }\n${SMALL}`, env);
    expect(loaded.settings.mailboxes[0]?.imap.port).toBe(1993);
    expect(loaded.settings.http?.port).toBe(0);
    expect(loaded.settings.polling.timezone).toBe("UTC");
    expect(loaded.source).toBe("file+environment");
    expect(loaded.overridden.toSorted()).toEqual([
      "http.port",
      "mailboxes.default.imap.port",
      "polling.timezone",
    ]);
  });

  test("adds mailbox default beside the file's own mailboxes", () => {
    const text = SMALL.replace("id: default", "id: sales");
    const { mailboxes } = fromFile(text, ACCOUNT).settings;
    expect(mailboxes.map(({ id }) => id)).toEqual(["sales", "default"]);
  });

  test("is named, without a line, when its value is wrong", () => {
    const env = { POLLING_ACTIVE_DAYS: "0,9", SIGNALPOST_START_FROM: "2023-02-29" };
    const text = `polling:\n  active_days: [1]\n${SMALL}`;
    expect(problemsOf(() => fromFile(text, env))).toEqual([
      {
        key: "mailboxes[0].start_from",
        line: null,
        message: "SIGNALPOST_START_FROM: write now, beginning or a day such as 2026-12-24",
      },
      {
        key: "polling.active_days[1]",
        line: null,
        message: "POLLING_ACTIVE_DAYS: write a list of days from 0 (Monday) to 6 (Sunday)",
      },
    ]);
  });

  test("reads a secret from the file that a variable names", () => {
    const { EMAIL_PASSWORD: _, ...account } = ACCOUNT;
    const env = { ...account, SIGNALPOST_IMAP_PASSWORD_FILE: "/run/secrets/imap" };
    const readConfigFile = files({ "/run/secrets/imap": "from-file\n" });
    const { settings } = loadSettings({ path: null, env, readConfigFile });
    expect(settings.mailboxes[0]?.imap.password).toBe("from-file");
  });
});

describe("all problems", () => {
  test("come in one error, in the order of the file", () => {
    const text = `log_level: loud
polling:
  interval_seconds: 0
  vacation_start: 2026-05-01
  colour: red
mailboxes:
  - id: Bad_Id
    imap: { host: imap.example.com, port: 99999, user: me, password: x }
webhook:
  url: ftp://example.com
  secret: hush
surplus: 1
`;
    const problems = problemsOf(() => fromFile(text, { SIGNALPOST_TYPO: "1" }));
    expect(problems.map(({ key, line }) => [key, line])).toEqual([
      ["log_level", 1],
      ["polling.vacation_end", 2],
      ["polling.interval_seconds", 3],
      ["polling.colour", 5],
      ["mailboxes[0].id", 7],
      ["mailboxes[0].imap.port", 8],
      ["webhook.url", 10],
      ["webhook.secret", 11],
      ["surplus", 12],
      ["SIGNALPOST_TYPO", null],
    ]);
  });

  test("name the keys that a section knows when one is unknown", () => {
    const [problem] = problemsOf(() => fromFile(`lock: { tll_seconds: 3 }\n${SMALL}`));
    expect(problem).toEqual({
      key: "lock.tll_seconds",
      line: 1,
      message: "unknown key; remove it or write one of key, ttl_seconds, file, fallback",
    });
  });

  test("name a key of any length or depth by its first 200 characters", () => {
    const long = "k".repeat(900);
    const deep = `${"deep: { ".repeat(400)}x: "\${GONE}" ${"}".repeat(400)}`;
    const problems = problemsOf(() => fromFile(`${long}: 1\n${deep}\n${SMALL}`));
    expect(problems.map(({ key }) => [key.length, key.slice(0, 6), key.at(-1)])).toEqual([
      [200, "kkkkkk", "…"],
      [200, "deep.d", "…"],
      [4, "deep", "p"],
    ]);
    expect(problems[1]?.message).toContain("GONE");
  });

  test("read as lines with line and key", () => {
    expect(() => fromFile(`log_level: loud\n${SMALL}`)).toThrow(
      "line 1: log_level: write debug, info, warn or error",
    );
  });
});

describe("the line of a key", () => {
  const { lineOf } = fromFile(
    `${SMALL}rules:\n  - id: a\n    conditions:\n      - { field: to, operator: equals, value: x }\n`,
    { IMAP_PORT: "1", SIGNALPOST_WEBHOOK_URL: "https://x.example" },
  );

  test.each([
    ["mailboxes", 1],
    ["mailboxes.0", 2],
    ["mailboxes[0].imap", 3],
    ["mailboxes.0.imap.host", 3],
    ["rules.0", 8],
    ["rules[0]", 8],
    ["rules.0.conditions[0].value", 10],
    ["rules[0].conditions.0", 10],
    ["rules.0.conditions[7].value", 9],
    ["rules.7", 7],
    ["webhook.secret", 6],
    ["webhook.url", null],
    ["http.port", null],
  ])("%s is %j", (key, line) => {
    expect(lineOf(key)).toBe(line);
  });
});

describe("the version", () => {
  const version = (text: string): string => fromFile(text).version;

  test("is the same for the same hot part and short", () => {
    expect(version(SMALL)).toBe(version(`data_dir: ./elsewhere\n${SMALL}`));
    expect(version(SMALL)).toMatch(/^[0-9a-f]{12}$/);
  });

  test("changes with polling, webhook, a named secret and rules", () => {
    const named = SMALL.replace("webhook:", `webhook:\n  secrets: { a: ${OTHER} }`);
    const texts = [
      SMALL,
      `polling: { skip_replies: true }\n${SMALL}`,
      SMALL.replace("hooks.example.com/in", "hooks.example.com/other"),
      named,
      `rules: [{ id: a, conditions: [{ field: subject, operator: equals, value: x }] }]\n${SMALL}`,
    ];
    expect(new Set(texts.map(version)).size).toBe(texts.length);
  });
});

describe("the path", () => {
  const at = (path: string | null, env: Record<string, string>, existing: string[] = []) =>
    configPath({
      path,
      env,
      readConfigFile: files(Object.fromEntries(existing.map((f) => [f, "a"]))),
    });

  test("is the named one, then SIGNALPOST_CONFIG, then signalpost.yaml if it exists, then none", () => {
    expect(at("a.yaml", { SIGNALPOST_CONFIG: "b.yaml" })).toBe("a.yaml");
    expect(at(null, { SIGNALPOST_CONFIG: "b.yaml" }, ["signalpost.yaml"])).toBe("b.yaml");
    expect(at(null, { SIGNALPOST_CONFIG: "" }, ["signalpost.yaml"])).toBe("signalpost.yaml");
    expect(at(null, {})).toBeNull();
  });
});
