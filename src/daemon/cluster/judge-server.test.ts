// Which servers may keep our state, judged by texts as INFO writes them.
import { describe, expect, test } from "vitest";
import { judgeServer, parseServer } from "./judge-server.ts";

const infoOf = (lines: readonly string[]): string => ["# Server", ...lines, ""].join("\r\n");

describe("a server's INFO", () => {
  test("tells its version, policy and size", () => {
    const info = infoOf([
      "redis_version:7.0.15",
      "maxmemory:1048576",
      "maxmemory_human:1.00M",
      "maxmemory_policy:allkeys-lru",
    ]);
    expect(parseServer(info)).toEqual({
      version: "7.0.15",
      isValkey: false,
      evictionPolicy: "allkeys-lru",
      maxMemoryBytes: 1_048_576,
    });
  });

  test("tells of Valkey by its own version, not by the one it answers old clients with", () => {
    const info = infoOf(["redis_version:7.2.4", "server_name:valkey", "valkey_version:8.1.0"]);
    expect(parseServer(info)).toMatchObject({ version: "8.1.0", isValkey: true });
  });

  test("tells nothing when it is not given", () => {
    expect(parseServer("\n")).toEqual({
      version: null,
      isValkey: false,
      evictionPolicy: null,
      maxMemoryBytes: null,
    });
  });
});

describe("the judgement on a server", () => {
  const fit = { version: "7.0.15", isValkey: false, evictionPolicy: "noeviction" };

  test.each([
    fit,
    { ...fit, version: "6.2.0" },
    { ...fit, version: "10.0.1" },
    { ...fit, version: "7.2.5", isValkey: true },
    { ...fit, version: "8.0.0", isValkey: true },
    { version: null, isValkey: false, evictionPolicy: null },
  ])("finds no fault with %j", (server) => {
    expect(judgeServer(server)).toBeNull();
  });

  test.each(["allkeys-lru", "volatile-ttl"])("says what to set instead of %s", (evictionPolicy) => {
    expect(judgeServer({ ...fit, evictionPolicy })).toContain("set maxmemory-policy noeviction");
  });

  test.each([
    ["5.0.14", false, "Redis 6.2"],
    ["6.0.20", false, "Redis 6.2"],
    ["7.0.0", true, "Valkey 7.2"],
  ])("asks for a newer server than %s (Valkey: %s)", (version, isValkey, wanted) => {
    expect(judgeServer({ ...fit, version, isValkey })).toContain(wanted);
  });
});
