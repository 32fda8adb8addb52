// What went wrong on the way to another host, in one word of a closed list. Read off the codes of Node,
// OpenSSL and undici, never off a text; the undici sender and the S3 adapter ask.
import type { HttpResult } from "./send-http.ts";

/** Why a request got no answer. */
export type NetworkFailure = Extract<HttpResult, { kind: "failed" }>["errorClass"];

const FAILURES: readonly (readonly [RegExp, NetworkFailure])[] = [
  [/^EGRESS_REFUSED$/, "egress_refused"],
  [/TIMEDOUT$|TIMEOUT$/, "timeout"],
  [/^(ECONNREFUSED|E(HOST|NET)(UNREACH|DOWN)|EADDRNOTAVAIL|EACCES|EPERM)$/, "refused"],
  [/^(ENOTFOUND|ENODATA|EAI_\w+)$/, "dns"],
  [/^(ERR_(TLS|SSL)_|CRL_|EPROTO$)|CERT|HOSTNAME_MISMATCH|INVALID_(CA|PURPOSE)|PATH_L/, "tls"],
];

const codesOf = (error: unknown): readonly string[] => {
  if (!(error instanceof Error)) return [];
  const { code } = error as { code?: unknown };
  const inner = error instanceof AggregateError ? error.errors : [error.cause];
  return [...(typeof code === "string" ? [code] : []), ...inner.flatMap(codesOf)];
};

/** The word for whatever undici, Node or OpenSSL threw; what has no better one died on the wire. */
export const networkFailureOf = (error: unknown): NetworkFailure => {
  for (const code of codesOf(error)) {
    const known = FAILURES.find(([pattern]) => pattern.test(code));
    if (known !== undefined) return known[1];
  }
  return "reset";
};
