// The contract of the HTTP server: routes are plain functions from a request to an answer. The fastify
// adapter serves them on a socket; tests and the simulator call them directly.

/** What a route sees of a request. */
export interface RouteRequest {
  /** Header values, names in lower case. */
  headers: Readonly<Record<string, string | undefined>>;
}

/** What it answers. */
export interface RouteAnswer {
  status: number;
  contentType: string;
  body: string;
}

/** One GET route. */
export interface Route {
  path: string;
  answer(request: RouteRequest): Promise<RouteAnswer>;
}

/** A server that listens. */
export interface HttpServer {
  /** The port in use, also when 0 was asked for. */
  port: number;
  close(): Promise<void>;
}

/** Listens; rejects with the system's error (`EADDRINUSE`) when it cannot. */
export type ServeHttp = (
  address: { host: string; port: number },
  routes: readonly Route[],
) => Promise<HttpServer>;
