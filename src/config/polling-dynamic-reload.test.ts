// The configuration of running nodes through a real Redis: a change is in force at the next look of every
// node, and nothing that happens to Redis or to a document turns it into something that nobody wrote.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type RedisServer, startRedis } from "../../test/support/redis.ts";
import { createVirtualClock } from "../../test/support/virtual-clock.ts";
import type { LogFields } from "../app-logging/logger.ts";
import { openRedis } from "../redis/ioredis.adapter.ts";
import { createRedisStore } from "../store/redis.ts";
import { DOCUMENTS, type DocumentName } from "../store/store.ts";
import { loadSettings } from "./load.ts";
import { NO_DOCUMENTS } from "./documents/judge-documents.ts";
import { createPollingConfigService } from "./polling-config-service.ts";

const SECRET = `whsec_${Buffer.alloc(32, 7).toString("base64")}`;

/** Short: a test that stops the server waits for it. */
const COMMAND_TIMEOUT_MS = 300;

const file = (more = "", url = "https://hooks.example.com/in"): string => `mailboxes:
  - { id: default, imap: { host: imap.example.com, user: me, password: word } }
webhook: { url: "${url}", secret: ${SECRET} }
${more}`;

let server: RedisServer;
beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server[Symbol.asyncDispose]());
beforeEach(() => server.cli("FLUSHALL"));

/** One node: a connection, a store and the service over them, as the daemon puts them together. */
const createNode = (node: { text?: string; env?: Record<string, string> } = {}) => {
  const { text = file(), env = {} } = node;
  const clock = createVirtualClock();
  const redis = openRedis({ url: server.url, commandTimeoutMs: COMMAND_TIMEOUT_MS });
  const random = { u32: () => 7, bytes: (size: number) => new Uint8Array(size).fill(7) };
  const store = createRedisStore({ redis, clock, random, spoolKeys: [], lockKey: "test_lock" });
  const disk = { stamp: "0", text };
  const load = () => loadSettings({ path: "c", env, readConfigFile: () => disk });
  const lines: { event: string; fields: LogFields }[] = [];
  const service = createPollingConfigService({
    clock,
    log: (event, fields = {}) => void lines.push({ event, fields }),
    load,
    stamp: () => disk.stamp,
    initial: load(),
    documents: {
      read: () => store.readDocuments(),
      remembered: async () => NO_DOCUMENTS,
      write: (name, document, options) => store.writeDocument(name, document, options),
      readSeed: (name) => redis.get(`r:ss:config:${name}`),
    },
  });
  return {
    store,
    lines,
    events: (event: string) => lines.filter((line) => line.event === event),
    edit: (next: string) => Object.assign(disk, { stamp: `${disk.stamp}+`, text: next }),
    /** The next cycle's look. */
    look: async () => {
      await clock.advance(1000);
      return (await service.refresh()).settings;
    },
    loaded: () => service.current(),
    [Symbol.asyncDispose]: () => store.close(),
  };
};

/** What an operator's command writes. */
const set = async (
  { store }: Pick<ReturnType<typeof createNode>, "store">,
  name: DocumentName,
  document: unknown,
): Promise<void> => {
  const { kind } = await store.writeDocument(name, document, { ifVersion: null, nowMs: 1 });
  expect(kind).toBe("written");
};

const POLLING = "polling_config";

