// URLs that are signed when a payload is sent: where they stand, and that nothing else of it changes.
import { describe, expect, test } from "vitest";
import { createVirtualClock } from "../../test/support/virtual-clock.ts";
import { StorageError } from "./object-store.ts";
import { createSignUrls } from "./sign-urls.ts";

const payloadOf = (attachments: readonly object[], text = "text"): string =>
  JSON.stringify({ type: "email.received", data: { text, attachments, rule: null } });

const stored = (key: string | null, url: string | null = null) => ({ part: "2", key, url });

const start = (
  signGet = async (key: string, { seconds, nowMs }: { seconds: number; nowMs: number }) =>
    `signed ${key} ${seconds} ${nowMs}`,
) => {
  const clock = createVirtualClock();
  let asked = 0;
  const objectStore = () => {
    asked += 1;
    return { signGet };
  };
  const sign = createSignUrls({ clock, objectStore, presignSeconds: 60 });
  return { clock, sign, asked: () => asked };
};

describe("a payload", () => {
  test("has a URL for each stored attachment, signed at the time of the attempt", async () => {
    const { clock, sign } = start();
    const payload = payloadOf([stored("a/1"), stored(null), stored("a/2", "an old one")]);
    for (const waitMs of [0, 5000]) {
      await clock.advance(waitMs);
      const now = clock.wallMs();
      expect(await sign(payload)).toBe(
        payloadOf([
          stored("a/1", `signed a/1 60 ${now}`),
          stored(null),
          stored("a/2", `signed a/2 60 ${now}`),
        ]),
      );
    }
  });

  test("without one is the same text, and nothing is asked, whatever its texts quote", async () => {
    const { sign, asked } = start();
    const payload = payloadOf([stored(null)], 'he wrote "key":"a/1", and \\"key\\":\\"');
    expect(await sign(payload)).toBe(payload);
    expect(asked()).toBe(0);
  });

  test("is sent without a URL that cannot be signed", async () => {
    const { sign } = start(() => Promise.reject(new StorageError("denied")));
    expect(await sign(payloadOf([stored("a/1")]))).toBe(payloadOf([stored("a/1")]));
  });
});
