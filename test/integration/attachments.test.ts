// Attachments on their way from a real Dovecot through the shipped daemon into a real S3 server: the bytes
// that lie there, the URL that leads to them, and what a large one costs.
// @module-tag r2
import { createHash } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Dovecot, startDovecot } from "../support/dovecot.ts";
import * as mail from "../support/mail.ts";
import { type S3Server, startS3Server } from "../support/s3-server.ts";
import { type Scene, openScene } from "../support/scene.ts";

let server: Dovecot;
let bucket: S3Server;

beforeAll(async () => {
  server = await startDovecot();
  bucket = await startS3Server();
});
afterAll(async () => {
  await bucket[Symbol.asyncDispose]();
  await server.stop();
});

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

/** Bytes without a pattern, the same at each run. */
const noise = (length: number): Buffer => {
  const bytes = Buffer.alloc(length);
  for (let at = 0, state = 1; at < length; at += 1) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    bytes[at] = state >>> 16;
  }
  return bytes;
};

const openBucketScene = (offload: Record<string, unknown> = {}): Promise<Scene> => {
  const { endpoint, bucket: name, accessKeyId, secretAccessKey } = bucket.settings;
  return openScene(server, {
    settings: {
      top: {
        offload: {
          ...{ endpoint, bucket: name, access_key_id: accessKeyId },
          ...{ secret_access_key: secretAccessKey, allow_private_addresses: true },
          ...offload,
        },
      },
    },
  });
};

interface PostedAttachment {
  filename: string;
  size: number;
  key: string | null;
  url: string | null;
  sha256: string | null;
}

const attachmentsOf = (data: Readonly<Record<string, unknown>>): readonly PostedAttachment[] =>
  data["attachments"] as readonly PostedAttachment[];

describe("attachments", () => {
  test("lie in the bucket as they were sent, and a signed URL brings them", async () => {
    await using scene = await openBucketScene({ prefix: "in" });
    const files = [
      { filename: "small.txt", content: Buffer.from("small") },
      { filename: "Übersicht.bin", content: noise(3_000_001) },
      { filename: "large.bin", content: noise(12 * 1024 * 1024 + 1) },
      { filename: "empty.bin", content: Buffer.alloc(0) },
    ];
    const parts = files.map((file) => mail.attachmentPart(file));
    const text = mail.textPart({ text: "see attachments" });
    const raw = mail.message({ subject: "files" }, mail.multipart("mixed", [text, ...parts]));
    await scene.deliver(raw);
    const [event] = await scene.posted(1, 60_000);
    const posted = attachmentsOf(event?.data ?? {});
    expect(event?.data["truncated"]).toEqual([]);
    for (const [index, { filename, content }] of files.entries()) {
      const one = posted[index];
      expect(one).toMatchObject({ filename, size: content.length, sha256: sha256(content) });
      expect(one?.key).toBe(`in/${event?.data.event_id}/${index + 2}`);
      const response = await fetch(one?.url ?? "");
      expect(response.status).toBe(200);
      expect(sha256(Buffer.from(await response.arrayBuffer()))).toBe(sha256(content));
      expect(response.headers.get("content-disposition")).toMatch(/^attachment/);
    }
  });

  test("of mail that comes while the second connection is open are read on it", async () => {
    await using scene = await openBucketScene();
    for (const [index, subject] of ["first", "second", "third"].entries()) {
      const part = mail.attachmentPart({ filename: "a.bin", content: Buffer.from(subject) });
      await scene.deliver(mail.message({ subject }, mail.multipart("mixed", [part])));
      const events = await scene.posted(index + 1);
      expect(events.at(-1)?.data["truncated"]).toEqual([]);
    }
  });

  test("that are not wanted stay in the mailbox", async () => {
    await using scene = await openBucketScene({ content_types: ["image/*"], max_bytes: 1000 });
    const content = noise(500);
    const parts = [
      mail.attachmentPart({ filename: "a.png", content, contentType: "image/png" }),
      mail.attachmentPart({ filename: "b.pdf", content, contentType: "application/pdf" }),
      mail.attachmentPart({ filename: "c.png", content: noise(5000), contentType: "image/png" }),
    ];
    await scene.deliver(mail.message({ subject: "mixed" }, mail.multipart("mixed", parts)));
    const [event] = await scene.posted(1);
    const keys = attachmentsOf(event?.data ?? {}).map(({ key }) => key !== null);
    expect(keys).toEqual([true, false, false]);
    expect(event?.data["truncated"]).toEqual([]);
  });

  test("into a black hole cost their event a few seconds and nothing else", async () => {
    await using scene = await openBucketScene();
    bucket.behave(() => ({ hang: true }));
    try {
      const part = mail.attachmentPart({ filename: "a.bin", content: noise(1000) });
      await scene.deliver(mail.message({ subject: "hole" }, mail.multipart("mixed", [part])));
      const [event] = await scene.posted(1);
      expect(event?.data["truncated"]).toEqual(["offload"]);
      expect(attachmentsOf(event?.data ?? {})).toMatchObject([{ key: null, url: null }]);
    } finally {
      bucket.behave();
    }
  });
});