describe("hot configuration through Redis", { tags: ["redis", "resilience"] }, () => {
  test("is in force on every node at its next look", async () => {
    await using a = createNode();
    await using b = createNode();
    await a.look();
    expect((await b.look()).polling.activeDays).toEqual([0, 1, 2, 3, 4, 5, 6]);
    await set(a, POLLING, {
      enable_polling: false,
      active_days: [4, 0, 4],
      sender_of_interest_for_polling: [" Boss@Corp.example", "boss@corp.example"],
      vacation_start: "2026-12-20",
      vacation_end: "2026-12-31",
    });
    const rule = { id: "a", conditions: [{ field: "subject", operator: "contains", value: "x" }] };
    await set(a, "routing_rules", { rules: [rule] });
    await set(a, "webhook_config", { url: "https://new.example.com/" });
    for (const node of [a, b]) {
      const settings = await node.look();
      expect(settings.polling).toMatchObject({
        enablePolling: false,
        activeDays: [0, 4],
        sendersOfInterest: ["boss@corp.example"],
        vacationStart: "2026-12-20",
        vacationEnd: "2026-12-31",
      });
      expect(settings.rules.map(({ id }) => id)).toEqual(["a"]);
      expect(settings.webhook).toMatchObject({
        url: "https://new.example.com/",
        secrets: [SECRET],
      });
    }
    expect(a.loaded().version).toBe(b.loaded().version);
  });

  test("is made once when two nodes start together", async () => {
    await using a = createNode({ text: file("polling: { interval_seconds: 5 }\n") });
    await using b = createNode({ text: file("polling: { interval_seconds: 6 }\n") });
    await Promise.all([a.look(), b.look()]);
    await Promise.all([a.look(), b.look()]);
    const documents = await a.store.readDocuments();
    expect(DOCUMENTS.map((name) => documents[name]?.version)).toEqual([1, 1, 1]);
    const seeded = [...a.events("config.document_seeded"), ...b.events("config.document_seeded")];
    expect(seeded.map(({ fields }) => fields["document"]).toSorted()).toEqual([...DOCUMENTS]);
    expect(a.loaded().settings.polling.intervalMs).toBe(b.loaded().settings.polling.intervalMs);
  });

  test.each<[string, unknown]>([
    [
      "a vacation that ends before it starts",
      { vacation_start: "2026-12-31", vacation_end: "2026-12-20" },
    ],
    ["half a vacation", { vacation_start: "2026-12-31" }],
    ["a vacation that is no date", { vacation_start: "garbage", vacation_end: "garbage" }],
    ["an hour past midnight", { active_end_hour: 25 }],
    ["a text for a truth value", { enable_polling: "false" }],
    ["an unknown key", { canary: 1 }],
    ["nothing", null],
  ])("does not change by %s, which every node says once", async (_, bad) => {
    await using a = createNode();
    await using b = createNode();
    await a.look();
    await set(a, POLLING, { skip_replies: true });
    await Promise.all([a.look(), b.look()]);
    await set(a, POLLING, bad);
    for (const node of [a, b]) {
      const before = node.loaded();
      for (let looks = 0; looks < 3; looks += 1) await node.look();
      expect(node.loaded()).toBe(before);
      expect(before.settings.polling.skipReplies).toBe(true);
      expect(node.events("config.rejected")).toHaveLength(1);
      expect(JSON.stringify(node.lines)).not.toContain("canary");
    }
    await set(a, POLLING, { skip_replies: false });
    expect((await b.look()).polling.skipReplies).toBe(false);
  });

  test("lives through a Redis that answers nothing, and goes on after it", async () => {
    await using node = createNode();
    await node.look();
    await set(node, POLLING, { skip_replies: true });
    const before = await node.look();
    server.pause();
    try {
      await node.look();
      await node.look();
      expect(node.loaded().settings).toBe(before);
    } finally {
      server.resume();
    }
    await expect
      .poll(async () => (await node.look(), node.events("config.store_back")))
      .toHaveLength(1);
    expect(node.events("config.store_unreachable")).toHaveLength(1);
    await set(node, POLLING, { skip_replies: false });
    expect((await node.look()).polling.skipReplies).toBe(false);
  });

  test("is written back to a Redis that lost it, as it was in force", async () => {
    await using node = createNode();
    await node.look();
    await set(node, POLLING, { interval_seconds: 5 });
    await node.look();
    await server.restart({ keepData: false });
    await expect
      .poll(async () => {
        await node.look();
        return await server.cli("GET", "signalpost:doc:polling_config");
      })
      .toContain('"interval_seconds":5');
    expect(node.loaded().settings.polling.intervalMs).toBe(5000);
  });

  test("loses to the environment, whose values and those of ${NAME} never reach Redis", async () => {
    const env = {
      POLLING_ACTIVE_DAYS: "2",
      TOKEN: "t0ken-canary",
      SIGNALPOST_POLLING_TIMEZONE: "UTC",
    };
    await using node = createNode({ text: file("", "https://hooks.example.com/${TOKEN}"), env });
    await using other = createNode();
    await node.look();
    await set(node, POLLING, { active_days: [6], timezone: "Asia/Tokyo", skip_replies: true });
    await set(node, "webhook_config", { url: "https://document.example.com/" });
    const { polling, webhook } = await node.look();
    expect(polling).toMatchObject({ activeDays: [2], timezone: "UTC", skipReplies: true });
    expect(webhook.url).toBe("https://hooks.example.com/t0ken-canary");
    expect(node.loaded().source).toBe("documents+environment");
    expect(node.loaded().overridden.toSorted()).toEqual([
      "polling.active_days",
      "polling.timezone",
      "webhook.url",
    ]);
    expect((await other.look()).polling.activeDays).toEqual([6]);
  });

  test("begins without a value that a variable gave", async () => {
    const env = { TOKEN: "t0ken-canary", POLLING_ACTIVE_DAYS: "2" };
    await using node = createNode({ text: file("", "https://hooks.example.com/${TOKEN}"), env });
    await node.look();
    const documents = await node.store.readDocuments();
    expect(documents.webhook_config?.document).toEqual({
      timeout_seconds: 30,
      concurrency: 16,
      max_attempts: 20,
    });
    expect(documents.polling_config?.document).not.toHaveProperty("active_days");
    const keys = (await server.cli("KEYS", "*")).split("\n");
    expect(keys).toContain("signalpost:doc:webhook_config");
    const stored = JSON.stringify(documents);
    expect(stored).not.toContain("t0ken-canary");
    expect(stored).not.toContain("whsec_");
  });

  test("begins with what the Python service's screens stored", async () => {
    const stored = { active_days: "0,1", enable_polling: "no", active_end_hour: 23 };
    await server.cli("SET", "r:ss:config:polling_config", JSON.stringify(stored));
    await server.cli("LPUSH", "r:ss:config:routing_rules", "not a text");
    await using node = createNode({ text: file("polling: { interval_seconds: 7 }\n") });
    expect((await node.look()).polling).toMatchObject({
      activeDays: [0, 1],
      enablePolling: false,
      activeEndHour: 23,
      intervalMs: 7000,
    });
    expect((await node.store.readDocuments()).routing_rules?.document).toEqual({ rules: [] });
  });

  test("does not follow the file any more, which is one warning an edit", async () => {
    await using node = createNode();
    await node.look();
    for (const seconds of [5, 6]) {
      node.edit(file(`polling: { interval_seconds: ${seconds} }\n`));
      for (let looks = 0; looks < 3; looks += 1) await node.look();
      expect(node.loaded().settings.polling.intervalMs).toBe(30_000);
    }
    expect(node.events("config.file_ignored").map(({ fields }) => fields)).toEqual([
      { documents: POLLING },
      { documents: POLLING },
    ]);
  });
});
