// The documents in a running process, over a store that a test holds in its hand: what is made, what is
// taken, what is kept through outages and losses, and that each thing is told once.
import { describe, expect, test } from "vitest";
import { createVirtualClock, type VirtualClock } from "../../../test/support/virtual-clock.ts";
import type { LogFields } from "../../app-logging/logger.ts";
import { RedisError } from "../../redis/redis.ts";
import { DOCUMENTS, type DocumentName, type StoredDocument } from "../../store/store.ts";
import { loadSettings } from "../load.ts";
import { createPollingConfigService } from "../polling-config-service.ts";
import type { DocumentStore } from "./follow-documents.ts";
import { NO_DOCUMENTS } from "./judge-documents.ts";

const SECRET = `whsec_${Buffer.alloc(32, 7).toString("base64")}`;

const file = (more = ""): string => `mailboxes:
  - { id: default, imap: { host: imap.example.com, user: me, password: word } }
webhook: { url: https://hooks.example.com/in, secret: ${SECRET} }
${more}`;

/** A store in the hand of the test. */
const createHeldStore = (clock: VirtualClock) => {
  const documents: Record<DocumentName, StoredDocument | null> = { ...NO_DOCUMENTS };
  const seeds: Partial<Record<DocumentName, string>> = {};
  const calls: string[] = [];
  const failing = { read: null as unknown, write: null as unknown, readSeed: null as unknown };
  const call = (name: keyof typeof failing): void => {
    calls.push(name);
    if (failing[name] !== null) throw failing[name];
  };
  const put = (name: DocumentName, document: unknown, version?: number): void => {
    const next = version ?? (documents[name]?.version ?? 0) + 1;
    documents[name] = { version: next, updatedMs: clock.wallMs(), document };
  };
  const store: DocumentStore = {
    read: async () => {
      call("read");
      return { ...documents };
    },
    remembered: async () => NO_DOCUMENTS,
    write: async (name, document, { ifVersion }) => {
      call("write");
      const version = documents[name]?.version ?? 0;
      if (ifVersion !== null && ifVersion !== version) return { kind: "conflict", version };
      put(name, document);
      return { kind: "written", version: version + 1 };
    },
    readSeed: async (name) => {
      call("readSeed");
      return seeds[name] ?? null;
    },
  };
  return { documents, seeds, calls, failing, put, store };
};

const bench = (text = file(), env: Record<string, string> = {}) => {
  const clock = createVirtualClock();
  const held = createHeldStore(clock);
  const lines: { event: string; fields: LogFields }[] = [];
  const disk = { stamp: "0", text };
  const load = () => loadSettings({ path: "c", env, readConfigFile: () => disk });
  const service = createPollingConfigService({
    clock,
    log: (event, fields = {}) => void lines.push({ event, fields }),
    load,
    stamp: () => disk.stamp,
    initial: load(),
    documents: held.store,
  });
  return {
    ...held,
    clock,
    service,
    lines,
    events: () => lines.map(({ event }) => event),
    polling: () => service.current().settings.polling,
    /** The next look at the store. */
    look: async () => {
      await clock.advance(1000);
      return (await service.refresh()).settings;
    },
    edit: (next: string) => Object.assign(disk, { stamp: `${disk.stamp}+`, text: next }),
  };
};

/** A bench with documents that were made from its file, and nothing logged since. */
const seeded = async (text = file(), env: Record<string, string> = {}) => {
  const b = bench(text, env);
  await b.look();
  await b.look();
  b.lines.length = 0;
  b.calls.length = 0;
  return b;
};

