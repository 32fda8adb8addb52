// The first content of a document: what the Python service's screens stored is taken as far as it maps,
// whatever types they chose; the rest is the file's.
import { describe, expect, test } from "vitest";
import { loadSettings, type LoadedSettings } from "../load.ts";
import { seedDocument } from "./seed-document.ts";

const SECRET = `whsec_${Buffer.alloc(32, 7).toString("base64")}`;

const base = (more = "", env: Record<string, string> = {}): LoadedSettings => {
  const text = `mailboxes:
  - { id: default, imap: { host: imap.example.com, user: me, password: word } }
webhook: { url: https://hooks.example.com/in, secret: ${SECRET} }
${more}`;
  return loadSettings({ path: "c", env, readConfigFile: () => ({ stamp: "", text }) });
};

const FILE = "polling: { active_days: [5], sender_of_interest_for_polling: [file@example.com] }\n";

const polling = (stored: unknown, from = base(FILE)): unknown =>
  seedDocument("polling_config", JSON.stringify(stored), from);

describe("polling_config", () => {
  test.each<[string, unknown, Record<string, unknown>]>([
    ["days as numbers", { active_days: [0, 4] }, { active_days: [0, 4] }],
    ["days as text, bad ones dropped", { active_days: "0, 2,9,x," }, { active_days: [0, 2] }],
    ["days of which none is good", { active_days: ["mon", 7] }, { active_days: [5] }],
    [
      "hours",
      { active_start_hour: 9, active_end_hour: "0" },
      { active_start_hour: 9, active_end_hour: 0 },
    ],
    ["an hour that is none", { active_start_hour: 99 }, { active_start_hour: 0 }],
    ["a switch as text", { enable_polling: "off" }, { enable_polling: false }],
    ["a switch as a number", { enable_polling: 0 }, { enable_polling: false }],
    ["a switch that says nothing", { enable_polling: "maybe" }, { enable_polling: true }],
    [
      "the word false",
      { enable_subject_group_dedup: "false" },
      { enable_subject_group_dedup: false },
    ],
    [
      "senders, bad ones dropped",
      { sender_of_interest_for_polling: "a@b.example, nobody,c@d.example" },
      { sender_of_interest_for_polling: ["a@b.example", "c@d.example"] },
    ],
    [
      "no senders, which does not mean everyone",
      { sender_of_interest_for_polling: [] },
      { sender_of_interest_for_polling: ["file@example.com"] },
    ],
    [
      "senders that are all bad, likewise",
      { sender_of_interest_for_polling: ["x", 3] },
      { sender_of_interest_for_polling: ["file@example.com"] },
    ],
    [
      "a vacation with times",
      { vacation_start: "2026-12-20T00:00:00", vacation_end: "2026-12-31" },
      { vacation_start: "2026-12-20", vacation_end: "2026-12-31" },
    ],
    [
      "a vacation that ends before it starts",
      { vacation_start: "2026-12-31", vacation_end: "2026-12-20" },
      { vacation_start: null, vacation_end: null },
    ],
    [
      "half a vacation",
      { vacation_start: "2026-12-31", vacation_end: "" },
      { vacation_start: null, vacation_end: null },
    ],
  ])("takes %s", (_, stored, expected) => {
    expect(polling(stored)).toMatchObject(expected);
  });

  test("takes an end of vacation as well as a vacation", () => {
    const onVacation = base("polling: { vacation_start: 2026-01-01, vacation_end: 2026-01-02 }\n");
    expect(polling({ vacation_start: null, vacation_end: null }, onVacation)).toMatchObject({
      vacation_start: null,
      vacation_end: null,
    });
  });

  test("ignores keys that there are none of here, and can be used as it is", () => {
    const seed = polling({ webhook_sending_enabled: true, active_days: [1], __proto__: 1 });
    expect(Object.keys(seed as object)).toEqual(
      Object.keys(base().documents.polling_config as object),
    );
    expect(base().withDocuments({ polling_config: seed }).settings.polling.activeDays).toEqual([1]);
  });

  test("does not take what a variable settles here", () => {
    const seed = polling(
      { active_days: [1], active_start_hour: 3 },
      base("", { POLLING_ACTIVE_DAYS: "2" }),
    );
    expect(seed).not.toHaveProperty("active_days");
    expect(seed).toHaveProperty("active_start_hour", 3);
  });

  test.each([null, "", "{", "[]", "3"])("is the file's when %j is stored", (stored) => {
    const from = base(FILE);
    expect(seedDocument("polling_config", stored, from)).toEqual(from.documents.polling_config);
  });
});

describe("routing_rules", () => {
  const condition = { field: "subject", operator: "regex", value: "^URGENT", case_sensitive: true };
  const rules = (stored: unknown, from = base()): unknown =>
    seedDocument("routing_rules", JSON.stringify(stored), from);

  test("takes each rule that has the shape of one, with an id and a name", () => {
    const seed = rules({
      _updated_at: "2026-01-25",
      rules: [
        {
          id: "Rule_7 A",
          name: "Seven",
          conditions: [condition],
          actions: { webhook_url: "tok123", stop_processing: true, other: 1 },
        },
        { conditions: [condition], actions: { priority: "high" } },
        { id: "rule-7-a", name: " ", conditions: [condition] },
        { id: "bad", conditions: [{ field: 3, operator: "contains", value: "x" }] },
        "nonsense",
      ],
    });
    expect(seed).toEqual({
      rules: [
        {
          id: "rule-7-a",
          name: "Seven",
          conditions: [condition],
          actions: { webhook_url: "tok123", stop_processing: true },
        },
        { id: "rule-2", name: "Rule 2", conditions: [condition], actions: { priority: "high" } },
        { id: "rule-7-a-2", name: "Rule 3", conditions: [condition], actions: {} },
      ],
    });
    const { settings } = base().withDocuments({ routing_rules: seed });
    expect(settings.rules[0]?.webhookUrl).toBe("https://hook.eu2.make.com/tok123");
  });

  test("keeps a literal ${ of a rule", () => {
    const seed = rules({ rules: [{ id: "a", conditions: [{ ...condition, value: "a${b}" }] }] });
    const { settings } = base().withDocuments({ routing_rules: seed });
    expect(settings.rules[0]?.conditions[0]?.value).toBe("a${b}");
  });

  test("is the file's when no rule is stored", () => {
    const from = base(
      "rules: [{ id: file, conditions: [{ field: to, operator: equals, value: x }] }]\n",
    );
    for (const stored of [null, {}, { rules: [] }, { rules: "x" }, { rules: ["x"] }])
      expect(rules(stored, from)).toEqual(from.documents.routing_rules);
  });

  test("is nothing when a variable settles the rules of the file", () => {
    const from = base(
      'rules: [{ id: file, conditions: [{ field: to, operator: equals, value: "${X}" }] }]\n',
      { X: "x" },
    );
    expect(rules({ rules: [{ id: "a", conditions: [condition] }] }, from)).toBeNull();
  });
});

describe("webhook_config", () => {
  test("never takes the address that nobody used", () => {
    const from = base();
    const stored = JSON.stringify({
      webhook_url: "https://old.example.com/",
      url: "https://x.example.com/",
    });
    expect(seedDocument("webhook_config", stored, from)).toEqual(from.documents.webhook_config);
  });
});
