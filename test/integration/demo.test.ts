// The demo as a new user starts it: the launcher in a child, with a folder for temporary files of its
// own, so that what it leaves behind is seen. Each test ends what it starts.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ROOT } from "../support/source-tree.ts";

let temp = "";
const children = new Set<ChildProcess>();

beforeEach(() => {
  temp = mkdtempSync(join(tmpdir(), "demo-test-"));
});

afterEach(() => {
  for (const child of children) child.kill("SIGKILL");
  children.clear();
  rmSync(temp, { recursive: true, force: true });
});

interface Started {
  child: ChildProcess;
  /** All of standard output until now, or once a pattern is in it or the process has ended. */
  out(pattern?: RegExp): Promise<string>;
  err(): string;
  code(): Promise<number | null>;
}

const start = (args: readonly string[], env: Record<string, string> = {}): Started => {
  const child = spawn(join(ROOT, "bin/signalpost"), ["demo", ...args], {
    cwd: temp,
    env: { ...process.env, ...env, TMPDIR: temp },
    stdio: ["ignore", "pipe", "pipe"],
  });
  children.add(child);
  const ended = once(child, "close") as Promise<[number | null]>;
  let out = "";
  let err = "";
  let look = (): void => undefined;
  child.stdout?.setEncoding("utf8").on("data", (text: string) => {
    out += text;
    look();
  });
  child.stderr?.setEncoding("utf8").on("data", (text: string) => (err += text));
  return {
    child,
    out: async (pattern) => {
      const seen = new Promise<void>((resolve) => {
        look = () => {
          if (pattern === undefined || pattern.test(out)) resolve();
        };
        look();
      });
      await Promise.race([seen, ended]);
      return out;
    },
    err: () => err,
    code: async () => (await ended)[0],
  };
};

const READY = /What became of each mail/;

describe("signalpost demo --once", () => {
  test("delivers the samples and one live mail, sums up and ends with 0", async () => {
    // Variables of a real mailbox are not the demo's business.
    const { code, out, err } = start(["--once"], {
      IMAP_SERVER: "imap.invalid",
      WEBHOOK_URL: "https://hooks.invalid/x",
    });
    expect(await code()).toBe(0);
    const text = await out();
    expect(err()).toBe("");
    expect(text).toContain("7 mails in, 6 verified webhooks out, 1 filtered\n");
    expect(text.match(/signature verified/g)).toHaveLength(6);
    expect(text).toMatch(/✔ Hello from the demo .*\n.*\n.* ms after it arrived\n/);
    expect(text).toContain("Grüße aus Zürich und 東京 🗼");
    expect(text).toContain("dropbox link https://www.dropbox.com/");
    expect(text).toContain("html cut at the limit");
    expect(text).toContain("to rule-invoices");
    expect(text).not.toContain("\u001b");
    expect(text).not.toContain("!");
    expect(readdirSync(temp)).toEqual([]);
  });
});

describe("signalpost demo", () => {
  test.each(["SIGINT", "SIGTERM", "SIGHUP"] as const)(
    "ends with 0 on %s and leaves no file behind",
    async (signal) => {
      const { child, code, out } = start([]);
      expect(await out(READY)).toMatch(READY);
      const names = readdirSync(temp);
      expect(names).toHaveLength(2);
      for (const name of names) expect(statSync(join(temp, name)).mode & 0o077).toBe(0);
      child.kill(signal);
      expect(await code()).toBe(0);
      expect(readdirSync(temp)).toEqual([]);
    },
  );

  test("leaves no file behind when it is stopped while it starts", async () => {
    const { child, code } = start([]);
    while (readdirSync(temp).length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    child.kill("SIGINT");
    expect(await code()).toBe(0);
    expect(readdirSync(temp)).toEqual([]);
  });

  test("delivers a mail that another process sends", async () => {
    const running = start([]);
    await running.out(READY);
    const sender = start(["send", "Grüße", "von nebenan"]);
    expect(await sender.code()).toBe(0);
    const shown = /✔ Grüße von nebenan .*\n.*\n.*signature verified {2}\d+ ms after it arrived\n/;
    expect(await running.out(shown)).toMatch(shown);
    running.child.kill("SIGINT");
    expect(await running.code()).toBe(0);
    expect(await running.out()).toContain("7 mails in, 6 verified webhooks out, 1 filtered");
  });

  test("says how to start one when no demo is running", async () => {
    const never = start(["send", "x"]);
    expect(await never.code()).toBe(1);
    expect(never.err()).toContain("no demo is running. Start one in another terminal");

    const killed = start([]);
    await killed.out(READY);
    killed.child.kill("SIGKILL");
    await killed.code();
    const late = start(["send", "x"]);
    expect(await late.code()).toBe(1);
    expect(late.err()).toContain("no demo is running. Start one in another terminal");
  });
});
