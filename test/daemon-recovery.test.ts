// How the daemon comes out of what goes wrong around it: reloads that meet, a lock file that vanishes, a
// state that refuses writes, neighbours that are down. The shipped daemon on fake ports, under a virtual
// clock.
import { describe, expect, test } from "vitest";
import { createSqliteStore } from "../src/store/sqlite.ts";
import { configOf, createDaemonWorld, sqliteError } from "./support/daemon-world.ts";
import { createSeededRandom } from "./support/seeded-random.ts";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

/** A world whose receiver takes `ms` for each request, or until it is told to stop. */
const slowWorld = (ms: number, isSlow: (body: string) => boolean = () => true) =>
  createDaemonWorld(({ clock, sendHttp }) => ({
    sendHttp: async (request) => {
      if (isSlow(request.body)) await clock.sleep(ms, request.signal);
      return request.signal.aborted ? { kind: "aborted" } : sendHttp(request);
    },
  }));

describe("reloads and a stop that meet", () => {
  test("two reloads within the grace period leave one runner for each mailbox", async () => {
    const here = slowWorld(25_000);
    here.config.text = configOf(["a", "b"]);
    const daemon = await here.start();
    await here.clock.advance(1000);
    here.server.deliver("in flight", "in both");
    await here.clock.advance(500);
    here.config.text = configOf(["a", "b"]).replace("user: someone", "user: second");
    const first = daemon.reload();
    await here.clock.advance(3000);
    here.config.text = configOf(["a", "b"], "third");
    await here.settled(Promise.all([first, daemon.reload()]));
    await here.clock.advance(MINUTE_MS);
    // Everybody comes back from a short outage, also who should not be there any more.
    here.users.length = 0;
    here.server.setDown(true);
    here.server.setDown(false);
    await here.clock.advance(MINUTE_MS);
    expect(here.users).toEqual(["third", "third"]);
    expect(here.eventsOf("lock.refused")).toEqual([]);
    await here.stop(daemon);
    const before = here.server.attempts.length;
    here.server.setDown(true);
    await here.clock.advance(10 * MINUTE_MS);
    expect(here.server.attempts).toHaveLength(before);
    expect(here.eventsOf("lock.released")).toHaveLength(here.eventsOf("lock.acquired").length);
  });

  test("a reload during a stop starts nothing", async () => {
    const here = slowWorld(25_000, (body) => body.includes('"mailbox":"b"'));
    here.config.text = configOf(["a", "b"]);
    const daemon = await here.start();
    await here.clock.advance(1000);
    here.server.deliver("in flight", "in b");
    await here.clock.advance(500);
    const stopping = daemon.stop();
    await here.clock.advance(100);
    here.config.text = configOf(["a", "b"], "other");
    await here.settled(Promise.all([daemon.reload(), stopping]));
    expect(here.eventsOf("lock.acquired")).toHaveLength(2);
  });

  test("a stop during a reload's grace period does not wait twice", async () => {
    const here = slowWorld(25_000);
    here.config.text = configOf(["a", "b"]);
    const daemon = await here.start();
    await here.clock.advance(1000);
    here.server.deliver("in flight", "in both");
    await here.clock.advance(500);
    here.config.text = configOf(["a", "b"]).replace("user: someone", "user: other");
    const reloading = daemon.reload();
    await here.clock.advance(3000);
    const startedMs = here.clock.now();
    await here.settled(Promise.all([daemon.stop(), reloading]));
    expect(here.clock.now() - startedMs).toBeLessThanOrEqual(6000);
  });

  test("ends the watch over the event loop after the state, so that a hanging stop is watched", async () => {
    const ended: string[] = [];
    const here = createDaemonWorld(({ openSqlite }) => ({
      openSqlite: (directory) => ({ ...openSqlite(directory), close: () => ended.push("state") }),
      watchEventLoop: () => ({ maxDelaySeconds: () => 0, stop: () => void ended.push("watch") }),
    }));
    const daemon = await here.start();
    await here.stop(daemon);
    expect(ended).toEqual(["state", "watch"]);
  });
});

