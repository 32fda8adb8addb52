// The time a mailbox is ours, over a lock file that a test replaces: what may overlap, what ends the
// process, and what an error means under a lost lease.
import { describe, expect, test } from "vitest";
import { createSeededRandom } from "../../../test/support/seeded-random.ts";
import { createVirtualClock } from "../../../test/support/virtual-clock.ts";
import { createMetrics } from "../../app-logging/metrics.ts";
import { FencedError, LeaseLostError } from "../../core/errors.ts";
import { createFolderMemory } from "../../orchestrator/folder-context.ts";
import { createSqliteStore } from "../../store/sqlite.ts";
import { openSqliteMemory } from "../../store/sqlite.adapter.ts";
import { createTenure } from "./tenure.ts";

const setUp = () => {
  const clock = createVirtualClock();
  const host = { replaced: false, taken: 0, exits: [] as number[], lost: 0 };
  const tenure = createTenure(
    {
      clock,
      node: "node-a",
      random: createSeededRandom(6),
      clustered: null,
      log: () => undefined,
      metrics: createMetrics(),
      store: createSqliteStore({
        database: openSqliteMemory(),
        random: createSeededRandom(5),
        spoolKeys: [],
      }),
      lockFile: "/somewhere/poller.lock",
      takeLocalLock: () => {
        host.replaced = false;
        host.taken += 1;
        const lock = { stillInPlace: () => !host.replaced, release: () => undefined };
        return { kind: "held", lock };
      },
      exit: (code) => void host.exits.push(code),
    },
    { id: "default" },
    { memory: createFolderMemory(), lost: () => (host.lost += 1) },
  );
  return { clock, host, tenure };
};

describe("the tenure of a mailbox", () => {
  test("begins anew only when the work under the lost lease has ended", async () => {
    const { clock, host, tenure } = setUp();
    await tenure.take();
    const work = tenure.during(() => clock.sleep(800));
    host.replaced = true;
    const taking = tenure.take();
    await clock.advance(799);
    expect([host.lost, host.taken]).toEqual([1, 1]);
    await clock.advance(1);
    await work;
    expect(await taking).toEqual({ kind: "held" });
    expect(host.taken).toBe(2);
  });

  test("does not count work under a new lease against the lost one", async () => {
    const { clock, host, tenure } = setUp();
    await tenure.take();
    host.replaced = true;
    await tenure.take();
    const work = tenure.during(() => clock.sleep(5000));
    await clock.advance(5000);
    await work;
    expect([host.taken, host.exits]).toEqual([2, []]);
  });

  test("ends the process when work outlives the lost lease by a second", async () => {
    const { clock, host, tenure } = setUp();
    await tenure.take();
    void tenure.during(() => clock.sleep(Infinity));
    host.replaced = true;
    void tenure.take();
    await clock.advance(999);
    expect(host.exits).toEqual([]);
    await clock.advance(1);
    expect(host.exits).toEqual([75]);
  });

  test("blames an error under a lost lease on the loss", async () => {
    const { clock, host, tenure } = setUp();
    await tenure.take();
    const work = tenure.during(async (lease) => {
      await clock.sleep(500, lease.signal);
      throw new Error("connection closed");
    });
    host.replaced = true;
    void tenure.take();
    await expect(work).rejects.toBeInstanceOf(LeaseLostError);
  });

  test("ends at a newer fence", async () => {
    const { host, tenure } = setUp();
    await tenure.take();
    const work = tenure.during(() => Promise.reject(new FencedError("default")));
    await expect(work).rejects.toBeInstanceOf(LeaseLostError);
    expect([tenure.lease(), host.lost]).toEqual([null, 1]);
  });
});
