// `config get` and `config set`: the documents of a real Redis, versions and conflicts, what is refused and
// how it is told. Without redis_url the file is all there is.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import {
  CONFIG,
  NOW_MS,
  type Workspace,
  withWorkspace,
} from "../../../../test/support/cli-workspace.ts";
import { type RedisServer, startRedis } from "../../../../test/support/redis.ts";

describe("without redis_url", () => {
  test("get prints what the file says, and set names the file to edit", async () => {
    await withWorkspace(async ({ run, input }) => {
      const { code, out } = await run("config", "get", "webhook_config");
      expect(code).toBe(0);
      expect(JSON.parse(out)).toEqual({
        version: 0,
        updated_at: null,
        source: "file",
        document: {
          url: "https://hooks.example.com/private-path",
          timeout_seconds: 30,
          concurrency: 16,
          max_attempts: 20,
        },
      });
      input.text = "{}";
      const end = await run("config", "set", "polling_config", "--file", "-");
      expect(end).toEqual({
        code: 1,
        out: "",
        err: "signalpost: there is no shared store: edit signalpost.yaml; the daemon takes it at the next cycle.",
      });
    });
  });

  test.each([
    "config",
    "config drop polling_config",
    "config get",
    "config get bogus",
    "config get polling_config routing_rules",
    "config set polling_config",
    "config set bogus --file -",
    "config set polling_config --file - --if-version x",
  ])("`signalpost %s` is a usage error", async (line) => {
    await withWorkspace(async ({ run }) => {
      const { code, out, err } = await run(...line.split(" "));
      expect({ code, out }).toEqual({ code: 64, out: "" });
      expect(err).toMatch(/^signalpost: .+ See 'signalpost help config'\.$/);
    });
  });
});

describe("with Redis", { tags: ["redis", "resilience"] }, () => {
  let server: RedisServer;
  beforeAll(async () => {
    server = await startRedis();
  });
  afterAll(() => server[Symbol.asyncDispose]());
  beforeEach(() => server.cli("FLUSHALL"));

  const withRedis = async (
    work: (
      space: Workspace & {
        set(name: string, document: unknown, ...more: string[]): ReturnType<Workspace["run"]>;
        get(name: string): Promise<unknown>;
      },
    ) => Promise<void>,
  ): Promise<void> =>
    await withWorkspace(async (space) => {
      const { run, input, writeConfig } = space;
      writeConfig(`redis_url: ${server.url}\n${CONFIG}`);
      await work({
        ...space,
        set: async (name, document, ...more) => {
          input.text = typeof document === "string" ? document : JSON.stringify(document);
          return await run("config", "set", name, "--file", "-", ...more);
        },
        get: async (name) => JSON.parse((await run("config", "get", name)).out) as unknown,
      });
    });

  test("set writes a document, get prints it, and versions count", async () => {
    await withRedis(async ({ get, set }) => {
      expect(await get("polling_config")).toMatchObject({ version: 0, source: "file" });
      const document = { interval_seconds: 5 };
      const first = await set("polling_config", document);
      expect(first).toEqual({ code: 0, out: "polling_config is version 1 now", err: "" });
      expect(await get("polling_config")).toEqual({
        version: 1,
        updated_at: "2026-11-24T08:00:00.000Z",
        source: "document",
        document,
      });
      expect(NOW_MS).toBe(1_795_507_200_000);
      const second = await set("polling_config", document, "--json");
      expect(JSON.parse(second.out)).toEqual({ version: 2 });
    });
  });

  test("set reads a file, and keeps a bare list of rules as a document", async () => {
    await withRedis(async ({ run, get, dir }) => {
      const rule = { id: "a", conditions: [{ field: "to", operator: "equals", value: "x" }] };
      writeFileSync(join(dir, "rules.json"), JSON.stringify([rule]));
      expect((await run("config", "set", "routing_rules", "--file", "rules.json")).code).toBe(0);
      expect(await get("routing_rules")).toMatchObject({ document: { rules: [rule] } });
      const missing = await run("config", "set", "routing_rules", "--file", "none.json");
      expect(missing.code).toBe(1);
      expect(missing.err).toMatch(/^signalpost: cli\/unreadable: .+ENOENT.+ Name a file/);
    });
  });

  test("set with a version writes only over that one", async () => {
    await withRedis(async ({ get, set }) => {
      expect((await set("polling_config", {}, "--if-version", "0")).code).toBe(0);
      const { code, out, err } = await set(
        "polling_config",
        { skip_replies: true },
        "--if-version",
        "0",
      );
      expect({ code, out }).toEqual({ code: 1, out: "" });
      expect(err).toContain("conflict: version 1 is stored, not 0");
      expect(await get("polling_config")).toMatchObject({ version: 1, document: {} });
      expect((await set("polling_config", {}, "--if-version", "1")).code).toBe(0);
    });
  });

  const BAD_RULE = { id: "a", conditions: [{ field: "to", operator: "regex", value: "(" }] };
  test.each<[string, unknown, string]>([
    ["polling_config", "{", "standard input: write one document as JSON"],
    [
      "polling_config",
      { interval_seconds: 0 },
      "standard input: polling.interval_seconds: polling_",
    ],
    ["polling_config", { bogus: 1 }, "standard input: polling.bogus: polling_config: unknown key"],
    ["polling_config", null, "standard input: polling: polling_config: write an object"],
    ["routing_rules", [BAD_RULE], "standard input: rules (a).conditions[0].value: write an expr"],
    [
      "webhook_config",
      { secret: "canary" },
      "standard input: webhook.secret: webhook_config: is ne",
    ],
    [
      "webhook_config",
      { url: "https://x/${CANARY}" },
      "standard input: webhook.url: webhook_config: w",
    ],
    [
      "webhook_config",
      { allow_private_addresses: true },
      "standard input: webhook.allow_private_add",
    ],
  ])("set refuses %s %j with 78 and writes nothing", async (name, document, words) => {
    await withRedis(async ({ set, get }) => {
      const { code, out, err } = await set(name, document);
      expect({ code, out }).toEqual({ code: 78, out: "" });
      expect(err.startsWith(words)).toBe(true);
      expect(err).not.toContain("canary");
      expect(await get(name)).toMatchObject({ version: 0 });
    });
  });

  test("set refuses a key that a variable settles here, unless it stays as it is stored", async () => {
    await withRedis(async ({ set, get, env }) => {
      expect((await set("polling_config", { timezone: "Asia/Tokyo" })).code).toBe(0);
      env["POLLING_TIMEZONE"] = "UTC";
      const { code, err } = await set("polling_config", { timezone: "Europe/Paris" });
      expect(code).toBe(1);
      expect(err).toContain("polling.timezone comes from the variable POLLING_TIMEZONE");
      expect(await get("polling_config")).toMatchObject({ version: 1 });
      const same = { timezone: "Asia/Tokyo", skip_replies: true };
      expect((await set("polling_config", same)).code).toBe(0);
      expect((await set("polling_config", { skip_replies: false })).code).toBe(0);
    });
  });

  test("no password of redis_url is printed when Redis cannot be reached", async () => {
    await withRedis(async ({ run, set, writeConfig }) => {
      writeConfig(`redis_url: redis://me:pass-canary@127.0.0.1:1\n${CONFIG}`);
      const ends = [await run("config", "get", "polling_config"), await set("polling_config", {})];
      for (const { code, out, err } of ends) {
        expect(code).toBe(1);
        expect(err).toMatch(/^signalpost: redis\/unreachable: /);
        expect(out + err).not.toContain("canary");
      }
    });
  });
});
