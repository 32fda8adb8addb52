// A receiver that says 2xx and then never finishes its body, on the real sender: the answer counts at
// once, and the connection is cut when its time is up. Here because that time is real.
import { expect, test } from "vitest";
import { createUndiciSender } from "../../src/net/undici-sender.adapter.ts";
import { startReceiver } from "../support/receiver.ts";

test("a 2xx whose body stalls is a success at once, and its connection is cut in the end", async () => {
  const receiver = await startReceiver({
    answer: () => ({ stalledBody: true, headers: { "content-length": "10" } }),
  });
  const sender = createUndiciSender();
  try {
    const result = await sender.sendHttp({
      url: receiver.url,
      headers: { "content-type": "application/json", "webhook-id": "evt_1" },
      body: "{}",
      allowPrivateAddresses: true,
      connections: 4,
      signal: new AbortController().signal,
    });
    expect(result).toMatchObject({ kind: "answered", status: 200 });
    expect(receiver.openConnections()).toBe(1);
    await expect.poll(() => receiver.openConnections(), { timeout: 30_000 }).toBe(0);
  } finally {
    await sender.close();
    await receiver.stop();
  }
});