describe("the first look", () => {
  test("makes every document from the file, and the next finds nothing to do", async () => {
    const b = bench(file("polling: { skip_replies: true }\n"));
    await b.look();
    expect(b.documents.polling_config).toMatchObject({
      version: 1,
      document: { skip_replies: true, interval_seconds: 30 },
    });
    expect(b.documents.routing_rules?.document).toEqual({ rules: [] });
    expect(b.documents.webhook_config?.document).not.toHaveProperty("secret");
    expect(b.lines).toEqual([
      ...DOCUMENTS.map((document) => ({
        event: "config.document_seeded",
        fields: { document, version: 1 },
      })),
      expect.objectContaining({ event: "config.reloaded" }),
    ]);
    expect(b.service.current().source).toBe("documents");
    b.calls.length = 0;
    await b.look();
    expect(b.calls).toEqual(["read"]);
  });

  test("prefers what the Python service stored to the file, and says that the file is ignored", async () => {
    const b = bench();
    b.seeds.polling_config = JSON.stringify({ active_days: "0,1", vacation_start: null });
    await b.look();
    expect(b.polling().activeDays).toEqual([0, 1]);
    expect(b.lines.at(-1)?.event).toBe("config.reloaded");
    expect(b.lines.filter(({ event }) => event === "config.file_ignored")).toEqual([
      { event: "config.file_ignored", fields: { documents: "polling_config" } },
    ]);
  });

  test("does without the Python service's key when it is of another kind, not when Redis is away", async () => {
    const b = bench();
    b.failing.readSeed = new RedisError("unreachable");
    await b.look();
    expect(b.documents).toEqual(NO_DOCUMENTS);
    b.failing.readSeed = new RedisError("wrong_type");
    await b.look();
    expect(b.documents.polling_config?.version).toBe(1);
  });

  test("writes no document that a variable settles as a whole", async () => {
    const rules =
      'rules: [{ id: a, conditions: [{ field: to, operator: equals, value: "${X}" }] }]\n';
    const b = bench(file(rules), { X: "x" });
    await b.look();
    await b.look();
    expect(b.documents.routing_rules).toBeNull();
    expect(b.service.current().settings.rules).toHaveLength(1);
  });

  test("takes the document of a node that was faster", async () => {
    const b = bench();
    const { write } = b.store;
    b.store.write = async (name, document, options) => {
      b.put(name, name === "polling_config" ? { skip_replies: true } : document);
      return await write(name, document, options);
    };
    expect((await b.look()).polling.skipReplies).toBe(true);
    expect(b.documents.polling_config).toMatchObject({ version: 1 });
    expect(b.events()).not.toContain("config.document_seeded");
  });
});

describe("a refresh", () => {
  test("reads the documents once for all who ask within a second", async () => {
    const b = await seeded();
    await b.clock.advance(1000);
    await Promise.all([b.service.refresh(), b.service.refresh(), b.service.refresh()]);
    await b.clock.advance(999);
    await b.service.refresh();
    expect(b.calls).toEqual(["read"]);
    await b.clock.advance(1);
    await b.service.refresh();
    expect(b.calls).toEqual(["read", "read"]);
  });

  test("takes a change whatever became of the number, and keeps the snapshot without one", async () => {
    const b = await seeded();
    const first = b.service.current();
    await b.look();
    expect(b.service.current()).toBe(first);
    b.put("polling_config", { interval_seconds: 5 }, 17);
    expect((await b.look()).polling.intervalMs).toBe(5000);
    b.put("polling_config", { interval_seconds: 6 }, 17);
    expect((await b.look()).polling.intervalMs).toBe(6000);
    b.put("polling_config", { interval_seconds: 7 }, 2);
    expect((await b.look()).polling.intervalMs).toBe(7000);
    expect(b.events()).toEqual(["config.reloaded", "config.reloaded", "config.reloaded"]);
  });

  test("leaves the mailboxes of an edited file to a reload", async () => {
    const b = await seeded();
    b.edit(file().replace("imap.example.com", "other.example.com"));
    await b.look();
    await b.look();
    expect(b.service.current().settings.mailboxes[0]?.imap.host).toBe("imap.example.com");
    b.put("polling_config", { skip_replies: true });
    const { settings } = await b.service.reload();
    expect(settings.mailboxes[0]?.imap.host).toBe("other.example.com");
    expect(settings.polling.skipReplies).toBe(true);
  });
});

