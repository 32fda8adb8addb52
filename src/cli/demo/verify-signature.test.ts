// The receiver's check against the library of Standard Webhooks as an independent signer, and against
// every way in which a request can be wrong.
import { Webhook } from "standardwebhooks";
import { describe, expect, test } from "vitest";
import { isSigned } from "./verify-signature.ts";

const SECRET = `whsec_${Buffer.alloc(32, 7).toString("base64")}`;
const NOW_MS = 1_795_507_200_000;
const BODY = '{"subject":"Grüße"}';

const signatureOf = (secret: string, body: string): string =>
  new Webhook(secret).sign("evt_1", new Date(NOW_MS), body);

const request = (more: Record<string, string | undefined> = {}, body = BODY) => ({
  headers: {
    "webhook-id": "evt_1",
    "webhook-timestamp": String(NOW_MS / 1000),
    "webhook-signature": signatureOf(SECRET, BODY),
    ...more,
  },
  body: Buffer.from(body),
});

const check = (signed: ReturnType<typeof request>, nowMs = NOW_MS): boolean =>
  isSigned(signed, { secret: SECRET, nowMs });

describe("isSigned", () => {
  test("believes what the library signed, also as one signature of several", () => {
    expect(check(request())).toBe(true);
    const other = signatureOf(`whsec_${Buffer.alloc(32, 8).toString("base64")}`, BODY);
    const both = `${other} ${signatureOf(SECRET, BODY)}`;
    expect(check(request({ "webhook-signature": both }))).toBe(true);
  });

  test("refuses another body, id, time or secret", () => {
    const other = signatureOf(`whsec_${Buffer.alloc(32, 8).toString("base64")}`, BODY);
    expect(check(request({}, `${BODY} `))).toBe(false);
    expect(check(request({ "webhook-id": "evt_2" }))).toBe(false);
    expect(check(request({ "webhook-timestamp": String(NOW_MS / 1000 + 1) }))).toBe(false);
    expect(check(request({ "webhook-signature": other }))).toBe(false);
  });

  test("refuses what is older or younger than five minutes", () => {
    expect(check(request(), NOW_MS + 300_000)).toBe(true);
    expect(check(request(), NOW_MS + 301_000)).toBe(false);
    expect(check(request(), NOW_MS - 301_000)).toBe(false);
    const unsound = { "webhook-timestamp": "soon" };
    expect(check(request(unsound))).toBe(false);
  });

  test("refuses a request without its headers and a signature of another version", () => {
    for (const name of ["webhook-id", "webhook-timestamp", "webhook-signature"]) {
      expect(check(request({ [name]: undefined }))).toBe(false);
    }
    const v2 = signatureOf(SECRET, BODY).replace("v1,", "v2,");
    expect(check(request({ "webhook-signature": v2 }))).toBe(false);
    expect(check(request({ "webhook-signature": "v1,AAAA" }))).toBe(false);
  });
});
