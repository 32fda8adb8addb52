// Documents between file and environment: which source wins key by key, what may never come from a
// document, how its problems are told, and what a configuration is as documents.
import { describe, expect, test } from "vitest";
import { ConfigError, type ConfigProblem } from "../../core/errors.ts";
import type { DocumentName } from "../../store/store.ts";
import { loadSettings, type LoadedSettings } from "../load.ts";
import { type Documents, pinnedIn } from "./layer.ts";

const CANARY = "canary-7c1f";
const SECRET = `whsec_${Buffer.alloc(32, 7).toString("base64")}`;

const file = (more = "", url = "https://hooks.example.com/in"): string => `mailboxes:
  - { id: default, imap: { host: imap.example.com, user: me, password: word } }
webhook: { url: "${url}", secret: ${SECRET}, max_attempts: 7 }
${more}`;

const load = (text: string, env: Record<string, string> = {}): LoadedSettings =>
  loadSettings({ path: "c", env, readConfigFile: () => ({ stamp: "", text }) });

const problemsOf = (documents: Documents, base = load(file())): readonly ConfigProblem[] => {
  try {
    base.withDocuments(documents);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
};

const rule = (id: string, value = "x") => ({
  id,
  conditions: [{ field: "subject", operator: "equals", value }],
});

describe("a document", () => {
  test("wins over the file in the keys it has and leaves the others to the file", () => {
    const base = load(file("polling: { skip_replies: true, interval_seconds: 60 }\n"));
    const { settings, source, overridden } = base.withDocuments({
      polling_config: {
        interval_seconds: 5,
        sender_of_interest_for_polling: ["Boss@Corp.example"],
      },
      webhook_config: { timeout_seconds: 3 },
    });
    expect(settings.polling).toMatchObject({
      skipReplies: true,
      intervalMs: 5000,
      sendersOfInterest: ["boss@corp.example"],
    });
    expect(settings.webhook).toMatchObject({ timeoutMs: 3000, maxAttempts: 7, secrets: [SECRET] });
    expect({ source, overridden }).toEqual({ source: "documents", overridden: [] });
  });

  test("loses to the environment, which is named", () => {
    const base = load(file(), { POLLING_TIMEZONE: "UTC", WEBHOOK_URL: "https://env.example.com/" });
    const { settings, source, overridden } = base.withDocuments({
      polling_config: { timezone: "Europe/Paris", skip_replies: true },
      webhook_config: { url: "https://document.example.com/" },
    });
    expect(settings.polling).toMatchObject({ timezone: "UTC", skipReplies: true });
    expect(settings.webhook.url).toBe("https://env.example.com/");
    expect(source).toBe("documents+environment");
    expect(overridden.toSorted()).toEqual(["polling.timezone", "webhook.url"]);
  });

  test("loses to a variable inside the file, which is named too", () => {
    const env = { TOKEN: "abc", BOSS: "boss@corp.example" };
    const base = load(
      file(
        `polling: { sender_of_interest_for_polling: ["\${BOSS}"] }\n`,
        "https://hooks.example.com/${TOKEN}",
      ),
      env,
    );
    expect(base).toMatchObject({ source: "file", overridden: [] });
    const { settings, source, overridden } = base.withDocuments({
      polling_config: { sender_of_interest_for_polling: ["a@b.example"] },
      webhook_config: { url: "https://document.example.com/" },
    });
    expect(settings.polling.sendersOfInterest).toEqual(["boss@corp.example"]);
    expect(settings.webhook.url).toBe("https://hooks.example.com/abc");
    expect(source).toBe("documents+environment");
    expect(overridden.toSorted()).toEqual([
      "polling.sender_of_interest_for_polling",
      "webhook.url",
    ]);
  });

  test("of rules replaces the list of the file, as an object or as the list alone", () => {
    const base = load(file(`rules: [${JSON.stringify(rule("file"))}]\n`));
    for (const document of [{ rules: [rule("a")] }, [rule("a")]]) {
      const loaded = base.withDocuments({ routing_rules: document });
      expect(loaded.settings.rules.map(({ id }) => id)).toEqual(["a"]);
      expect(loaded.lineOf("rules.0")).toBeNull();
      expect(loaded.version).not.toBe(base.version);
    }
    expect(base.lineOf("rules.0")).toBe(4);
  });

  test("of rules loses as a whole to a list of the file with a variable in it", () => {
    const text = file(`rules: [${JSON.stringify(rule("file", "${WORD}"))}]\n`);
    const base = load(text, { WORD: "w" });
    expect(base.documents.routing_rules).toBeNull();
    const { settings } = base.withDocuments({ routing_rules: { rules: [] } });
    expect(settings.rules.map(({ id }) => id)).toEqual(["file"]);
  });

  test("has the same escape for a literal ${ as the file", () => {
    const base = load(file());
    const { settings } = base.withDocuments({ routing_rules: [rule("a", "a$${b")] });
    expect(settings.rules[0]?.conditions[0]?.value).toBe("a${b");
  });
});

describe("a bad document", () => {
  const FORBIDDEN = "is never in a document; write it in the file of each node";
  const WEBHOOK = "url, timeout_seconds, concurrency, max_attempts";

  test.each<[DocumentName, unknown, string, string]>([
    ["polling_config", { interval_seconds: CANARY }, "polling.interval_seconds", "write a whole"],
    ["polling_config", { [CANARY]: 1 }, `polling.${CANARY}`, "unknown key; remove it or write one"],
    [
      "polling_config",
      { vacation_start: "2026-12-20" },
      "polling.vacation_end",
      "is missing; write the last",
    ],
    ["polling_config", [CANARY], "polling", "write an object with some of enable_polling, "],
    ["polling_config", null, "polling", "write an object with some of enable_polling, "],
    ["polling_config", { timezone: "${CANARY}" }, "polling.timezone", "write the value itself; "],
    ["routing_rules", { rules: [{ id: CANARY }] }, "rules[0].conditions", "is missing; write a li"],
    ["routing_rules", { rules: [], other: CANARY }, "rules", 'write {"rules": [...]} without'],
    ["routing_rules", CANARY, "rules", 'write {"rules": [...]}, or the list alone'],
    ["routing_rules", { rules: null }, "rules", "write a list of rules"],
    ["webhook_config", { secret: SECRET }, "webhook.secret", FORBIDDEN],
    ["webhook_config", { secret_file: CANARY }, "webhook.secret_file", FORBIDDEN],
    ["webhook_config", { secrets: {} }, "webhook.secrets", FORBIDDEN],
    [
      "webhook_config",
      { allow_private_addresses: true },
      "webhook.allow_private_addresses",
      FORBIDDEN,
    ],
    [
      "webhook_config",
      { other: CANARY },
      "webhook.other",
      `unknown key; remove it or write one of ${WEBHOOK}`,
    ],
    [
      "webhook_config",
      { url: `http://${CANARY}.example.com/` },
      "webhook.url",
      "write an https:// address",
    ],
  ])(
    "%s %j is told by key and document, without a line or a value",
    (...[name, document, key, words]) => {
      const problems = problemsOf({ [name]: document });
      expect(problems.map((problem) => problem.key)).toContain(key);
      const problem = problems.find((one) => one.key === key);
      expect(problem?.line).toBeNull();
      expect(problem?.message.startsWith(`${name}: ${words}`)).toBe(true);
      expect(problem?.message).not.toContain(CANARY);
    },
  );

  test("cannot open the network for an address of its own", () => {
    const url = "http://127.0.0.1:9000/";
    expect(problemsOf({ webhook_config: { url } })).toHaveLength(1);
    const allowed = file().replace("max_attempts", "allow_private_addresses: true, max_attempts");
    expect(problemsOf({ webhook_config: { url } }, load(allowed))).toHaveLength(1);
  });

  test("may move within the private host that the file opens, and to no other", () => {
    const open = load(
      file()
        .replace("max_attempts", "allow_private_addresses: true, max_attempts")
        .replace(/https:\/\/[^"\s,]+/, "http://127.0.0.1:8000/in"),
    );
    expect(problemsOf({ webhook_config: { url: "http://127.0.0.1:9000/" } }, open)).toEqual([]);
    const away = open.withDocuments({ webhook_config: { url: "https://other.example.com/" } });
    expect(away.settings.webhook.allowPrivateAddresses).toBe(false);
    expect(problemsOf({ webhook_config: { url: "http://127.0.0.2:9000/" } }, open)).toHaveLength(1);
  });
});

describe("a configuration as documents", () => {
  test("has every key with its default, and no secret", () => {
    const { documents } = load(file("polling: { skip_replies: true }\n"));
    expect(documents.polling_config).toEqual({
      enable_polling: true,
      timezone: "Europe/Paris",
      active_days: [0, 1, 2, 3, 4, 5, 6],
      active_start_hour: 0,
      active_end_hour: 24,
      vacation_start: null,
      vacation_end: null,
      sender_of_interest_for_polling: [],
      interval_seconds: 30,
      inactive_interval_seconds: 600,
      skip_replies: true,
      enable_subject_group_dedup: false,
    });
    expect(documents.routing_rules).toEqual({ rules: [] });
    expect(documents.webhook_config).toEqual({
      url: "https://hooks.example.com/in",
      timeout_seconds: 30,
      concurrency: 16,
      max_attempts: 7,
    });
  });

  test("lacks what a variable settled", () => {
    const env = { TOKEN: "abc", SENDER_OF_INTEREST_FOR_POLLING: "a@b.example" };
    const { documents } = load(file("", "https://hooks.example.com/${TOKEN}"), env);
    expect(documents.polling_config).not.toHaveProperty("sender_of_interest_for_polling");
    expect(documents.webhook_config).not.toHaveProperty("url");
    expect(JSON.stringify(documents)).not.toContain("abc");
  });

  test("means the same when it is laid over the file again", () => {
    const base = load(file(`rules: [${JSON.stringify(rule("a", "x$${y"))}]\n`));
    const again = base.withDocuments(base.documents);
    expect(again.settings).toEqual(base.settings);
    expect(again.version).toBe(base.version);
    expect(again.documents).toEqual(base.documents);
  });
});

describe("pinnedIn", () => {
  test("names the keys of a document that a variable settles here, with the variable", () => {
    const { pinned } = load(file("", "https://x.example.com/${TOKEN}"), {
      TOKEN: "abc",
      SIGNALPOST_POLLING_SKIP_REPLIES: "true",
    });
    const polling = { skip_replies: false, interval_seconds: 1 };
    expect(pinnedIn("polling_config", polling, pinned)).toEqual([
      { key: "polling.skip_replies", variable: "SIGNALPOST_POLLING_SKIP_REPLIES", value: false },
    ]);
    expect(pinnedIn("webhook_config", { url: "u" }, pinned)).toEqual([
      { key: "webhook.url", variable: "TOKEN", value: "u" },
    ]);
    expect(pinnedIn("routing_rules", [], pinned)).toEqual([]);
  });
});
