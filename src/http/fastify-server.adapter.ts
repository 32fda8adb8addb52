// Serves routes on a socket with fastify: GET alone, bounded in time, size and connections, and silent
// about errors. The daemon opens it as one of its ports; closing it drops every connection at once.
import type { Socket } from "node:net";
import fastify, { type FastifyInstance, type FastifyReply } from "fastify";
import type { HttpServer, Route, RouteAnswer, ServeHttp } from "./serve-http.ts";

const MAX_CONNECTIONS = 256;
const MAX_HEADER_BYTES = 8 * 1024;
const REQUEST_TIMEOUT_MS = 10_000;

/** Clients that dawdle over their headers must not keep others out for long. */
const HEADERS_TIMEOUT_MS = 3_000;
const LOOK_FOR_DAWDLERS_MS = 500;
const IDLE_TIMEOUT_MS = 5_000;

const HEADERS = {
  "cache-control": "no-store",
  "x-content-type-options": "nosniff",
  "content-security-policy": "default-src 'none'",
};

const problem = (status: number, error: string): RouteAnswer => ({
  status,
  contentType: "application/json; charset=utf-8",
  body: `${JSON.stringify({ error })}\n`,
});

/** Foreign error texts stay inside: a client learns the class of its mistake, or that it was ours. */
const problemOf = (error: unknown): RouteAnswer => {
  const { statusCode = 500 } = error as { statusCode?: number };
  if (statusCode === 503) return problem(503, "timeout");
  return statusCode >= 400 && statusCode < 500
    ? problem(statusCode, "bad request")
    : problem(500, "internal error");
};

const send = async (reply: FastifyReply, { status, contentType, body }: RouteAnswer) => {
  if (status === 401) void reply.header("www-authenticate", "Bearer");
  await reply.code(status).headers(HEADERS).type(contentType).send(body);
};

const BROKEN: Readonly<Record<string, string>> = {
  HPE_HEADER_OVERFLOW: "431 Request Header Fields Too Large",
  ERR_HTTP_REQUEST_TIMEOUT: "408 Request Timeout",
};

/** What is no HTTP request at all meets no route: answered on the bare socket, which ends with it. */
const answerBroken = ({ code = "" }: { code?: string }, socket: Socket): void => {
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  const lines = [
    `HTTP/1.1 ${BROKEN[code] ?? "400 Bad Request"}`,
    ...Object.entries(HEADERS).map(([name, value]) => `${name}: ${value}`),
    "content-length: 0",
    "connection: close",
  ];
  socket.end(`${lines.join("\r\n")}\r\n\r\n`, () => socket.destroy());
};

const listen = async (app: FastifyInstance, address: { host: string; port: number }) => {
  try {
    await app.listen(address);
  } catch (error) {
    await app.close();
    throw error;
  }
};

/** {@link ServeHttp} on fastify; rejects with the system's error when it cannot listen. */
export const serveHttp: ServeHttp = async (address, routes): Promise<HttpServer> => {
  const app = fastify({
    logger: false,
    bodyLimit: 1024,
    connectionTimeout: REQUEST_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    handlerTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: IDLE_TIMEOUT_MS,
    forceCloseConnections: true,
    exposeHeadRoutes: false,
    http: {
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: HEADERS_TIMEOUT_MS,
      connectionsCheckingInterval: LOOK_FOR_DAWDLERS_MS,
    },
    clientErrorHandler: answerBroken,
    frameworkErrors: (error, _request, reply) => void send(reply as FastifyReply, problemOf(error)),
  });
  app.server.maxConnections = MAX_CONNECTIONS;
  const paths = new Set(routes.map(({ path }) => path));

  // Other methods are answered before a body is read, whatever its type or size.
  app.addHook("onRequest", async (request, reply) => {
    if (request.method === "GET") return;
    const isKnown = paths.has(request.url.split("?")[0] ?? "");
    if (isKnown) void reply.header("allow", "GET");
    void reply.header("connection", "close");
    await send(reply, isKnown ? problem(405, "method not allowed") : problem(404, "not found"));
  });
  app.setNotFoundHandler(async (_request, reply) => {
    await send(reply, problem(404, "not found"));
  });
  app.setErrorHandler(async (error, _request, reply) => {
    await send(reply, problemOf(error));
  });
  for (const route of routes) addRoute(app, route);

  await listen(app, address);
  const bound = app.server.address();
  const port = typeof bound === "object" && bound !== null ? bound.port : address.port;
  return { port, close: async () => await app.close() };
};

const addRoute = (app: FastifyInstance, { path, answer }: Route): void => {
  app.get(path, async (request, reply) => {
    const { host, authorization } = request.headers;
    await send(reply, await answer({ headers: { host, authorization } }));
  });
};
