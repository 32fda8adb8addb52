// The four routes of DESIGN section 10, as functions from a request to an answer. What they tell comes
// by parameter; no folder, user, host or address passes through here. Served by the fastify adapter.
import { isLoopbackHost } from "../core/settings.ts";
import { isAllowed, isAllowedWithoutToken } from "./access.ts";
import { type MailboxWord, isReadyWord } from "./readiness.ts";
import type { Route, RouteAnswer } from "./serve-http.ts";
import type { StatusReport } from "./status-report.ts";

/** What the routes show, and who may see it. */
export interface RouteSources {
  /** The word of every mailbox, now. */
  words(): readonly { id: string; word: MailboxWord }[];
  status(): Promise<StatusReport>;
  /** The destination with the most rows in the spool; null when it is empty. */
  fullestDestination(): Promise<string | null>;
  /** The metrics in Prometheus' text format, version 0.0.4. */
  metrics(): Promise<string>;
  /** Null: none is configured. */
  token: string | null;
  /** The host that the server binds. */
  host: string;
}

const json = (status: number, value: unknown): RouteAnswer => ({
  status,
  contentType: "application/json; charset=utf-8",
  body: `${JSON.stringify(value)}\n`,
});

const FORBIDDEN = json(403, { error: "forbidden" });
const UNAUTHORIZED = json(401, { error: "unauthorized" });

/** `disabled` when nothing polls by choice, also when there is no mailbox at all. */
const readiness = async (sources: RouteSources): Promise<RouteAnswer> => {
  const words = sources.words();
  const isFull = words.some(({ word }) => word === "spool_full");
  const isReady = words.every(({ word }) => isReadyWord(word));
  const isDisabled = words.every(({ word }) => word === "disabled");
  const status = isDisabled ? "disabled" : isReady ? "ready" : "not_ready";
  const mailboxes = Object.fromEntries(words.map(({ id, word }) => [id, word]));
  const full = isFull ? { fullest_destination: await sources.fullestDestination() } : {};
  return json(isReady ? 200 : 503, { status, mailboxes, ...full });
};

/** The routes over their sources; `/healthz` and `/readyz` need no token. */
export const createRoutes = (sources: RouteSources): Route[] => {
  const access = { token: sources.token, loopback: isLoopbackHost(sources.host) };
  // Where no token would help there is nothing to ask the client for: refused rather than challenged.
  const refusal = access.token === null ? FORBIDDEN : UNAUTHORIZED;
  const open = (path: string, answer: () => RouteAnswer | Promise<RouteAnswer>): Route => ({
    path,
    answer: async (request) =>
      isAllowedWithoutToken(request, access) ? await answer() : FORBIDDEN,
  });
  const guarded = (path: string, answer: () => Promise<RouteAnswer>): Route => ({
    path,
    answer: async (request) => (isAllowed(request, access) ? await answer() : refusal),
  });
  return [
    open("/healthz", () => json(200, { status: "ok" })),
    open("/readyz", () => readiness(sources)),
    guarded("/metrics", async () => ({
      status: 200,
      contentType: "text/plain; version=0.0.4; charset=utf-8",
      body: await sources.metrics(),
    })),
    guarded("/api/v1/status", async () => json(200, await sources.status())),
  ];
};
