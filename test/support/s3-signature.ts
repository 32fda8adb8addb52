// Checks signatures of AWS, version 4, in headers and in URLs, as a storage does. Written from the
// specification and not with the code under test. For s3-server.ts.
import { createHash, createHmac } from "node:crypto";
import type { IncomingMessage } from "node:http";

/** The key pair that a storage knows. */
export interface KeyPair {
  accessKeyId: string;
  secretAccessKey: string;
  region: string;
}

const sha256 = (data: string | Uint8Array): string =>
  createHash("sha256").update(data).digest("hex");

const hmac = (key: string | Buffer, text: string): Buffer =>
  createHmac("sha256", key).update(text).digest();

const strict = (text: string): string =>
  encodeURIComponent(text).replaceAll(
    /[!'()*]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  );

/** What a request says of its own signature. */
interface Claim {
  credential: string;
  signedHeaders: string;
  signature: string;
  date: string;
  payload: string;
}

const claimOf = (request: IncomingMessage, url: URL): Claim | null => {
  const query = (name: string): string => url.searchParams.get(name) ?? "";
  if (url.searchParams.has("X-Amz-Signature")) {
    return {
      credential: query("X-Amz-Credential"),
      signedHeaders: query("X-Amz-SignedHeaders"),
      signature: query("X-Amz-Signature"),
      date: query("X-Amz-Date"),
      payload: "UNSIGNED-PAYLOAD",
    };
  }
  const said = /^AWS4-HMAC-SHA256 Credential=(\S+), SignedHeaders=(\S+), Signature=(\w+)$/.exec(
    request.headers.authorization ?? "",
  );
  if (said === null) return null;
  const [, credential = "", signedHeaders = "", signature = ""] = said;
  const header = (name: string): string => String(request.headers[name] ?? "");
  const [date, payload] = [header("x-amz-date"), header("x-amz-content-sha256")];
  return { credential, signedHeaders, signature, date, payload };
};

const timeOf = (date: string): number =>
  Date.parse(date.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, "$1-$2-$3T$4:$5:$6Z"));

const canonicalQuery = (url: URL): string =>
  [...url.searchParams]
    .filter(([name]) => name !== "X-Amz-Signature")
    .map(([name, value]) => `${strict(name)}=${strict(value)}`)
    .toSorted()
    .join("&");

/**
 * The code of S3 for what is wrong with a request's signature; null when it is good for `keys`. `body` is
 * compared with the checksum that was signed.
 */
export const refusalOf = (
  request: IncomingMessage,
  body: Uint8Array,
  keys: KeyPair,
):
  | "AccessDenied"
  | "InvalidAccessKeyId"
  | "SignatureDoesNotMatch"
  | "XAmzContentSHA256Mismatch"
  | null => {
  const url = new URL(request.url ?? "/", "http://storage");
  const claim = claimOf(request, url);
  if (claim === null) return "AccessDenied";
  const [accessKeyId, ...scope] = claim.credential.split("/");
  const expected = [claim.date.slice(0, 8), keys.region, "s3", "aws4_request"];
  if (accessKeyId !== keys.accessKeyId) return "InvalidAccessKeyId";
  if (scope.join("/") !== expected.join("/")) return "SignatureDoesNotMatch";
  const seconds = Number(url.searchParams.get("X-Amz-Expires") ?? 900);
  if (!(Date.now() < timeOf(claim.date) + seconds * 1000)) return "AccessDenied";
  const names = claim.signedHeaders.split(";");
  const canonical = [
    request.method,
    url.pathname,
    canonicalQuery(url),
    ...names.map((name) => `${name}:${String(request.headers[name] ?? "").trim()}`),
    "",
    claim.signedHeaders,
    claim.payload,
  ].join("\n");
  const text = ["AWS4-HMAC-SHA256", claim.date, scope.join("/"), sha256(canonical)].join("\n");
  const key = scope.reduce<string | Buffer>(hmac, `AWS4${keys.secretAccessKey}`);
  if (hmac(key, text).toString("hex") !== claim.signature) return "SignatureDoesNotMatch";
  const isChecked = claim.payload !== "UNSIGNED-PAYLOAD";
  return isChecked && sha256(body) !== claim.payload ? "XAmzContentSHA256Mismatch" : null;
};
