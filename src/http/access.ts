// Who may read the HTTP server: the bearer of the token, or a program of this host that calls it by a
// loopback name. A web page that rebinds its own name to 127.0.0.1 fails the second. Called by routes.
import { createHash, timingSafeEqual } from "node:crypto";
import { isLoopbackHost } from "../core/settings.ts";
import type { RouteRequest } from "./serve-http.ts";

/** What the server was given to judge by. */
export interface Access {
  /** Null: none is configured, which only a loopback server may have. */
  token: string | null;
  /** Does the server listen on a loopback address? */
  loopback: boolean;
}

/** Does the request call the server by a loopback name? `localhost:8025`, `[::1]`. */
const isForLoopback = ({ headers }: RouteRequest): boolean =>
  isLoopbackHost((headers["host"] ?? "").replace(/:\d{1,5}$/, ""));

/** Equal, without telling by its duration how much of it is: digests have one length. */
const isSameSecret = (a: string, b: string): boolean => {
  const digest = (text: string): Uint8Array => createHash("sha256").update(text, "utf8").digest();
  return timingSafeEqual(digest(a), digest(b));
};

/** May this request see what only the operator may? */
export const isAllowed = (request: RouteRequest, { token, loopback }: Access): boolean => {
  if (token === null) return loopback && isForLoopback(request);
  const bearer = /^bearer +(\S+) *$/i.exec(request.headers["authorization"] ?? "")?.[1];
  return bearer !== undefined && isSameSecret(bearer, token);
};

/**
 * May this request see the words of `/healthz` and `/readyz`? They need no token, but a server that
 * only this host can reach tells them to no web page with a rebound name, whether it has one or not.
 */
export const isAllowedWithoutToken = (request: RouteRequest, { loopback }: Access): boolean =>
  !loopback || isForLoopback(request);
