// Which servers may keep our state.
import { describe, expect, test } from "vitest";
import { judgeServer } from "./judge-server.ts";

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