describe("a lock file that was deleted", () => {
  test("costs an idle mailbox its connection, not its process", async () => {
    const here = createDaemonWorld(({ clock, openSession }) => ({
      openSession: async (request, signal) => {
        await clock.sleep(1500, signal);
        return openSession(request, signal);
      },
    }));
    const daemon = await here.start();
    await here.clock.advance(10_000);
    here.replaceLockFile();
    await here.clock.advance(MINUTE_MS);
    expect(here.eventsOf("lock.lost")).toHaveLength(1);
    expect(here.eventsOf("lock.acquired")).toHaveLength(2);
    expect(here.exits).toEqual([]);
    await here.stop(daemon);
  });

  test("cuts a connection short that is being opened", async () => {
    let isSlow = false;
    const here = createDaemonWorld(({ clock, openSession }) => ({
      openSession: async (request, signal) => {
        if (isSlow) await clock.sleep(50_000);
        return openSession(request, signal);
      },
    }));
    here.receiver.answerWith(() => ({ kind: "failed", errorClass: "refused" }));
    const daemon = await here.start();
    await here.clock.advance(1000);
    here.server.deliver("waits in the spool", "so that its loop looks at the lease");
    await here.clock.advance(100);
    isSlow = true;
    here.server.setDown(true);
    here.server.setDown(false);
    await here.clock.advance(2000);
    here.replaceLockFile();
    await here.clock.runUntil(() => here.eventsOf("lock.lost").length === 1, 30_000);
    await here.clock.advance(2000);
    expect(here.exits).toEqual([]);
    expect(here.eventsOf("lock.acquired")).toHaveLength(2);
    void daemon;
  });
});

describe("a state that refuses", () => {
  test("reads of the spool is tried less and less often, and soon again once it works", async () => {
    const here = createDaemonWorld();
    const daemon = await here.start();
    await here.clock.advance(1000);
    here.state.refuse((sql) => sql.includes("FROM spool"));
    await here.clock.advance(30 * MINUTE_MS);
    // About one try in half a minute each, after the first few.
    expect(here.eventsOf("spool.failed").length).toBeLessThan(150);
    const waits = here.eventsOf("cycle.failed").map((line) => Number(line["retry_ms"]));
    expect(Math.max(...waits)).toBeLessThanOrEqual(MINUTE_MS);
    here.state.refuse(() => false);
    await here.clock.advance(2 * MINUTE_MS);
    const [spoolBefore, cycleBefore] = [
      here.eventsOf("spool.failed").length,
      here.eventsOf("cycle.failed").length,
    ];
    here.state.refuse((sql) => sql.includes("FROM spool"));
    await here.clock.advance(2 * MINUTE_MS);
    expect(here.eventsOf("spool.failed")[spoolBefore]?.["retry_ms"]).toBeLessThanOrEqual(1000);
    expect(here.eventsOf("cycle.failed")[cycleBefore]?.["retry_ms"]).toBeLessThanOrEqual(1000);
    here.state.refuse(() => false);
    await here.stop(daemon);
  });

  test("what became of spooled mail shows, however well cycles commit", async () => {
    const here = createDaemonWorld();
    here.receiver.answerWith(() => ({ kind: "failed", errorClass: "refused" }));
    const daemon = await here.start();
    await here.clock.advance(1000);
    here.server.deliver("into the spool", "a text");
    await here.clock.runUntil(() => here.receiver.requests.length === 1, MINUTE_MS);
    here.receiver.answerWith(() => ({ kind: "answered", status: 200, retryAfter: null }));
    here.state.refuse((sql) => sql.startsWith("DELETE FROM spool"));
    await here.clock.runUntil(() => here.eventsOf("commit.failed").length > 0, MINUTE_MS);
    await here.clock.advance(6000);
    const shown = new Set<string>();
    for (let n = 0; n < 60; n += 1) {
      here.server.deliver("through at once", "a text");
      await here.clock.advance(1000);
      const [row] = here.state.all("SELECT live FROM nodes");
      shown.add(JSON.parse(String(row?.["live"])).mailboxes[0].state);
    }
    expect(here.state.all("SELECT 1 FROM receipts")).toHaveLength(61);
    expect([...shown]).toEqual(["commit_failing"]);
    here.state.refuse(() => false);
    await here.stop(daemon);
  });
});

