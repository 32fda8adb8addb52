// The configuration while the process runs: a changed file is taken once it stood still, a bad one
// leaves the last good snapshot, only the hot part changes by itself, and each change is told once.
import { describe, expect, test } from "vitest";
import { createVirtualClock, type VirtualClock } from "../../test/support/virtual-clock.ts";
import type { LogFields } from "../app-logging/logger.ts";
import { loadSettings } from "./load.ts";
import { createPollingConfigService, type PollingConfigService } from "./polling-config-service.ts";

const SECRET = `whsec_${Buffer.alloc(32, 7).toString("base64")}`;

const file = (more = "", host = "imap.example.com"): string => `mailboxes:
  - id: default
    imap: { host: ${host}, user: me, password: word }
webhook: { url: https://hooks.example.com/in, secret: ${SECRET} }
${more}`;

interface Bench {
  clock: VirtualClock;
  service: PollingConfigService;
  lines: { event: string; fields: LogFields }[];
  loads(): number;
  write(text: string | null): void;
  /** Two looks, a second apart, as two cycles make them. */
  settle(): Promise<void>;
}

const bench = (text = file(), env: Record<string, string> = {}): Bench => {
  const clock = createVirtualClock();
  const lines: Bench["lines"] = [];
  let state: { stamp: string; text: string } | null = { stamp: "0", text };
  let loads = 0;
  const load = () => loadSettings({ path: "c", env, readConfigFile: () => state });
  const initial = load();
  const service = createPollingConfigService({
    clock,
    log: (event, fields = {}) => void lines.push({ event, fields }),
    load: () => {
      loads += 1;
      return load();
    },
    stamp: () => state?.stamp ?? null,
    initial,
  });
  return {
    clock,
    service,
    lines,
    loads: () => loads,
    write: (next) => {
      state = next === null ? null : { stamp: `${Number(state?.stamp ?? 0) + 1}`, text: next };
    },
    settle: async () => {
      await service.refresh();
      await clock.advance(1000);
      await service.refresh();
    },
  };
};

const events = ({ lines }: Bench): string[] => lines.map(({ event }) => event);

const REPLIES = file("polling: { skip_replies: true }\n");

describe("a refresh", () => {
  test("reads the file again only when its stamp changed", async () => {
    const b = bench();
    const first = b.service.current();
    await b.settle();
    await b.settle();
    const before = b.loads();
    for (let cycle = 0; cycle < 10; cycle += 1) {
      await b.clock.advance(30_000);
      await b.service.refresh();
    }
    expect(b.loads()).toBe(before);
    expect(events(b)).toEqual([]);
    expect(b.service.current()).toBe(first);
  });

  test("takes a change once it stood still for a second, not before", async () => {
    const b = bench();
    await b.settle();
    b.write(REPLIES);
    await b.service.refresh();
    await b.clock.advance(999);
    expect((await b.service.refresh()).settings.polling.skipReplies).toBe(false);
    await b.clock.advance(1);
    expect((await b.service.refresh()).settings.polling.skipReplies).toBe(true);
    expect(b.service.current().settings.polling.skipReplies).toBe(true);
    expect(b.lines).toEqual([
      { event: "config.reloaded", fields: { version: b.service.current().version, rules: 0 } },
    ]);
  });

  test("waits on while the file goes on changing, and never sees the torn half", async () => {
    const rules = "rules: [{ id: a, conditions: [{ field: to, operator: equals, value: x }] }]\n";
    const b = bench(file(rules));
    await b.settle();
    for (const torn of ["", "mailboxes:\n", file()]) {
      b.write(torn);
      await b.service.refresh();
      await b.clock.advance(600);
      expect((await b.service.refresh()).settings.rules).toHaveLength(1);
    }
    b.write(file(`${rules}polling: { skip_replies: true }\n`));
    await b.settle();
    expect(b.service.current().settings.polling.skipReplies).toBe(true);
    expect(b.service.current().settings.rules).toHaveLength(1);
    expect(events(b)).toEqual(["config.reloaded"]);
  });

  test("sees a change that happened between the first load and the first look", async () => {
    const b = bench();
    b.write(REPLIES);
    await b.settle();
    expect(b.service.current().settings.polling.skipReplies).toBe(true);
  });

  test("leaves one snapshot to who holds it", async () => {
    const b = bench();
    const held = b.service.current();
    b.write(REPLIES);
    await b.settle();
    expect(held.settings.polling.skipReplies).toBe(false);
  });
});

describe("a good change", () => {
  test("of a rule that is refused makes a new snapshot", async () => {
    const rule = (priority: string): string =>
      file(
        `rules: [{ id: a, conditions: [{ field: to, operator: equals, value: x }], actions: { priority: ${priority} } }]\n`,
      );
    const b = bench(rule("urgent"));
    expect(b.service.current().settings.rules).toMatchObject([{ id: "a", priority: "urgent" }]);
    b.write(rule("high"));
    await b.settle();
    expect(b.service.current().settings.rules).toMatchObject([{ id: "a", priority: "high" }]);
  });

  test("of a named secret alone comes in, and a comment does not", async () => {
    const named = (secret: string): string =>
      file().replace("webhook: {", `webhook: { secrets: { team: ${secret} },`);
    const other = `whsec_${Buffer.alloc(32, 8).toString("base64")}`;
    const secretOf = (): string | undefined =>
      b.service.current().settings.webhook.namedSecrets.get("team");
    const b = bench(named(SECRET));
    await b.settle();
    const first = b.service.current();
    expect(secretOf()).toBe(SECRET);
    b.write(`# a comment\n${named(SECRET)}`);
    await b.settle();
    expect(b.service.current()).toBe(first);
    b.write(named(other));
    await b.settle();
    expect(secretOf()).toBe(other);
    expect(b.service.current().version).not.toBe(first.version);
    expect(events(b)).toEqual(["config.reloaded"]);
  });
});

