// The S3 adapter against a storage that misbehaves in each way there is, and under callers that give up: every
// failure is one word, what can pass is tried again, and nothing half stored stays behind. Under an environment
// that would have the SDK try once, or for ever.
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { StorageSettings } from "../../src/core/settings.ts";
import type { ObjectPut, ObjectStore } from "../../src/offload/object-store.ts";
import { openS3 } from "../../src/offload/s3.adapter.ts";
import { misleadAws, type MisleadingEnvironment } from "../support/misleading-environment.ts";
import { PART_BYTES, bodyOf, failureOf, objectOf, sha256 } from "../support/object-bodies.ts";
import { errorXml, type S3Server, startS3Server } from "../support/s3-server.ts";

let environment: MisleadingEnvironment;
let server: S3Server;
let store: ObjectStore;
const stores: ObjectStore[] = [];

const open = (more: Partial<StorageSettings> = {}): ObjectStore => {
  const opened = openS3({ ...server.settings, ...more });
  stores.push(opened);
  return opened;
};

beforeAll(async () => {
  environment = await misleadAws();
});

afterAll(() => environment[Symbol.asyncDispose]());

beforeEach(async () => {
  server = await startS3Server();
  store = open();
});

afterEach(async () => {
  for (const opened of stores.splice(0)) opened.close();
  await server[Symbol.asyncDispose]();
});

const put = (size: number, more: Partial<ObjectPut> = {}, sent = (): void => undefined) =>
  store.put(objectOf(bodyOf(size).body, more), sent);

describe("signs of life", { tags: ["r2"] }, () => {
  test("come while a slow storage takes an object", async () => {
    server.behave(() => ({ bytesPerSecond: 4 * 1024 * 1024 }));
    let signs = 0;
    await put(2 * 1024 * 1024, {}, () => (signs += 1));
    expect(signs).toBe(2 * 16 + 1);
  });

  test("stop when a storage takes nothing any more", async () => {
    server.behave(() => ({ hang: true }));
    let signs = 0;
    const abort = new AbortController();
    const putting = put(3 * 1024 * 1024, { signal: abort.signal }, () => (signs += 1));
    await server.waitFor("PutObject", 1);
    abort.abort(new Error("silence"));
    await expect(putting).rejects.toThrow("silence");
    // No answer; the slices that the two kernels hold for each other count.
    expect(signs).toBeLessThanOrEqual(3 * 16);
  });
});

describe("a failure", { tags: ["r2"] }, () => {
  test("of the credentials is denied at the first attempt", async () => {
    store = open({ secretAccessKey: "wrong" });
    expect(await failureOf(put(10))).toBe("denied");
    expect(server.requests).toHaveLength(1);
  });

  test("to find the bucket is told at the first attempt", async () => {
    store = open({ bucket: "other" });
    expect(await failureOf(put(10))).toBe("missing_bucket");
    expect(server.requests).toHaveLength(1);
  });

  test.each([
    [401, "denied"],
    [403, "denied"],
    [404, "missing_bucket"],
    [400, "request_refused"],
    [301, "request_refused"],
    [307, "request_refused"],
  ])("of %i is %s and not tried again", async (status, failure) => {
    const location = `http://127.0.0.1:${server.port}/elsewhere`;
    server.behave(() => ({ status, headers: { location, "x-amz-bucket-region": "eu-west-3" } }));
    expect(await failureOf(put(10))).toBe(failure);
    expect(await failureOf(put(PART_BYTES))).toBe(failure);
    expect(server.requests).toHaveLength(2);
  });

  test("that is told before the body was read is the failure all the same", async () => {
    server.behave(() => ({ status: 403, early: true }));
    expect(await failureOf(put(4_000_000))).toBe("denied");
  });

  test.each([500, 503, 429])("of %i is tried three times", async (status) => {
    server.behave(() => ({ status }));
    expect(await failureOf(put(10))).toBe("server_error");
    expect(server.count("PutObject")).toBe(3);
  });

  test("of one part is tried again for that part alone", async () => {
    server.behave(({ operation, n }) =>
      operation === "UploadPart" && n === 2 ? { status: 500 } : {},
    );
    const { body, whole } = bodyOf(2 * PART_BYTES + 7);
    await store.put(objectOf(body), () => undefined);
    expect(server.count("UploadPart")).toBe(4);
    expect(sha256(server.object("mail/evt_1/2").body)).toBe(sha256(whole));
  });

  test("of a part for good leaves nothing behind", async () => {
    server.behave(({ partNumber }) => (partNumber === 2 ? { status: 500 } : {}));
    const { body, seen } = bodyOf(4 * PART_BYTES);
    expect(await failureOf(store.put(objectOf(body), () => undefined))).toBe("server_error");
    expect(server.count("UploadPart")).toBe(4);
    expect([server.keys(), server.openUploads(), seen.ended]).toEqual([[], 0, 1]);
  });

  test("of an upload that is gone at the storage is no missing bucket", async () => {
    server.behave(({ partNumber }) =>
      partNumber === 2 ? { status: 404, body: errorXml("NoSuchUpload") } : {},
    );
    expect(await failureOf(put(2 * PART_BYTES))).toBe("request_refused");
  });

  test.each(["PutObject", "UploadPart", "CreateMultipartUpload", "CompleteMultipartUpload"])(
    "in the body of a 200 to %s is no success",
    async (operation) => {
      const size = operation === "PutObject" ? 10 : PART_BYTES;
      for (const body of [errorXml("InternalError"), "", "{}", "<html>hello</html>"]) {
        server.behave((request) => (request.operation === operation ? { status: 200, body } : {}));
        expect(await failureOf(put(size))).toMatch(/^(invalid_answer|server_error)$/);
      }
      expect([server.keys(), server.openUploads()]).toEqual([[], 0]);
    },
  );

  test("to connect is refused, and the next put finds a storage that is back", async () => {
    await server.stop();
    expect(await failureOf(put(10))).toBe("refused");
    await server.restart();
    await put(10);
    expect(server.keys()).toHaveLength(1);
  });

  test("of the connection under a body is mended by the next attempt", async () => {
    server.behave(({ n }) => (n === 1 ? { dropAfterBytes: 200_000 } : {}));
    const { body, whole } = bodyOf(1_000_000);
    await store.put(objectOf(body), () => undefined);
    expect(server.count("PutObject")).toBe(2);
    expect(sha256(server.object("mail/evt_1/2").body)).toBe(sha256(whole));
  });

  test("to hear the answer is a reset once the attempts are over", async () => {
    server.behave(() => ({ dropAnswer: true }));
    expect(await failureOf(put(10))).toBe("reset");
    expect(server.count("PutObject")).toBe(3);
  });

  test("to speak HTTP at all is a reset", async () => {
    const noise = createServer((socket) => socket.end("220 smtp ready\r\n")).listen(0, "127.0.0.1");
    await once(noise, "listening");
    store = open({ endpoint: `http://127.0.0.1:${(noise.address() as AddressInfo).port}` });
    expect(await failureOf(put(10))).toBe("reset");
    noise.close();
  });
});

