// The lock against everything that is not a well-behaved contender: Python's own lock, links, deleted and
// unusable files. Successor of the reference's test_background_lock_extra.py; part of the resilience suite.
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  type Contender,
  startContender,
  startPythonContender,
} from "../../test/support/lock-contender.ts";
import { createVirtualClock } from "../../test/support/virtual-clock.ts";
import { takeFlock } from "./flock.adapter.ts";
import type { LocalLock, LocalLockAnswer } from "./local-lock.ts";
import { createPollerLock } from "./poller-lock.ts";

let directory = "";
let path = "";
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "signalpost-lock-"));
  path = join(directory, "poller.lock");
});
afterEach(() => {
  rmSync(directory, { recursive: true });
});

const take = (): LocalLock => {
  const answer = takeFlock(path);
  if (answer.kind !== "held") throw new Error(`not taken: ${JSON.stringify(answer)}`);
  return answer.lock;
};

describe("the lock beside the Python service", { tags: ["resilience"] }, () => {
  let contenders: Contender[] = [];
  afterEach(async () => {
    await Promise.all(contenders.map((contender) => contender.kill("SIGKILL")));
    contenders = [];
  });
  const pair = (): [ours: Contender, python: Contender] => {
    const made: [Contender, Contender] = [startContender(path), startPythonContender(path)];
    contenders.push(...made);
    return made;
  };

  test("is refused while Python's fcntl.flock holds the file", async () => {
    const [ours, python] = pair();
    expect(await python.ask("acquire")).toEqual({ kind: "held" });
    expect(await ours.ask("acquire")).toMatchObject({ kind: "refused", reason: "held_by_other" });
    await python.ask("release");
    expect(await ours.ask("acquire")).toMatchObject({ kind: "held" });
  });

  test("keeps Python's fcntl.flock out", async () => {
    const [ours, python] = pair();
    expect(await ours.ask("acquire")).toMatchObject({ kind: "held" });
    expect(await python.ask("acquire")).toEqual({ kind: "refused" });
    await ours.kill("SIGKILL");
    expect(await python.ask("acquire")).toEqual({ kind: "held" });
  });

  test("is free once the Python process is killed", async () => {
    const [ours, python] = pair();
    await python.ask("acquire");
    await python.kill("SIGKILL");
    expect(await ours.ask("acquire")).toMatchObject({ kind: "held" });
  });
});

describe("the lock file", { tags: ["resilience"] }, () => {
  test("is made when there is none, and left behind empty", () => {
    take().release();
    const { size, mode } = statSync(path);
    expect([size, mode & 0o777]).toEqual([0, 0o644 & ~process.umask()]);
  });

  test("is never changed when it is there, also when it may only be read", () => {
    writeFileSync(path, "pid=4242");
    chmodSync(path, 0o444);
    take().release();
    expect(readFileSync(path, "utf8")).toBe("pid=4242");
  });

  test("is refused when it is a symbolic link, and what that points to is not made", () => {
    const target = join(directory, "target");
    symlinkSync(target, path);
    expect(takeFlock(path)).toEqual({ kind: "error", code: "ELOOP" });
    expect(existsSync(target)).toBe(false);
    writeFileSync(target, "");
    expect(takeFlock(path)).toEqual({ kind: "error", code: "ELOOP" });
  });

  test("is refused when it is a directory or a fifo", () => {
    mkdirSync(path);
    expect(takeFlock(path)).toEqual({ kind: "error", code: "EINVAL" });
    rmSync(path, { recursive: true });
    execFileSync("mkfifo", [path]);
    expect(takeFlock(path)).toEqual({ kind: "error", code: "EINVAL" });
  });

  test("is an error when its directory is missing or not a directory", () => {
    expect(takeFlock(join(directory, "none", "lock"))).toEqual({ kind: "error", code: "ENOENT" });
    writeFileSync(path, "");
    expect(takeFlock(join(path, "lock"))).toEqual({ kind: "error", code: "ENOTDIR" });
  });

  test("is an error when its directory takes no new file", () => {
    // /proc refuses root too, where a mode without write permission would not.
    expect(takeFlock("/proc/signalpost.lock")).toEqual({ kind: "error", code: "ENOENT" });
  });

  test("is seen to be deleted, replaced, moved away or linked over", () => {
    const lock = take();
    expect(lock.stillInPlace()).toBe(true);
    rmSync(path);
    expect(lock.stillInPlace()).toBe(false);
    writeFileSync(path, "");
    expect(lock.stillInPlace()).toBe(false);
    lock.release();

    const moved = take();
    renameSync(path, `${path}.old`);
    expect(moved.stillInPlace()).toBe(false);
    symlinkSync(`${path}.old`, path);
    expect(moved.stillInPlace()).toBe(false);
    moved.release();
  });

  test("can be taken again after it was deleted under its holder", () => {
    const old = take();
    rmSync(path);
    const next = take();
    expect([old.stillInPlace(), next.stillInPlace()]).toEqual([false, true]);
    old.release();
    expect(takeFlock(path)).toEqual({ kind: "busy" });
    next.release();
  });

  test("is not kept by a process that its holder started", async () => {
    const lock = take();
    const child = spawn("sleep", ["60"]);
    await once(child, "spawn");
    lock.release();
    const next = takeFlock(path);
    child.kill("SIGKILL");
    expect(next.kind).toBe("held");
    if (next.kind === "held") next.lock.release();
  });

  test("is free after one release, and a second one does no harm", () => {
    const lock = take();
    expect(takeFlock(path)).toEqual({ kind: "busy" });
    lock.release();
    const next = take();
    lock.release();
    expect(takeFlock(path)).toEqual({ kind: "busy" });
    next.release();
  });
});

describe("the warnings of a refused lock", { tags: ["resilience"] }, () => {
  test("come at the first refusal, at each change of reason, then every 5 minutes with a count", async () => {
    const clock = createVirtualClock();
    const warnings: string[] = [];
    const results: string[] = [];
    let answer: LocalLockAnswer = { kind: "busy" };
    const lock = createPollerLock({
      clock,
      log: (event, { mailbox, reason, code, refusals } = {}) =>
        void warnings.push(
          [`${clock.now() / 1000}s`, event, mailbox, reason, code, refusals].join(" "),
        ),
      mailbox: "sales",
      path,
      takeLocalLock: () => answer,
      issueFence: async () => 1,
      shared: null,
      heldElsewhere: async () => false,
      onAcquisition: (result) => void results.push(result),
    });
    const tryFor = async (seconds: number): Promise<void> => {
      for (let n = 0; n < seconds; n += 1) {
        await lock.acquire();
        await clock.advance(1000);
      }
    };
    await tryFor(700);
    answer = { kind: "error", code: "EACCES" };
    await tryFor(5);
    answer = { kind: "error", code: "ELOOP" };
    await tryFor(5);
    expect(warnings).toEqual([
      "0s lock.refused sales held_by_other  1",
      "300s lock.refused sales held_by_other  300",
      "600s lock.refused sales held_by_other  300",
      "700s lock.refused sales lock_file_error EACCES 100",
      "705s lock.refused sales lock_file_error ELOOP 5",
    ]);
    expect(results).toHaveLength(710);
    expect(lock.view()).toMatchObject({
      state: "standby",
      fence: null,
      sinceMs: clock.wallMs() - 710_000,
    });
  });
});
