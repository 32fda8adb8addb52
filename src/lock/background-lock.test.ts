// The lock between real processes: one poller for a mailbox on a host, whatever becomes of the others.
// Successor of the reference's test_background_lock.py; part of the resilience suite.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Contender, startContender } from "../../test/support/lock-contender.ts";

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
