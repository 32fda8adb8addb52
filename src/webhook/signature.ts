// Signatures of Standard Webhooks (standardwebhooks.com): who holds the secret can tell that a request
// comes from here and is not old. Called once per attempt, because the time of sending is signed.
import { type KeyObject, createHmac, createSecretKey } from "node:crypto";

/** What is signed. */
export interface Signed {
  /** The event id; the same on every attempt. */
  id: string;
  /** Seconds since 1970 at which this attempt is sent. */
  timestampS: number;
  body: string;
  /** Each `whsec_` and base64; several while a secret is being replaced. */
  secrets: readonly string[];
}

/** Making a key costs as much as signing an ordinary mail with it; there are few, and they stay. */
const keys = new Map<string, KeyObject>();

const keyOf = (secret: string): KeyObject => {
  const known = keys.get(secret);
  if (known !== undefined) return known;
  const made = createSecretKey(Buffer.from(secret.replace(/^whsec_/, ""), "base64"));
  keys.set(secret, made);
  return made;
};

/** The three headers, one signature per secret in the order given: `v1,` and base64 of HMAC-SHA256. */
export const signedHeaders = ({
  id,
  timestampS,
  body,
  secrets,
}: Signed): Record<string, string> => {
  const prefix = `${id}.${timestampS}.`;
  const signatures = secrets.map((secret) => {
    const mac = createHmac("sha256", keyOf(secret)).update(prefix).update(body, "utf8");
    return `v1,${mac.digest("base64")}`;
  });
  return {
    "webhook-id": id,
    "webhook-timestamp": String(timestampS),
    "webhook-signature": signatures.join(" "),
  };
};