describe("a body that throws", { tags: ["r2"] }, () => {
  test.each([0, 1_000_000, 2 * PART_BYTES])(
    "at byte %i ends the put with its error",
    async (at) => {
      const error = new Error("the mail server went away");
      const { body } = bodyOf(3 * PART_BYTES, { bytes: at, error });
      await expect(store.put(objectOf(body), () => undefined)).rejects.toBe(error);
      expect([server.keys(), server.openUploads()]).toEqual([[], 0]);
    },
  );
});

describe("an abort", { tags: ["r2"] }, () => {
  const reason = new DOMException("the lease is lost", "TimeoutError");

  test("before the start asks nobody for anything", async () => {
    const { body, seen } = bodyOf(10);
    const signal = AbortSignal.abort(reason);
    await expect(store.put(objectOf(body, { signal }), () => undefined)).rejects.toBe(reason);
    expect([server.requests.length, seen.readBytes]).toEqual([0, 0]);
  });

  test.each(["PutObject", "UploadPart", "CompleteMultipartUpload"] as const)(
    "under %s rejects with its reason, sends nothing again and leaves nothing behind",
    async (operation) => {
      server.behave((request) => ({ hang: request.operation === operation }));
      const abort = new AbortController();
      const { body, seen } = bodyOf(operation === "PutObject" ? 10 : PART_BYTES + 10);
      const putting = store.put(objectOf(body, { signal: abort.signal }), () => undefined);
      await server.waitFor(operation, 1);
      abort.abort(reason);
      await expect(putting).rejects.toBe(reason);
      expect(server.count(operation)).toBe(1);
      expect([server.keys(), server.openUploads(), seen.ended]).toEqual([[], 0, 1]);
    },
  );

  test("while the storage tidies nothing up is over all the same", async () => {
    server.behave(({ operation }) => ({ hang: /UploadPart|Abort/.test(operation) }));
    const abort = new AbortController();
    const putting = put(PART_BYTES, { signal: abort.signal });
    await server.waitFor("UploadPart", 1);
    abort.abort(reason);
    await expect(putting).rejects.toBe(reason);
    expect(server.count("AbortMultipartUpload")).toBe(1);
  });

  test("under a body that has stalled and does not listen is over all the same", async () => {
    const reading = Promise.withResolvers<void>();
    async function* stalled(): AsyncGenerator<Uint8Array> {
      yield new Uint8Array(PART_BYTES + 1);
      reading.resolve();
      await new Promise(() => undefined);
    }
    const abort = new AbortController();
    const putting = store.put(objectOf(stalled(), { signal: abort.signal }), () => undefined);
    await reading.promise;
    abort.abort(reason);
    await expect(putting).rejects.toBe(reason);
    expect(server.openUploads()).toBe(0);
  });
});
