// The four routes, called directly: their words, status codes and who may see them. The sources are
// plain values; no socket is opened.
import { describe, expect, test } from "vitest";
import type { MailboxWord } from "./readiness.ts";
import { createRoutes } from "./routes.ts";
import type { StatusReport } from "./status-report.ts";

const REPORT: StatusReport = {
  version: "1.2.3",
  node: null,
  mailboxes: [],
  destinations: [],
  config: { source: "file", version: "v1", overridden: [] },
};

const ask = async (
  path: string,
  given: { words?: { id: string; word: MailboxWord }[]; token?: string; host?: string } = {},
  headers: Record<string, string> = { host: "localhost:8025" },
) => {
  const routes = createRoutes({
    words: () => given.words ?? [{ id: "default", word: "polling" }],
    status: async () => REPORT,
    fullestDestination: async () => "rule-busy",
    metrics: async () => "signalpost_cycles_total 1\n",
    token: given.token ?? null,
    host: given.host ?? "127.0.0.1",
  });
  const answer = await routes.find((route) => route.path === path)?.answer({ headers });
  if (answer === undefined) throw new Error(`no route ${path}`);
  return answer;
};

describe("createRoutes", () => {
  test("says ok on /healthz", async () => {
    const answer = await ask("/healthz");
    expect(answer.status).toBe(200);
    expect(JSON.parse(answer.body)).toEqual({ status: "ok" });
  });

  test("is ready when every mailbox has a good word", async () => {
    const words = [
      { id: "a", word: "polling" as const },
      { id: "b", word: "standby" as const },
    ];
    const answer = await ask("/readyz", { words });
    expect(answer.status).toBe(200);
    expect(JSON.parse(answer.body)).toEqual({
      status: "ready",
      mailboxes: { a: "polling", b: "standby" },
    });
  });

  test("names the destination that fills the spool", async () => {
    const answer = await ask("/readyz", { words: [{ id: "a", word: "spool_full" }] });
    expect(answer.status).toBe(503);
    expect(JSON.parse(answer.body)).toEqual({
      status: "not_ready",
      mailboxes: { a: "spool_full" },
      fullest_destination: "rule-busy",
    });
  });

  test("is not ready as soon as one mailbox has a bad word", async () => {
    const words = [
      { id: "a", word: "polling" as const },
      { id: "b", word: "rejected" as const },
    ];
    const answer = await ask("/readyz", { words });
    expect(answer.status).toBe(503);
    expect(JSON.parse(answer.body)).toEqual({
      status: "not_ready",
      mailboxes: { a: "polling", b: "rejected" },
    });
  });

  test.each([[[{ id: "a", word: "disabled" as const }]], [[]]])(
    "answers 200 disabled when nothing polls: %j",
    async (words) => {
      const answer = await ask("/readyz", { words });
      expect(answer.status).toBe(200);
      expect(JSON.parse(answer.body)).toMatchObject({ status: "disabled" });
    },
  );

  test("hands out the metrics under Prometheus' content type", async () => {
    expect(await ask("/metrics")).toEqual({
      status: 200,
      contentType: "text/plain; version=0.0.4; charset=utf-8",
      body: "signalpost_cycles_total 1\n",
    });
  });

  test("hands out the status report as it is", async () => {
    const answer = await ask("/api/v1/status");
    expect(JSON.parse(answer.body)).toEqual(REPORT);
  });

  test.each(["/metrics", "/api/v1/status"])("asks for the token on %s", async (path) => {
    const without = await ask(path, { token: "s3cret" });
    const bearing = { host: "monitor.example", authorization: "Bearer s3cret" };
    expect(without.status).toBe(401);
    expect(without.body).not.toContain("1.2.3");
    expect((await ask(path, { token: "s3cret" }, bearing)).status).toBe(200);
  });

  test.each(["/healthz", "/readyz"])("asks for no token on %s", async (path) => {
    expect((await ask(path, { token: "s3cret" })).status).toBe(200);
    const open = { token: "s3cret", host: "0.0.0.0" };
    expect((await ask(path, open, { host: "probe.example" })).status).toBe(200);
  });

  test.each(["/healthz", "/readyz"])(
    "keeps a rebound host name out of %s of a loopback server, token or not",
    async (path) => {
      const bearing = { host: "evil.example", authorization: "Bearer s3cret" };
      const answer = await ask(path, { token: "s3cret" }, bearing);
      expect(answer.status).toBe(403);
      expect(JSON.parse(answer.body)).toEqual({ error: "forbidden" });
    },
  );

  test.each(["/healthz", "/readyz", "/metrics", "/api/v1/status"])(
    "keeps a rebound host name out of %s",
    async (path) => {
      const answer = await ask(path, {}, { host: "evil.example" });
      expect(answer.status).toBe(403);
      expect(JSON.parse(answer.body)).toEqual({ error: "forbidden" });
    },
  );
});
