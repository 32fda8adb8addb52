// Every key with a value it must refuse: the problem names the key and its line, says what to write,
// and never repeats the value. Also the checks over several keys.
import { describe, expect, test } from "vitest";
import { ConfigError, type ConfigProblem } from "../../core/errors.ts";
import { keyAt, SETTINGS_KEYS } from "../keys.ts";
import { loadSettings } from "../load.ts";
import { isWebhookSecret } from "./webhook.ts";

const CANARY = "canary-7c1f";
const SECRET = `whsec_${Buffer.alloc(32, 7).toString("base64")}`;

const load = (text: string) =>
  loadSettings({ path: "c", env: {}, readConfigFile: () => ({ stamp: "", text }) });

const problemsOf = (text: string): readonly ConfigProblem[] => {
  try {
    load(text);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
};

interface Parts {
  top?: string;
  imap?: string;
  mailbox?: string;
  webhook?: string;
}

/** A good file, one key a line, with further lines in its parts. */
const file = ({ top = "", imap = "", mailbox = "", webhook = "" }: Parts): string =>
  `mailboxes:
  - id: default
    imap:
      host: imap.example.com
      user: me
      password: word
${imap}${mailbox}webhook:
  url: https://hooks.example.com/in
  secret: ${SECRET}
${webhook}${top}`;

const OFFLOAD = `offload:
  region: eu-west-3
  bucket: my-mail
  access_key_id: id
  secret_access_key: word
  public_base_url: https://files.example.com
  fetch_worker:
    url: https://fetch.example.com
    token: word
`;

/** A good section with a value in place of the one that a key has, or with the key added. */
const offloadWith = (key: string, value: string): string => {
  const [, name = "", below] = key.split(".");
  const line = below === undefined ? `  ${name}: ` : `    ${below}: `;
  const [before, after] = OFFLOAD.split(line);
  if (after !== undefined) return `${before}${line}${value}${after.slice(after.indexOf("\n"))}`;
  return below === undefined
    ? OFFLOAD.replace("offload:\n", `offload:\n${line}${value}\n`)
    : `${OFFLOAD}${line}${value}\n`;
};

/** `file` with a value in place of the one that a required key has, or with the key added. */
const withKey = (key: string, value: string): string => {
  const name = key.split(".").at(-1) ?? "";
  const good = file({});
  const has = new RegExp(`^(\\s*(?:- )?${name}):.*$`, "m");
  if (/^(mailboxes|webhook)/.test(key) && has.test(good)) return good.replace(has, `$1: ${value}`);
  if (key.startsWith("mailboxes[].imap")) return file({ imap: `      ${name}: ${value}\n` });
  if (key.startsWith("mailboxes[]")) return file({ mailbox: `    ${name}: ${value}\n` });
  if (key.startsWith("webhook")) return file({ webhook: `  ${name}: ${value}\n` });
  if (key.startsWith("offload.")) return file({ top: offloadWith(key, value) });
  const section = key.includes(".") ? `${key.split(".")[0]}:\n  ` : "";
  return file({ top: `${section}${name}: ${value}\n` });
};

const lineWith = (text: string, what: string): number =>
  text.split("\n").findIndex((line) => line.includes(what)) + 1;

const scalars = SETTINGS_KEYS.filter(
  ({ key, kind }) => kind !== "section" && kind !== "sections" && !key.startsWith("rules"),
);

describe("a section", () => {
  test.each(scalars.map(({ key }) => key))("refuses a map at %s by key and line", (key) => {
    const text = withKey(key, `{ "${CANARY}": [${CANARY}] }`);
    const problems = problemsOf(text);
    const [first] = problems;
    expect(problems).toHaveLength(1);
    expect(first?.key.replaceAll(/\[\d\]/g, "[]").startsWith(key)).toBe(true);
    expect(first?.line).toBe(lineWith(text, CANARY));
    expect(first?.message).toMatch(/^(write|unknown key)/);
    expect(first?.message).not.toContain(CANARY);
  });

  test.each([
    "http",
    "lock",
    "mailboxes[].imap",
    "mailboxes[]",
    "polling",
    "webhook",
    "limits",
    "offload",
    "offload.fetch_worker",
  ])("refuses an unknown key in %s", (key) => {
    const text = withKey(`${key}.surplus`, CANARY);
    const [first] = problemsOf(text);
    expect(first?.key.replace("[0]", "[]")).toBe(`${key}.surplus`);
    expect(first?.line).toBe(lineWith(text, CANARY));
    expect(first?.message).toContain("unknown key; remove it or write one of ");
  });

  test.each(["polling", "webhook", "lock", "limits", "mailboxes", "rules"])(
    "refuses %s without anything below it",
    (key) => {
      expect(problemsOf(`${key}:\n`).some((problem) => problem.key === key)).toBe(true);
    },
  );
});

const BAD: readonly (readonly [key: string, value: string])[] = [
  ["enable_background_tasks", "'yes'"],
  ["data_dir", "' '"],
  ["log_level", CANARY],
  ["redis_url", `http://${CANARY}`],
  ["redis_url", `redis://me:${CANARY}@`],
  ["redis_url", `redis://me:a#${CANARY}@host`],
  ["redis_url", `"redis://host/${CANARY}"`],
  ["redis_url", `redis://host?password=${CANARY}`],
  ["offload", CANARY],
  ["http.host", `http://${CANARY}`],
  ["http.port", "65536"],
  ["http.port", "80.5"],
  ["http.port", `"8080"`],
  ["http.token", `"${CANARY} with a space"`],
  ["lock.key", `"a ${CANARY}"`],
  ["lock.ttl_seconds", "29"],
  ["lock.fallback", CANARY],
  ["mailboxes[].id", `-${CANARY}`],
  ["mailboxes[].id", "a".repeat(65)],
  ["mailboxes[].folder", `"${CANARY}\\n"`],
  ["mailboxes[].start_from", CANARY],
  ["mailboxes[].start_from", "2026-02-29"],
  ["mailboxes[].after_delivery", CANARY],
  ["mailboxes[].after_delivery", `"move: "`],
  ["mailboxes[].after_delivery", "move:inbox"],
  ["mailboxes[].imap.host", `imaps://${CANARY}`],
  ["mailboxes[].imap.port", "0"],
  ["mailboxes[].imap.tls", CANARY],
  ["mailboxes[].imap.tls", "none"],
  ["mailboxes[].imap.max_connections", "101"],
  ["mailboxes[].imap.user", "''"],
  ["mailboxes[].imap.password", "12345"],
  ["polling.timezone", `Mars/${CANARY}`],
  ["polling.active_days", "[]"],
  ["polling.active_days", CANARY],
  ["polling.active_start_hour", "24"],
  ["polling.active_end_hour", "25"],
  ["polling.active_end_hour", "-1"],
  ["polling.vacation_start", CANARY],
  ["polling.interval_seconds", "0"],
  ["polling.inactive_interval_seconds", "0"],
  ["webhook.url", `http://${CANARY}.example.com/path`],
  ["webhook.url", `https://user:${CANARY}@example.com/`],
  ["webhook.url", `file:///${CANARY}`],
  ["webhook.secret", `whsec_${CANARY}`],
  ["webhook.secret", "[]"],
  ["webhook.timeout_seconds", "0"],
  ["webhook.concurrency", "0"],
  ["webhook.max_attempts", "0"],
  ["limits.max_html_bytes", "-1"],
];

describe("a key", () => {
  test.each(BAD)("%s refuses %s by key and line", (key, value) => {
    const text = withKey(key, value);
    const problems = problemsOf(text);
    expect(problems.map((problem) => problem.key.replace("[0]", "[]"))).toEqual([key]);
    expect(problems[0]?.line).toBe(lineWith(text, value));
    expect(problems[0]?.message).not.toContain(CANARY);
    expect(keyAt(key.split("."))?.description).not.toBe("");
  });

  test("may hold one wrong entry in a list, which is named by its place", () => {
    const senders = `polling:\n  sender_of_interest_for_polling:\n    - a@b.example\n    - ${CANARY}\n`;
    const text = file({ top: senders });
    expect(problemsOf(text)).toEqual([
      {
        key: "polling.sender_of_interest_for_polling[1]",
        line: lineWith(text, CANARY),
        message: "write an address such as name@example.com",
      },
    ]);
  });

  test("may be missing, which is told at the line of its section", () => {
    expect(problemsOf("mailboxes:\n  - id: a\n    imap:\n      host: h\nwebhook: {}\n")).toEqual([
      {
        key: "mailboxes[0].imap.user",
        line: 3,
        message: "is missing; write the user name of the account",
      },
      {
        key: "mailboxes[0].imap.password",
        line: 3,
        message: 'is missing; write password: "${IMAP_PASSWORD}" or password_file',
      },
      expect.objectContaining({ key: "webhook.url", line: 5 }),
      expect.objectContaining({ key: "webhook.secret", line: 5 }),
    ]);
  });
});

describe("checks over several keys", () => {
  const keys = (text: string): string[] => problemsOf(text).map(({ key }) => key);

  test("refuse a vacation with one end or ends in the wrong order, and keep a good one", () => {
    const vacation = (lines: string) => file({ top: `polling:\n${lines}` });
    expect(keys(vacation("  vacation_start: 2026-12-20\n"))).toEqual(["polling.vacation_end"]);
    expect(keys(vacation("  vacation_end: 2026-12-20\n"))).toEqual(["polling.vacation_start"]);
    expect(keys(vacation("  vacation_start: 2026-12-31\n  vacation_end: 2026-12-20\n"))).toEqual([
      "polling.vacation_end",
    ]);
    expect(keys(vacation("  vacation_start: 2026-12-20\n  vacation_end: 2026-12-20\n"))).toEqual(
      [],
    );
  });

  test("run beside an unrelated error of the same section", () => {
    const text = file({ top: "polling:\n  interval_seconds: 0\n  vacation_start: 2026-12-20\n" });
    expect(keys(text).toSorted()).toEqual(["polling.interval_seconds", "polling.vacation_end"]);
  });

  test("ask for a token on any address but a loopback one", () => {
    const http = (value: string) => keys(file({ top: `http: ${value}\n` }));
    expect(http("{ host: 0.0.0.0 }")).toEqual(["http.token"]);
    expect(http("{ host: '::' }")).toEqual(["http.token"]);
    expect(http("{ host: 0.0.0.0, token: abc }")).toEqual([]);
    expect(http("{ host: '::1' }")).toEqual([]);
  });

  test("accept IMAP without TLS for this machine, or when the user insists", () => {
    const imap = (host: string, more = "") =>
      keys(file({ imap: `      tls: none\n${more}` }).replace("imap.example.com", host));
    expect(imap("127.0.0.1")).toEqual([]);
    expect(imap("localhost")).toEqual([]);
    expect(imap("127.0.0.1.example.com")).toEqual(["mailboxes[0].imap.tls"]);
    expect(imap("mail.example.com", "      allow_insecure: true\n")).toEqual([]);
  });

  test("accept a webhook by http only with private addresses allowed", () => {
    const text = file({ webhook: "  allow_private_addresses: true\n" });
    expect(keys(text.replace("https://hooks.example.com", "http://127.0.0.1:9000"))).toEqual([]);
  });

  test("refuse the second of two mailboxes with one id, at its line", () => {
    const second = "  - { id: default, imap: { host: h, user: u, password: p } }\n";
    const text = file({ mailbox: second });
    expect(problemsOf(text)).toEqual([
      {
        key: "mailboxes[1].id",
        line: lineWith(text, second.trim()),
        message: "write another id; this one is taken by an entry above",
      },
    ]);
  });

  test("refuse more than 200 rules", () => {
    const rule = (at: number) =>
      `  - { id: r${at}, conditions: [{ field: subject, operator: equals, value: x }] }\n`;
    const rules = (count: number) =>
      file({ top: `rules:\n${Array.from({ length: count }, (_, at) => rule(at)).join("")}` });
    expect(keys(rules(200))).toEqual([]);
    expect(keys(rules(201))).toEqual(["rules"]);
  });
});

describe("values", () => {
  test("of the port follow the kind of TLS", () => {
    const port = (tls: string) => load(file({ imap: `      tls: ${tls}\n` })).settings.mailboxes[0];
    expect(port("implicit")?.imap.port).toBe(993);
    expect(port("starttls")?.imap.port).toBe(143);
  });

  test("of days and senders come out sorted, in small letters and once", () => {
    const text = `polling:
  active_days: [4, 0, 4]
  sender_of_interest_for_polling: [" Boss@Corp.example ", boss@corp.example, a@b.example]
`;
    const { polling } = load(file({ top: text })).settings;
    expect(polling.activeDays).toEqual([0, 4]);
    expect(polling.sendersOfInterest).toEqual(["boss@corp.example", "a@b.example"]);
  });

  test.each([
    "redis://localhost",
    "redis://127.0.0.1:6379/0",
    "redis://[::1]:6379/",
    "rediss://default:p%40ss@redis.example.com:6380/15",
    "redis://:word@host",
  ])("of redis_url may be %s", (url) => {
    expect(load(file({ top: `redis_url: "${url}"\n` })).settings.redisUrl).toBe(url);
  });

  test("of redis_url may stand in a file of its own", () => {
    const files: Record<string, string> = {
      c: file({ top: "redis_url_file: secret\n" }),
      secret: "redis://:word@host\n",
    };
    const { settings } = loadSettings({
      path: "c",
      env: {},
      readConfigFile: (path) => ({ stamp: "", text: files[path] ?? "" }),
    });
    expect(settings.redisUrl).toBe("redis://:word@host");
    expect(load(file({})).settings.redisUrl).toBeNull();
  });

  test("of connections to one account are 10 unless told otherwise", () => {
    const of = (imap: string) => load(file({ imap })).settings.mailboxes[0]?.imap.maxConnections;
    expect(of("")).toBe(10);
    expect(of("      max_connections: 3\n")).toBe(3);
  });

  test("of a webhook secret are base64 of 24 to 64 bytes behind whsec_", () => {
    const of = (bytes: number) => `whsec_${Buffer.alloc(bytes, 200).toString("base64")}`;
    expect([23, 24, 32, 64, 65].map((bytes) => isWebhookSecret(of(bytes)))).toEqual([
      false,
      true,
      true,
      true,
      false,
    ]);
    expect(isWebhookSecret(of(32).slice("whsec_".length))).toBe(false);
    expect(isWebhookSecret(`${of(32)}x`)).toBe(false);
  });
});