describe("a bad document", () => {
  test("leaves its last good version in force with one warning, and the others are taken", async () => {
    const b = await seeded();
    b.put("polling_config", { interval_seconds: 5 });
    await b.look();
    b.lines.length = 0;
    b.put("polling_config", { interval_seconds: "canary", canary: 1 });
    b.put("webhook_config", { max_attempts: 3 });
    const settings = await b.look();
    await b.look();
    expect(settings.polling.intervalMs).toBe(5000);
    expect(settings.webhook.maxAttempts).toBe(3);
    expect(b.lines).toEqual([
      {
        event: "config.rejected",
        fields: {
          code: "config/invalid",
          problems: 2,
          key: "polling",
          line: null,
          document: "polling_config",
        },
      },
      expect.objectContaining({ event: "config.reloaded" }),
    ]);
  });

  test("is told again at its next version, and the good one after it is taken", async () => {
    const b = await seeded();
    for (const days of [[], [9], [2]]) {
      b.put("polling_config", { active_days: days });
      await b.look();
    }
    expect(b.events()).toEqual(["config.rejected", "config.rejected", "config.reloaded"]);
    expect(b.polling().activeDays).toEqual([2]);
  });

  test("leaves the file in force when there never was a good one", async () => {
    const b = bench(file("polling: { skip_replies: true }\n"));
    b.put("polling_config", { skip_replies: "canary" });
    expect((await b.look()).polling.skipReplies).toBe(true);
    expect(b.events()).toContain("config.rejected");
    expect(b.documents.polling_config?.version).toBe(1);
  });

  test("is judged anew when the file changes, without a second warning", async () => {
    const b = await seeded();
    b.put("webhook_config", { url: "http://127.0.0.1:9/" });
    await b.look();
    const url = "http://127.0.0.1:8/, allow_private_addresses: true";
    const open = file().replace("https://hooks.example.com/in", url);
    b.edit(`# a comment\n${file()}`);
    for (let look = 0; look < 2; look += 1) await b.look();
    expect(b.events()).toEqual(["config.rejected"]);
    b.edit(open);
    await b.look();
    await b.look();
    expect(b.service.current().settings.webhook.url).toBe("http://127.0.0.1:9/");
    b.edit(file());
    await b.look();
    await b.look();
    expect(b.service.current().settings.webhook.allowPrivateAddresses).toBe(true);
    expect(b.events().filter((event) => event === "config.rejected")).toHaveLength(2);
  });
});

describe("an outage", () => {
  test("keeps the last good documents with one warning, and is told once when it is over", async () => {
    const b = await seeded();
    b.put("polling_config", { skip_replies: true });
    await b.look();
    b.lines.length = 0;
    b.failing.read = new RedisError("unreachable");
    for (let looks = 0; looks < 5; looks += 1) {
      expect((await b.look()).polling.skipReplies).toBe(true);
    }
    b.failing.read = null;
    b.put("polling_config", { skip_replies: false });
    expect((await b.look()).polling.skipReplies).toBe(false);
    expect(b.lines).toEqual([
      { event: "config.store_unreachable", fields: { code: "redis/unreachable" } },
      { event: "config.store_back", fields: { away_ms: 5000 } },
      expect.objectContaining({ event: "config.reloaded" }),
    ]);
  });

  test("at the start leaves the file in force, and its changes", async () => {
    const b = bench(file("polling: { skip_replies: true }\n"));
    b.failing.read = new RedisError("unreachable");
    expect((await b.look()).polling.skipReplies).toBe(true);
    b.edit(file("polling: { interval_seconds: 5 }\n"));
    await b.look();
    await b.look();
    expect(b.polling()).toMatchObject({ skipReplies: false, intervalMs: 5000 });
    expect(b.events()).toEqual(["config.store_unreachable", "config.reloaded"]);
  });

  test("of the writes alone does not keep out what can be read", async () => {
    const b = bench();
    b.put("polling_config", { skip_replies: true });
    b.failing.write = new RedisError("readonly");
    expect((await b.look()).polling.skipReplies).toBe(true);
    expect(b.lines[0]).toEqual({
      event: "config.store_unreachable",
      fields: { code: "redis/readonly" },
    });
  });
});

