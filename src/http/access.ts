// Who may read the HTTP server: the bearer of the token, or a program of this host that calls it by a
// loopback name. A web page that rebinds its own name to 127.0.0.1 fails the second. Called by routes.
import { createHash, timingSafeEqual } from "node:crypto";
import type { RouteRequest } from "./serve-http.ts";

/** What the server was given to judge by. */
export interface Access {
  /** Null: none is configured, which only a loopback server may have. */
  token: string | null;
  /** Does the server listen on a loopback address? */
  loopback: boolean;
}

/** Is this the name or an address of the host itself? Brackets around IPv6 are optional. */
export const isLoopbackName = (host: string): boolean => {
  const name = host.toLowerCase().replace(/^\[(.*)\]$/, "$1");
  return name === "localhost" || name === "::1" || /^127(\.\d{1,3}){3}$/.test(name);
};

/** `localhost:8025` and `[::1]:8025` without their port. */
const hostWithoutPort = (header: string): string => header.replace(/:\d{1,5}$/, "");

/** Equal, without telling by its duration how much of it is: digests have one length. */
const isSameSecret = (a: string, b: string): boolean => {
  const digest = (text: string): Uint8Array => createHash("sha256").update(text, "utf8").digest();
  return timingSafeEqual(digest(a), digest(b));
};

/** May this request see what only the operator may? */
export const isAllowed = ({ headers }: RouteRequest, { token, loopback }: Access): boolean => {
  if (token === null) {
    return loopback && isLoopbackName(hostWithoutPort(headers["host"] ?? ""));
  }
  const bearer = /^bearer +(\S+) *$/i.exec(headers["authorization"] ?? "")?.[1];
  return bearer !== undefined && isSameSecret(bearer, token);
};

/** May this request see the words of `/healthz` and `/readyz`? They need no token. */
export const isAllowedWithoutToken = (request: RouteRequest, access: Access): boolean =>
  access.token !== null || !access.loopback || isAllowed(request, access);