describe("a bad change", () => {
  test("keeps the last good snapshot with one warning, without any value", async () => {
    const b = bench();
    await b.settle();
    const good = b.service.current();
    b.write(file("polling:\n  interval_seconds: canary\n  canary: 1\n"));
    await b.settle();
    await b.settle();
    await b.settle();
    expect(b.service.current()).toBe(good);
    expect(b.lines).toEqual([
      {
        event: "config.rejected",
        fields: { code: "config/invalid", problems: 2, key: "polling.interval_seconds", line: 6 },
      },
    ]);
  });

  test("is told once more at the next bad change, and its repair is told too", async () => {
    const b = bench();
    await b.settle();
    for (const text of ["", file("log_level: loud\n"), file()]) {
      b.write(text);
      await b.settle();
      await b.settle();
    }
    expect(events(b)).toEqual(["config.rejected", "config.rejected", "config.reloaded"]);
  });

  test("tells an unknown key by the section it stands in", async () => {
    const b = bench();
    b.write(file("lock:\n  canary: 1\n"));
    await b.settle();
    expect(b.lines[0]?.fields).toMatchObject({ key: "lock", line: 6 });
    b.write(file("canary: 1\n"));
    await b.settle();
    expect(b.lines[1]?.fields).toMatchObject({ key: "", line: 5 });
  });

  test("includes a file that was removed", async () => {
    const b = bench();
    await b.settle();
    b.write(null);
    await b.settle();
    await b.settle();
    expect(events(b)).toEqual(["config.rejected"]);
    expect(b.service.current().settings.mailboxes).toHaveLength(1);
    b.write(REPLIES);
    await b.settle();
    expect(b.service.current().settings.polling.skipReplies).toBe(true);
  });

  test("includes an error of the loader that is none of ours", async () => {
    const clock = createVirtualClock();
    const lines: unknown[] = [];
    const initial = bench().service.current();
    const service = createPollingConfigService({
      clock,
      log: (event, fields) => void lines.push([event, fields]),
      load: () => {
        throw Object.assign(new Error("canary"), { code: "EIO" });
      },
      stamp: () => "1",
      initial,
    });
    await service.refresh();
    await clock.advance(1000);
    expect(await service.refresh()).toBe(initial);
    expect(lines).toEqual([
      ["config.rejected", { code: "EIO", problems: 0, key: null, line: null }],
    ]);
  });
});

describe("a change of what is not hot", () => {
  const CHANGED = file("http: { port: 9000 }\nlock: { file: /b }\n", "other.example.com");

  test("is named once and stays out, while the hot part comes in", async () => {
    const b = bench();
    await b.settle();
    b.write(`${CHANGED}polling: { skip_replies: true }\n`);
    await b.settle();
    expect(b.service.current().settings).toMatchObject({
      http: { port: 8025 },
      mailboxes: [{ imap: { host: "imap.example.com" } }],
      polling: { skipReplies: true },
    });
    expect(b.lines.at(-1)).toEqual({
      event: "config.needs_restart",
      fields: { restart: "http,lock", sighup: "mailboxes" },
    });
    b.write(`${CHANGED}polling: { skip_replies: false }\n`);
    await b.settle();
    expect(events(b).filter((event) => event === "config.needs_restart")).toHaveLength(1);
    b.write(CHANGED.replace("9000", "9001"));
    await b.settle();
    expect(events(b).filter((event) => event === "config.needs_restart")).toHaveLength(2);
  });

  test("of offload waits for a restart, a reload does not bring it in", async () => {
    const b = bench();
    const section =
      "offload: { region: eu-west-3, bucket: abc, access_key_id: a, secret_access_key: b }\n";
    b.write(file(section));
    expect((await b.service.reload()).settings.offload).toBeNull();
    expect(b.lines).toEqual([
      { event: "config.needs_restart", fields: { restart: "offload", sighup: null } },
    ]);
  });

  test("comes in for mailboxes at a reload, at once", async () => {
    const b = bench();
    b.write(CHANGED);
    const { settings } = await b.service.reload();
    expect(settings.mailboxes[0]?.imap.host).toBe("other.example.com");
    expect(settings.http?.port).toBe(8025);
    expect(b.service.current().settings).toBe(settings);
    expect(b.lines).toEqual([
      expect.objectContaining({ event: "config.reloaded" }),
      { event: "config.needs_restart", fields: { restart: "http,lock", sighup: null } },
    ]);
    await b.settle();
    expect(b.loads()).toBe(1);
  });

  test("keeps the last good one at a reload that fails", async () => {
    const b = bench();
    const good = b.service.current();
    b.write("mailboxes: []\n");
    expect(await b.service.reload()).toBe(good);
    expect(events(b)).toEqual(["config.rejected"]);
  });
});
