// `status`: with a live row, without a daemon, and where none ever ran. The store is a real file.
import { existsSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { NOW_MS, seedParked, withWorkspace } from "../../../test/support/cli-workspace.ts";
import type { LiveNode } from "../../http/status-report.ts";

const LIVE: LiveNode = {
  node: "node-a",
  version: "1.2.0",
  mailboxes: [
    {
      id: "default",
      state: "polling",
      sinceMs: NOW_MS - 1000,
      lastProofMs: NOW_MS - 500,
      uidvalidity: "7",
      settledUpTo: 12,
      lease: { state: "held", fence: 9, holder: "node-a", sinceMs: NOW_MS - 2000 },
    },
  ],
  destinations: [{ id: "default", breaker: "open" }],
  config: { source: "file", version: "v1", overridden: [] },
};

describe("status", () => {
  test("says that no daemon ran here, and makes no data directory", async () => {
    await withWorkspace(async ({ run, dataDir }) => {
      const { code, out, err } = await run("status", "--json");
      expect({ code, out }).toEqual({ code: 1, out: "" });
      expect(err).toMatch(/^signalpost: no database in .*: no daemon has run/);
      expect(existsSync(dataDir)).toBe(false);
    });
  });

  test("shows a running daemon's row", async () => {
    await withWorkspace(async ({ run, seed }) => {
      await seed(async (store) => {
        await seedParked(store, [3, 4]);
        await store.writeNode("node-a", JSON.stringify(LIVE), NOW_MS - 4000);
      });
      const { code, out } = await run("status", "--json");
      expect(code).toBe(0);
      expect(JSON.parse(out)).toMatchObject({
        version: "1.2.0",
        node: "node-a",
        mailboxes: [
          {
            id: "default",
            state: "polling",
            settled_up_to: 12,
            lease: { state: "held", fence: 9 },
            counts: { parked: 2 },
            spool: { waiting: 0, parked: 2 },
          },
        ],
        destinations: [{ id: "default", breaker: "open", waiting: 0, parked: 2 }],
      });
    });
  });

  test("shows what the store knows when the row is too old", async () => {
    await withWorkspace(async ({ run, seed }) => {
      await seed(async (store) => {
        await seedParked(store, [3]);
        await store.writeNode("node-a", JSON.stringify(LIVE), NOW_MS - 15_001);
      });
      expect(JSON.parse((await run("status", "--json")).out)).toMatchObject({
        version: "1.2.3",
        node: null,
        mailboxes: [{ state: "not_running", lease: { state: "unknown" }, counts: { parked: 1 } }],
        config: { source: "file" },
      });
    });
  });

  test("prints a table for people, without folder, user or host", async () => {
    await withWorkspace(async ({ run, seed }) => {
      await seed(async (store) => {
        await store.writeNode("node-a", JSON.stringify(LIVE), NOW_MS);
      });
      const { out } = await run("status");
      expect(out).toContain("signalpost 1.2.0, node node-a");
      expect(out).toMatch(/^MAILBOX +STATE +LAST PROOF +SETTLED +LEASE/m);
      expect(out).toMatch(/^default +polling +\S+Z +12 +held #9 /m);
      expect(out).toMatch(/^default +open +0 +0$/m);
      for (const secret of ["Private", "someone", "imap.example.com", "hooks.example.com"]) {
        expect(out).not.toContain(secret);
      }
    });
  });

  test("tells which node holds what, as a table and as JSON", async () => {
    await withWorkspace(async ({ run, seed }) => {
      const standby: LiveNode = {
        ...LIVE,
        node: "node-b",
        host: "host-b",
        startedMs: NOW_MS - 60_000,
        mailboxes: LIVE.mailboxes.map((mailbox) => ({
          ...mailbox,
          lease: { state: "standby", fence: null, holder: null, sinceMs: NOW_MS },
        })),
      };
      await seed(async (store) => {
        await store.writeNode("node-a", JSON.stringify(LIVE), NOW_MS);
        await store.writeNode("node-b", JSON.stringify(standby), NOW_MS);
      });
      const { out } = await run("status", "--cluster");
      expect(out).toMatch(/^NODE +HOST +VERSION +SINCE +HELD$/m);
      expect(out).toMatch(/^node-a +- +1\.2\.0 +- +1$/m);
      expect(out).toMatch(/^node-b +host-b +1\.2\.0 +\S+Z +0$/m);
      expect(out).toMatch(/^default +held +node-a +\S+Z +2 s +9 +node-b$/m);
      expect(JSON.parse((await run("status", "--cluster", "--json")).out)).toMatchObject({
        nodes: [{ node: "node-a", held: 1 }, { node: "node-b" }],
        mailboxes: [{ id: "default", holder: "node-a", standby: ["node-b"] }],
      });
    });
  });

  test("says that no node runs", async () => {
    await withWorkspace(async ({ run, seed }) => {
      await seed(async (store) => await seedParked(store, [3]));
      expect((await run("status", "--cluster")).out).toContain("no daemon runs with this store");
    });
  });
});
