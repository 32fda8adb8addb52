// The demo's receiver over real HTTP: what is signed is handed on and answered with 204, what is not is
// answered with 401.
import { expect, test } from "vitest";
import { signedHeaders } from "../../webhook/signature.ts";
import { type ReceivedWebhook, startReceiver } from "./webhook-receiver.adapter.ts";

const SECRET = `whsec_${Buffer.alloc(32, 7).toString("base64")}`;

test("the receiver tells signed webhooks from others", async () => {
  const received: ReceivedWebhook[] = [];
  const receiver = await startReceiver(SECRET, (webhook) => received.push(webhook));
  try {
    const body = '{"subject":"Grüße"}';
    const timestampS = Math.floor(Date.now() / 1000);
    const post = async (headers: Record<string, string>): Promise<number> => {
      const url = `http://127.0.0.1:${receiver.port}/webhook`;
      return (await fetch(url, { method: "POST", headers, body })).status;
    };
    const signed = signedHeaders({ id: "evt_1", timestampS, body, secrets: [SECRET] });
    expect(await post({ ...signed, "signalpost-destination": "default" })).toBe(204);
    expect(await post({ ...signed, "webhook-id": "evt_2" })).toBe(401);
    expect(received).toEqual([
      { isVerified: true, id: "evt_1", destination: "default", body },
      { isVerified: false, id: "evt_2", destination: "", body },
    ]);
  } finally {
    await receiver.close();
  }
});
