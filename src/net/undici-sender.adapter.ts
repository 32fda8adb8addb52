// Outgoing HTTP over undici: the real SendHttp. One keep-alive pool per origin, the egress guard inside
// the connect, the answer's body thrown away unless it is asked for. The daemon makes one sender for the
// process and closes it at the end; deadlines are the caller's signal.
import { Pool, type Dispatcher } from "undici";
import { MAX_RESPONSE_BYTES } from "../core/limits.ts";
import { refuseUrl } from "./egress-guard.ts";
import { guardedConnect } from "./guarded-connect.adapter.ts";
import { networkFailureOf } from "./network-failure.ts";
import type { HttpRequest, HttpResult, SendHttp } from "./send-http.ts";

/** So long may the body of an answer take that is thrown away anyway. */
const BODY_TIMEOUT_MS = 5000;
/** Idle pools hold no sockets, only memory; more origins than this and the least used one goes. */
const MAX_POOLS = 100;

type Answered = Extract<HttpResult, { kind: "answered" }>;

const retryAfterOf = (value: string | string[] | undefined): string | null =>
  (Array.isArray(value) ? value[0] : value) ?? null;

/**
 * The life of one request inside undici: `end` is told the first thing that decides it. A body that
 * nobody wants is read away after the headers, so that the connection can be used again, or destroyed
 * when it is too long or too slow; one that is wanted belongs to the request, and so to its signal. Raw
 * dispatch, because a stream per answer costs a third more time and memory.
 */
const createHandler = (
  { signal, maxBodyBytes }: HttpRequest,
  end: (result: HttpResult) => void,
): Dispatcher.DispatchHandler => {
  let running: Dispatcher.DispatchController | null = null;
  let bodyTimer: NodeJS.Timeout | undefined;
  let readBytes = 0;
  let answered: Answered | null = null;
  const wanted: Buffer[] = [];
  const abort = (): void => {
    end({ kind: "aborted" });
    running?.abort(new Error("aborted"));
  };
  signal.addEventListener("abort", abort, { once: true });
  const finish = (): void => {
    clearTimeout(bodyTimer);
    signal.removeEventListener("abort", abort);
  };
  return {
    onRequestStart(controller) {
      running = controller;
      // Aborted while it stood in line: stop it before anything is written.
      if (signal.aborted) controller.abort(new Error("aborted"));
    },
    onResponseStart(controller, status, headers) {
      if (status < 200) return;
      answered = { kind: "answered", status, retryAfter: retryAfterOf(headers["retry-after"]) };
      if (maxBodyBytes !== undefined) return;
      end(answered);
      signal.removeEventListener("abort", abort);
      bodyTimer = setTimeout(() => controller.abort(new Error("slow body")), BODY_TIMEOUT_MS);
      bodyTimer.unref();
    },
    onResponseData(controller, chunk) {
      readBytes += chunk.length;
      if (readBytes > (maxBodyBytes ?? MAX_RESPONSE_BYTES))
        controller.abort(new Error("long body"));
      else if (maxBodyBytes !== undefined) wanted.push(chunk);
    },
    onResponseEnd() {
      finish();
      if (answered !== null) end({ ...answered, body: Buffer.concat(wanted).toString("utf8") });
    },
    onResponseError(_controller, error) {
      finish();
      end(answered ?? { kind: "failed", errorClass: networkFailureOf(error) });
    },
  };
};

const post = (pool: Pool, url: URL, request: HttpRequest): Promise<HttpResult> =>
  new Promise((resolve) => {
    pool.dispatch(
      {
        method: "POST",
        path: url.pathname + url.search,
        headers: request.headers,
        body: request.body,
      },
      createHandler(request, resolve),
    );
  });

const createPools = () => {
  const pools = new Map<string, Pool>();
  const open = new Set<Pool>();
  const close = async (pool: Pool): Promise<void> => {
    await pool.close();
    open.delete(pool);
  };
  return {
    of(url: URL, { allowPrivateAddresses, connections }: HttpRequest): Pool {
      const key = `${url.origin} ${allowPrivateAddresses} ${connections}`;
      const pool =
        pools.get(key) ??
        new Pool(url.origin, {
          connections,
          connect: guardedConnect(allowPrivateAddresses),
          headersTimeout: 0,
          bodyTimeout: 0,
          keepAliveMaxTimeout: 60_000,
        });
      open.add(pool);
      // Deleted and set again: the map's order is the order of last use.
      pools.delete(key);
      pools.set(key, pool);
      const [oldest] = pools;
      if (pools.size > MAX_POOLS && oldest !== undefined) {
        pools.delete(oldest[0]);
        void close(oldest[1]);
      }
      return pool;
    },
    async destroy(): Promise<void> {
      pools.clear();
      await Promise.all([...open].map((pool) => pool.destroy()));
    },
  };
};

/** Did the connection end before all that was asked for had come? */
const isCutShort = (result: HttpResult, { maxBodyBytes }: HttpRequest): boolean =>
  result.kind === "failed" ||
  (result.kind === "answered" && maxBodyBytes !== undefined && result.body === undefined);

/**
 * The real sender. `close` destroys every connection at once; what is in flight then, and what is sent
 * afterwards, ends as `aborted`.
 */
export const createUndiciSender = (): { sendHttp: SendHttp; close(): Promise<void> } => {
  const pools = createPools();
  let isClosed = false;
  return {
    async sendHttp(request) {
      if (isClosed || request.signal.aborted) return { kind: "aborted" };
      if (refuseUrl(request.url, request.allowPrivateAddresses) !== null) {
        return { kind: "failed", errorClass: "egress_refused" };
      }
      const url = new URL(request.url);
      const result = await post(pools.of(url, request), url, request);
      return isClosed && isCutShort(result, request) ? { kind: "aborted" } : result;
    },
    async close() {
      isClosed = true;
      await pools.destroy();
    },
  };
};
