// The S3 adapter against a server of the protocol: what it stores, signs and refuses. Under an environment that would lead the SDK astray: everything it reads by itself is set to
// something wrong, and somebody counts who follows it.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { StorageSettings } from "../../src/core/settings.ts";
import type { ObjectPut, ObjectStore } from "../../src/offload/object-store.ts";
import { openS3 } from "../../src/offload/s3.adapter.ts";
import { misleadAws, type MisleadingEnvironment } from "../support/misleading-environment.ts";
import { PART_BYTES, bodyOf, failureOf, objectOf, sha256 } from "../support/object-bodies.ts";
import { type S3Server, startS3Server } from "../support/s3-server.ts";
import { ROOT } from "../support/source-tree.ts";

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

describe("an object", { tags: ["r2"] }, () => {
  test.each([
    [0, "PutObject"],
    [1, "PutObject"],
    [PART_BYTES - 1, "PutObject"],
    [PART_BYTES, "CreateMultipartUpload UploadPart CompleteMultipartUpload"],
    [
      2 * PART_BYTES + 4321,
      "CreateMultipartUpload UploadPart UploadPart UploadPart CompleteMultipartUpload",
    ],
  ])("of %i bytes is stored whole", async (size, operations) => {
    const { body, whole, seen } = bodyOf(size);
    await store.put(objectOf(body), () => undefined);
    expect(sha256(server.object("mail/evt_1/2").body)).toBe(sha256(whole));
    expect(server.requests.map(({ operation }) => operation).join(" ")).toBe(operations);
    expect([server.keys(), server.openUploads()]).toEqual([["mail/evt_1/2"], 0]);
    expect(seen.ended).toBe(1);
  });

  test("replaces an older one under its key", async () => {
    await put(10);
    await put(20);
    expect(server.object("mail/evt_1/2").body).toHaveLength(20);
  });

  test.each([10, PART_BYTES + 1])(
    "of %i bytes is saved by a browser and never shown",
    async (size) => {
      await put(size, { contentType: "text/html", filename: 'a"\r\nb.html' });
      expect(server.object("mail/evt_1/2")).toMatchObject({
        contentType: "text/html",
        contentDisposition: "attachment; filename=\"a___b.html\"; filename*=UTF-8''a%22__b.html",
      });
      await put(size, { contentType: "text/html; x", filename: null });
      expect(server.object("mail/evt_1/2")).toMatchObject({
        contentType: "application/octet-stream",
        contentDisposition: "attachment; filename=\"2\"; filename*=UTF-8''2",
      });
    },
  );

  test("is read no faster than the storage takes it", async () => {
    server.behave(({ operation }) => ({ hang: operation === "UploadPart" }));
    const { body, seen } = bodyOf(40 * 1024 * 1024);
    const abort = new AbortController();
    const putting = store.put(objectOf(body, { signal: abort.signal }), () => undefined);
    await server.waitFor("UploadPart", 1);
    abort.abort(new Error("enough"));
    await expect(putting).rejects.toThrow("enough");
    expect(seen.readBytes).toBeLessThan(PART_BYTES + 200_000);
  });

  test("may have a key of any characters", async () => {
    const key = "päth/a b+c%2F&=?#'()*!~/日本.pdf";
    await put(10, { key });
    await put(PART_BYTES, { key: `${key}2` });
    expect(server.keys()).toEqual([key, `${key}2`]);
  });
});

describe("the environment", { tags: ["r2"] }, () => {
  test("changes nothing, and nothing of it is sent", async () => {
    await put(PART_BYTES);
    expect(server.requests).toHaveLength(3);
    for (const { headers } of server.requests) {
      expect(JSON.stringify(headers)).not.toMatch(/leak|node|linux|x-amzn|trace|checksum|expect/i);
      expect(headers["user-agent"]).toMatch(/^signalpost( |$)/);
    }
    expect(environment.followers()).toBe(0);
  });
});

describe("the egress guard", { tags: ["r2"] }, () => {
  test("keeps requests from private addresses unless they are allowed", async () => {
    store = open({ allowPrivateAddresses: false });
    expect(await failureOf(put(10))).toBe("egress_refused");
    store = open({ endpoint: `http://localhost:${server.port}`, allowPrivateAddresses: false });
    expect(await failureOf(put(10))).toBe("egress_refused");
    expect(server.requests).toHaveLength(0);
  });

  test.each(["http://169.254.169.254", "http://8.8.8.8"])("never lets %s through", async (url) => {
    store = open({ endpoint: url });
    expect(await failureOf(put(10))).toBe("egress_refused");
  });
});

