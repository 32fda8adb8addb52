// What a server tells of itself, from texts as INFO writes them.
import { describe, expect, test } from "vitest";
import { parseServer } from "./server-info.ts";

const infoOf = (lines: readonly string[]): string => ["# Server", ...lines, ""].join("\r\n");

describe("a server's INFO", () => {
  test("tells its version, policy and size", () => {
    const info = infoOf([
      "redis_version:7.0.15",
      "maxmemory:1048576",
      "maxmemory_human:1.00M",
      "maxmemory_policy:allkeys-lru",
    ]);
    expect(parseServer([info, null])).toEqual({
      version: "7.0.15",
      isValkey: false,
      evictionPolicy: "allkeys-lru",
      maxMemoryBytes: 1_048_576,
    });
  });

  test("tells of Valkey by its own version, not by the one it answers old clients with", () => {
    const info = infoOf(["redis_version:7.2.4", "server_name:valkey", "valkey_version:8.1.0"]);
    expect(parseServer([info, null])).toMatchObject({ version: "8.1.0", isValkey: true });
  });

  test("tells nothing when it is not given", () => {
    expect(parseServer([null, null])).toEqual({
      version: null,
      isValkey: false,
      evictionPolicy: null,
      maxMemoryBytes: null,
    });
  });
});
