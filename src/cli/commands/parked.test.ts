// `parked`: the list in its documented shape, payloads only when asked for, and replay and drop of one
// pair, one event or all. The store is a real file.
import { existsSync } from "node:fs";
import { describe, expect, test } from "vitest";
import {
  NOW_MS,
  parkedOf,
  seedParked,
  withWorkspace,
} from "../../../test/support/cli-workspace.ts";

describe("parked list", () => {
  test("prints exactly the documented fields", async () => {
    await withWorkspace(async ({ run, seed }) => {
      await seed(async (store) => await seedParked(store, [3]));
      expect(JSON.parse((await run("parked", "list", "--json")).out)).toEqual([
        {
          event_id: "evt_3",
          destination: "default",
          mailbox: "default",
          uid: 3,
          attempts: 20,
          parked_at: "2026-11-24T07:59:00.000Z",
          reason: "attempts_exhausted",
        },
      ]);
      const table = (await run("parked", "list")).out;
      expect(table).toMatch(/^evt_3 +default +default +3 +20 +\S+Z +attempts_exhausted$/m);
    });
  });

  test("prints an empty list when nothing is parked", async () => {
    await withWorkspace(async ({ run, seed }) => {
      await seed(async () => undefined);
      expect(await run("parked", "list", "--json")).toEqual({ code: 0, out: "[]", err: "" });
      expect((await run("parked", "list")).out).toBe("nothing is parked");
    });
  });

  test("makes no data directory", async () => {
    await withWorkspace(async ({ run, dataDir }) => {
      expect((await run("parked", "list")).code).toBe(1);
      expect(existsSync(dataDir)).toBe(false);
    });
  });
});

describe("parked show", () => {
  test("prints the payload only when it is asked for", async () => {
    await withWorkspace(async ({ run, seed }) => {
      await seed(async (store) => await seedParked(store, [3]));
      const facts = await run("parked", "show", "evt_3");
      expect(facts.out).toMatch(/^reason +attempts_exhausted$/m);
      expect(facts.out).not.toContain("secret text");
      expect((await run("parked", "show", "evt_3", "--payload")).out).toContain("secret text of 3");
      expect((await run("parked", "show", "evt_3", "--json")).out).not.toContain("secret text");
    });
  });

  test("replaces control characters for a person and keeps them for a pipe", async () => {
    await withWorkspace(async ({ run, runOnTty, seed }) => {
      await seed(async (store) => {
        const fence = await store.issueFence("default", NOW_MS);
        const payload = "before\u001b[2J\u009bafter";
        await store.commit({ mailbox: "default", fence, spool: [parkedOf(3, { payload })] });
      });
      const piped = await run("parked", "show", "evt_3", "--payload");
      const read = await runOnTty("parked", "show", "evt_3", "--payload");
      expect(piped.out).toContain("before\u001b[2J\u009bafter");
      expect(read.out).toContain("before\ufffd[2J\ufffdafter");
    });
  });

  test("ends with 1 for an event that is not there", async () => {
    await withWorkspace(async ({ run, seed }) => {
      await seed(async () => undefined);
      expect(await run("parked", "show", "evt_9")).toMatchObject({ code: 1, out: "" });
    });
  });
});

describe("parked replay and drop", () => {
  test("replays one event: it waits and is due at once", async () => {
    await withWorkspace(async ({ run, seed }) => {
      await seed(async (store) => await seedParked(store, [3, 4]));
      expect(await run("parked", "replay", "evt_3")).toEqual({
        code: 0,
        out: "replayed 1",
        err: "",
      });
      await seed(async (store) => {
        const query = { mailbox: "default", nowMs: NOW_MS, limit: 10, maxBytes: 9999, except: [] };
        expect((await store.dueEntries(query)).map(({ uid }) => uid)).toEqual([3]);
        expect((await store.listParked()).map(({ uid }) => uid)).toEqual([4]);
      });
    });
  });

  test("drops all and counts them", async () => {
    await withWorkspace(async ({ run, seed }) => {
      await seed(async (store) => await seedParked(store, [3, 4]));
      const { code, out } = await run("parked", "drop", "--all", "--json");
      expect(code).toBe(0);
      expect(JSON.parse(out)).toEqual({ dropped: 2 });
      expect((await run("parked", "list", "--json")).out).toBe("[]");
    });
  });

  test("touches only the destination that is named", async () => {
    await withWorkspace(async ({ run, seed }) => {
      await seed(async (store) => {
        const fence = await store.issueFence("default", NOW_MS);
        const spool = [parkedOf(3), parkedOf(3, { destination: "rule-x" })];
        await store.commit({ mailbox: "default", fence, spool });
      });
      const dropped = await run("parked", "drop", "evt_3", "--destination", "rule-x");
      expect(dropped.out).toBe("dropped 1");
      expect((await run("parked", "list")).out).toMatch(/^evt_3 +default /m);
    });
  });

  test.each(["replay", "drop"])("%s ends with 1 when nothing matches", async (verb) => {
    await withWorkspace(async ({ run, seed }) => {
      await seed(async () => undefined);
      const { code, err } = await run("parked", verb, "--all");
      expect(code).toBe(1);
      expect(err).toContain("nothing parked matches");
    });
  });
});
