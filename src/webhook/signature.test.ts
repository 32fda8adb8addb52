// Signatures as an independent library of Standard Webhooks sees them, and the specification's vector.
import { Webhook } from "standardwebhooks";
import { describe, expect, test } from "vitest";
import { signedHeaders } from "./signature.ts";

const secretOf = (byte: number): string => `whsec_${Buffer.alloc(32, byte).toString("base64")}`;

const nowS = (): number => Math.floor(Date.now() / 1000);

describe("signedHeaders", () => {
  test("gives the signature of the specification's example", () => {
    const headers = signedHeaders({
      id: "msg_p5jXN8AQM9LWM0D4loKWxJek",
      timestampS: 1_614_265_330,
      body: '{"test": 2432232314}',
      secrets: ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
    });
    expect(headers).toEqual({
      "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
      "webhook-timestamp": "1614265330",
      "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    });
  });

  test("is verified by each of the secrets while one replaces the other", () => {
    const body = JSON.stringify({ subject: "Été 🌞" });
    const secrets = [secretOf(1), secretOf(2)];
    const headers = signedHeaders({ id: "evt_1", timestampS: nowS(), body, secrets });
    for (const secret of secrets) {
      expect(new Webhook(secret).verify(body, headers)).toEqual({ subject: "Été 🌞" });
    }
    expect(() => new Webhook(secretOf(3)).verify(body, headers)).toThrow("signature");
  });

  test.each([
    ["id", { "webhook-id": "evt_2" }],
    ["time", { "webhook-timestamp": String(nowS() - 10) }],
  ])("does not verify with another %s", (_what, changed) => {
    const secrets = [secretOf(1)];
    const headers = signedHeaders({ id: "evt_1", timestampS: nowS(), body: "{}", secrets });
    const verify = () => new Webhook(secretOf(1)).verify("{}", { ...headers, ...changed });
    expect(verify).toThrow("signature");
  });
});