describe("a store that lost documents", () => {
  test("gets them back as they were in force, not as the file has them", async () => {
    const b = await seeded();
    b.put("polling_config", { interval_seconds: 5 });
    await b.look();
    b.lines.length = 0;
    Object.assign(b.documents, NO_DOCUMENTS);
    expect((await b.look()).polling.intervalMs).toBe(5000);
    expect(b.documents.polling_config?.document).toEqual({ interval_seconds: 5 });
    expect(b.documents.webhook_config?.version).toBe(1);
    expect(b.events()).toEqual(DOCUMENTS.map(() => "config.document_seeded"));
  });

  test("gets them back when it shows an older state", async () => {
    const b = await seeded();
    const older = b.documents.polling_config;
    await b.clock.advance(1000);
    for (const seconds of [5, 6]) b.put("polling_config", { interval_seconds: seconds });
    await b.look();
    b.documents.polling_config = older;
    expect((await b.look()).polling.intervalMs).toBe(6000);
    expect(b.documents.polling_config).toMatchObject({
      version: 2,
      document: { interval_seconds: 6 },
    });
    b.calls.length = 0;
    await b.look();
    expect(b.calls).toEqual(["read"]);
  });

  test("does not bring an older state into force while it takes no writes", async () => {
    const b = await seeded();
    await b.clock.advance(1000);
    b.put("polling_config", { interval_seconds: 5 });
    await b.look();
    Object.assign(b.documents, NO_DOCUMENTS);
    b.failing.write = new RedisError("oom");
    expect((await b.look()).polling.intervalMs).toBe(5000);
    expect((await b.look()).polling.intervalMs).toBe(5000);
  });
});

describe("a later edit of the file", () => {
  test("that a document overrules is one warning, and the rest of it is not", async () => {
    const b = await seeded();
    const settle = async (text: string): Promise<void> => {
      b.edit(text);
      await b.look();
      await b.look();
    };
    await settle(file("polling: { interval_seconds: 5 }\n"));
    expect(b.polling().intervalMs).toBe(30_000);
    expect(b.lines).toEqual([
      { event: "config.file_ignored", fields: { documents: "polling_config" } },
    ]);
    await settle(`# a comment\n${file("polling: { interval_seconds: 5 }\n")}`);
    expect(b.lines).toHaveLength(1);
    await settle(file("polling: { interval_seconds: 6 }\n").replace("/in", "/other"));
    expect(b.lines).toHaveLength(2);
    expect(b.lines[1]?.fields).toEqual({ documents: "polling_config,webhook_config" });
  });

  test("is no warning when the document says the same, and a document is none either", async () => {
    const b = await seeded();
    b.put("polling_config", { interval_seconds: 5 });
    await b.look();
    b.edit(file("polling: { interval_seconds: 5 }\n"));
    await b.look();
    await b.look();
    expect(b.events()).toEqual(["config.reloaded"]);
  });

  test("that cannot be used does not keep a document out", async () => {
    const b = await seeded();
    b.edit("mailboxes:\n");
    await b.look();
    await b.look();
    b.put("polling_config", { interval_seconds: 5 });
    expect((await b.look()).polling.intervalMs).toBe(5000);
    expect(b.events()).toEqual(["config.rejected", "config.reloaded"]);
  });

  test("was made while no process ran, which is told at the start", async () => {
    const b = bench(file("polling: { interval_seconds: 5 }\n"));
    b.put("polling_config", { interval_seconds: 6 });
    await b.look();
    await b.look();
    expect(b.events().filter((event) => event === "config.file_ignored")).toHaveLength(1);
  });
});