describe("the bucket", { tags: ["r2"] }, () => {
  test.each([
    [{ endpoint: "https://storage.invalid", pathStyle: false }, "https://mail.storage.invalid/k"],
    [{ endpoint: "https://storage.invalid:8443" }, "https://storage.invalid:8443/mail/k"],
    [
      { endpoint: null, pathStyle: false, region: "eu-west-3" },
      "https://mail.s3.eu-west-3.amazonaws.com/k",
    ],
    [{ endpoint: null, region: "cn-north-1" }, "https://s3.cn-north-1.amazonaws.com.cn/mail/k"],
  ])("of %j lies where its style says", async (more, expected) => {
    const url = await open(more).signGet("k", { seconds: 60, nowMs: 0 });
    expect(url.split("?")[0]).toBe(expected);
  });

  test("is looked up as a host name when it is one", async () => {
    store = open({ endpoint: "https://storage.invalid", pathStyle: false });
    expect(await failureOf(put(10))).toBe("dns");
  });

  test("that cannot be one is refused before anything is sent", async () => {
    store = open({ bucket: "no/bucket" });
    expect(await failureOf(put(10))).toBe("request_refused");
    expect(server.requests).toHaveLength(0);
  });
});

describe("a signed URL", { tags: ["r2"] }, () => {
  const fetched = async (url: string) => {
    const answer = await fetch(url);
    return { status: answer.status, text: await answer.text(), headers: answer.headers };
  };

  test("reads the object and nothing else, without a word to the storage before", async () => {
    const key = "päth/a b+c%2F&='()*!~";
    const url = await store.signGet(key, { seconds: 60, nowMs: Date.now() });
    expect(server.requests).toHaveLength(0);
    await put(10, { key });
    const { status, text, headers } = await fetched(url);
    expect([status, text]).toEqual([200, "0123456789"]);
    expect(headers.get("content-disposition")).toMatch(/^attachment;/);
    expect((await fetched(url.replace("a%20b", "a%20c"))).status).toBe(403);
  });

  test("is the same for the same time, and good for a week at most", async () => {
    const at = { seconds: 1_000_000, nowMs: Date.UTC(2026, 0, 2, 3, 4, 5) };
    const url = await store.signGet("k", at);
    expect(await open().signGet("k", at)).toBe(url);
    expect(url).toContain("X-Amz-Date=20260102T030405Z");
    expect(url).toContain("X-Amz-Expires=604800");
    expect(await store.signGet("k", { ...at, seconds: 60 })).toContain("X-Amz-Expires=60&");
    expect(url).not.toMatch(/checksum|leak|token/i);
  });

  test("is refused once it has expired", async () => {
    await put(10, { key: "k" });
    const url = await store.signGet("k", { seconds: 60, nowMs: Date.now() - 61_000 });
    expect((await fetched(url)).status).toBe(403);
  });
});

describe("closing", { tags: ["r2"] }, () => {
  test("ends what is in flight, what comes later, and every connection", async () => {
    server.behave(({ n }) => ({ hang: n === 2 }));
    await put(10);
    const putting = put(10);
    await server.waitFor("PutObject", 2);
    store.close();
    expect(await failureOf(putting)).toBe("reset");
    expect(await failureOf(put(10))).toBe("reset");
    await expect.poll(() => server.openConnections()).toBe(0);
  });

  test("before the first use lets nothing be used", async () => {
    store.close();
    expect(await failureOf(put(10))).toBe("reset");
    expect(server.requests).toHaveLength(0);
  });

  test("is not needed for the process to end", async () => {
    const script = `
      import { openS3 } from "${ROOT}/src/offload/s3.adapter.ts";
      async function* body() { yield Buffer.from("hello"); }
      const signal = new AbortController().signal;
      const object = { key: "k", contentType: "text/plain", filename: null, body: body(), signal };
      await openS3(${JSON.stringify(server.settings)}).put(object, () => undefined);`;
    const child = spawn(process.execPath, ["--input-type=module", "-e", script], {
      stdio: ["ignore", "ignore", "inherit"],
    });
    const [code] = (await once(child, "exit")) as [number];
    expect(code).toBe(0);
    expect(server.object("k").body.toString()).toBe("hello");
  });
});