describe("a redelivery asked for", () => {
  test("while a cycle is under way is not slept over", async () => {
    const here = slowWorld(3000);
    const daemon = await here.start();
    await here.clock.advance(1000);
    here.server.deliver("first", "a text");
    await here.clock.advance(5000);
    here.server.deliver("second", "a text");
    await here.clock.advance(1000);
    const other = createSqliteStore({
      database: here.state.open(),
      random: createSeededRandom(1),
      spoolKeys: [],
    });
    await other.requestRedelivery("default", [1]);
    here.state.changed();
    await here.clock.advance(8000);
    const subjects = here.receiver.requests.map(({ body }) => JSON.parse(body).data.subject);
    expect(subjects).toEqual(["first", "second", "first"]);
    await here.stop(daemon);
  });
});

describe("deliveries of a mailbox that this process does not know", () => {
  const parked = ({ state }: ReturnType<typeof createDaemonWorld>) =>
    state.all("SELECT reason FROM spool WHERE state = 'parked'").map(({ reason }) => reason);

  /** A delivery of `b` waits, whose process is down; another process polls `a`. */
  const leaveBehind = async () => {
    const here = createDaemonWorld();
    here.receiver.answerWith(() => ({ kind: "failed", errorClass: "refused" }));
    const b = await here.start("node-b", { text: configOf(["b"]) });
    await here.clock.advance(1000);
    here.server.deliver("of b", "a text");
    await here.clock.advance(2000);
    await here.stop(b);
    return {
      here,
      startA: async () => {
        const a = await here.start("node-a", { text: configOf(["a"]) });
        await here.clock.advance(1000);
        return a;
      },
      /** As if nobody had named `b` for so long, while others went on. */
      silentFor: (ms: number) =>
        here.state.all(`UPDATE named SET wall_ms = wall_ms - ${ms} WHERE mailbox = 'b'`),
    };
  };

  test("wait while the neighbour that polls it is down for less than a day", async () => {
    const { here, silentFor, startA } = await leaveBehind();
    const a = await startA();
    silentFor(23 * HOUR_MS);
    await here.clock.advance(2 * MINUTE_MS);
    expect(parked(here)).toEqual([]);
    await here.stop(a);
  });

  test("are parked when nobody has named it for a day", async () => {
    const { here, silentFor, startA } = await leaveBehind();
    const a = await startA();
    silentFor(24 * HOUR_MS);
    await here.clock.advance(2 * MINUTE_MS);
    expect(parked(here)).toContain("mailbox_gone");
    expect(here.eventsOf("spool.mailbox_gone")).toMatchObject([{ mailbox: "b", count: 1 }]);
    await here.stop(a);
  });

  test("wait after days in which no process ran at all", async () => {
    const { here, startA } = await leaveBehind();
    await here.clock.advance(72 * HOUR_MS);
    const a = await startA();
    await here.clock.advance(2 * MINUTE_MS);
    expect(parked(here)).toEqual([]);
    await here.stop(a);
  });
});

describe("the state at the start", () => {
  test("is waited for while a neighbour keeps it locked", async () => {
    let refusals = 3;
    const here = createDaemonWorld(({ openSqlite }) => ({
      openSqlite: (directory) => {
        refusals -= 1;
        if (refusals >= 0) throw sqliteError(5 + 256);
        return openSqlite(directory);
      },
    }));
    const daemon = await here.settled(here.start());
    expect(refusals).toBeLessThan(0);
    await here.stop(daemon);
  });

  test("is given up after some seconds, naming the lock and not the rights", async () => {
    const here = createDaemonWorld(() => ({
      openSqlite: () => {
        throw sqliteError(5);
      },
    }));
    await expect(here.settled(here.start())).rejects.toThrow(/data_dir: .*keeps .* locked/);
    expect(here.clock.now()).toBeLessThanOrEqual(6000);
  });

  test("of a newer version is refused in the store's own words", async () => {
    const here = createDaemonWorld();
    await here.stop(await here.start());
    here.state.all("UPDATE meta SET value = 99 WHERE name = 'schema_version'");
    const refusal = here.start();
    await expect(refusal).rejects.toThrow(/schema version 99/);
    await expect(refusal).rejects.not.toThrow(/write to/);
  });
});
