// The lock between real processes: one poller for a mailbox on a host, and with Redis one over all hosts,
// whatever becomes of the others. Successor of the reference's test_background_lock.py; part of the resilience suite.
import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Contender, startContender } from "../../test/support/lock-contender.ts";
import { type RedisServer, startRedis } from "../../test/support/redis.ts";
import { LOCK_KEY } from "../../test/support/tenth-lease.ts";
import { keyOfLock } from "../redis/keys.ts";

const REFUSED = { kind: "refused", reason: "held_by_other", code: null };

describe("the lock between processes", { tags: ["resilience"] }, () => {
  let directory = "";
  let contenders: Contender[] = [];
  const start = (file = "poller.lock"): Contender => {
    const contender = startContender(join(directory, file));
    contenders.push(contender);
    return contender;
  };

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "signalpost-lock-"));
  });
  afterEach(async () => {
    await Promise.all(contenders.map((contender) => contender.kill("SIGKILL")));
    contenders = [];
    rmSync(directory, { recursive: true });
  });

  test("goes to one of two contenders", async () => {
    const answers = await Promise.all([start().ask("acquire"), start().ask("acquire")]);
    expect(answers.map(({ kind }) => kind).toSorted()).toEqual(["held", "refused"]);
  });

  test("stays with its holder while others try", async () => {
    const [holder, other] = [start(), start()];
    const { fence } = await holder.ask("acquire");
    for (let n = 0; n < 5; n += 1) expect(await other.ask("acquire")).toEqual(REFUSED);
    expect(await holder.ask("assert")).toEqual({ kind: "asserted" });
    expect(await holder.ask("acquire")).toEqual({ kind: "held", fence });
  });

  test("goes to the next one after a release", async () => {
    const [holder, other] = [start(), start()];
    await holder.ask("acquire");
    expect(await other.ask("acquire")).toEqual(REFUSED);
    expect(await holder.ask("release")).toEqual({ kind: "released" });
    expect(await other.ask("acquire")).toMatchObject({ kind: "held" });
    expect(await holder.ask("assert")).toEqual({ kind: "LeaseLostError" });
    expect(await holder.ask("acquire")).toEqual(REFUSED);
  });

  test("goes to the next one at once when its holder is killed", async () => {
    const [holder, other] = [start(), start()];
    await holder.ask("acquire");
    await other.ask("acquire");
    await holder.kill("SIGKILL");
    expect(await other.ask("acquire")).toMatchObject({ kind: "held" });
  });

  test("stays with a holder that is stopped, and with it when it goes on", async () => {
    const [holder, other] = [start(), start()];
    await holder.ask("acquire");
    await holder.kill("SIGSTOP");
    expect(await other.ask("acquire")).toEqual(REFUSED);
    await holder.kill("SIGCONT");
    expect(await holder.ask("assert")).toEqual({ kind: "asserted" });
  });

  test("of one mailbox does not hold up another", async () => {
    const answers = await Promise.all([
      start("poller.lock").ask("acquire"),
      start("poller.lock.sales").ask("acquire"),
    ]);
    expect(answers.map(({ kind }) => kind)).toEqual(["held", "held"]);
  });
});

// Each contender has a lock file of its own, as on hosts of their own; the lease has a tenth of its length.
describe("the lock between hosts", { tags: ["redis", "resilience"] }, () => {
  let directory = "";
  let server: RedisServer;
  let contenders: Contender[] = [];
  const start = (file: string = randomUUID()): Contender => {
    const redis = { url: server.url, owner: randomUUID() };
    const contender = startContender(join(directory, file), redis);
    contenders.push(contender);
    return contender;
  };

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), "signalpost-lock-"));
    server = await startRedis();
  });
  afterEach(async () => {
    await Promise.all(contenders.map((contender) => contender.kill("SIGKILL")));
    contenders = [];
    await server[Symbol.asyncDispose]();
    rmSync(directory, { recursive: true });
  });

  /** As if a holder before the first one had signed off: nobody has to wait for it. */
  const signOff = async (): Promise<void> => {
    const [, runId] = /run_id:(\w+)/.exec(await server.cli("INFO", "server")) ?? [];
    await server.cli("SET", keyOfLock(LOCK_KEY, "fence"), "1");
    await server.cli("SET", keyOfLock(LOCK_KEY, "released"), `1:${runId}`);
  };

  /** Asks ten times a second until it is held; what was answered on the way, each word once in a row. */
  const hold = async (contender: Contender): Promise<{ words: unknown[]; fence: number }> => {
    const words: unknown[] = [];
    for (;;) {
      const { kind, reason, fence } = await contender.ask("acquire");
      const word = reason ?? kind;
      if (words.at(-1) !== word) words.push(word);
      if (kind === "held") return { words, fence: Number(fence) };
      await sleep(100);
    }
  };

  test("goes to one of two, after a delay, and stays with it", async () => {
    const contending = [start(), start()] as const;
    const answers = await Promise.all(contending.map((contender) => contender.ask("acquire")));
    expect(answers.map(({ kind }) => kind).toSorted()).toEqual(["delayed", "refused"]);
    const first = answers[0]?.["kind"] === "delayed" ? 0 : 1;
    const [holder, other] = [contending[first], contending[1 - first] ?? contending[0]];
    expect((await hold(holder)).words).toEqual(["delayed", "held"]);
    expect(await other.ask("acquire")).toEqual(REFUSED);
    expect(await holder.ask("assert")).toEqual({ kind: "asserted" });
  });

  test("goes over without a delay when its holder gives it back", async () => {
    await signOff();
    const [holder, other] = [start(), start()];
    const before = await hold(holder);
    await holder.ask("release");
    const after = await hold(other);
    expect(after.words).not.toContain("delayed");
    expect(after.fence).toBeGreaterThan(before.fence);
    expect(await holder.ask("assert")).toEqual({ kind: "LeaseLostError" });
  });

  test("is taken over from a holder that was killed, with a higher fence and after a delay", async () => {
    await signOff();
    const [holder, other] = [start(), start()];
    const before = await hold(holder);
    expect(await other.ask("acquire")).toEqual(REFUSED);
    await holder.kill("SIGKILL");
    const after = await hold(other);
    expect(after.words.slice(0, 2)).toEqual(["held_by_other", "delayed"]);
    expect(after.fence).toBeGreaterThan(before.fence);
  });

  test("is no longer with a holder that was stopped and goes on", async () => {
    await signOff();
    const [holder, other] = [start(), start()];
    await hold(holder);
    await holder.kill("SIGSTOP");
    expect((await hold(other)).words.slice(0, 2)).toEqual(["held_by_other", "delayed"]);
    await holder.kill("SIGCONT");
    expect(await holder.ask("assert")).toEqual({ kind: "LeaseLostError" });
    expect(await holder.ask("acquire")).toEqual(REFUSED);
    expect(await other.ask("assert")).toEqual({ kind: "asserted" });
  });

  test("is not taken by a second process of the same host, which does not even ask", async () => {
    await signOff();
    const [holder, other] = [start("poller.lock"), start("poller.lock")];
    await hold(holder);
    await server.cli("DEL", LOCK_KEY);
    expect(await other.ask("acquire")).toMatchObject({ reason: "held_on_host" });
    expect(await server.cli("EXISTS", LOCK_KEY)).toBe("0");
  });
});
