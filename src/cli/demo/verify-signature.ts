// What a receiver does with a webhook before it believes it: the check of Standard Webhooks
// (standardwebhooks.com), written from the specification and not from the code that signs. Called by
// the demo's receiver, and short enough to be copied into another.
import { createHmac, timingSafeEqual } from "node:crypto";

/** A webhook as it came in; header names in lower case. */
export interface SignedRequest {
  headers: Readonly<Record<string, string | string[] | undefined>>;
  /** The octets of the body, before anybody parsed them. */
  body: Uint8Array;
}

/** Older or younger requests are refused, so that nobody can send a recorded one again. */
const TOLERANCE_S = 5 * 60;

/** Is the request signed with `secret` (`whsec_` and base64) and not older than five minutes? */
export const isSigned = (
  { headers, body }: SignedRequest,
  { secret, nowMs }: { secret: string; nowMs: number },
): boolean => {
  const { "webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": list } = headers;
  if (typeof id !== "string" || typeof timestamp !== "string" || typeof list !== "string") {
    return false;
  }
  const isFresh = Math.abs(nowMs / 1000 - Number(timestamp)) <= TOLERANCE_S;
  const key = Buffer.from(secret.slice("whsec_".length), "base64");
  const expected = createHmac("sha256", key).update(`${id}.${timestamp}.`).update(body).digest();
  const isGenuine = list
    .split(" ")
    .filter((entry) => entry.startsWith("v1,"))
    .map((entry) => Buffer.from(entry.slice("v1,".length), "base64"))
    .some((given) => given.length === expected.length && timingSafeEqual(given, expected));
  return isFresh && isGenuine;
};
