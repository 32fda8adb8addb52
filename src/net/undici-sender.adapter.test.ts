// The real sender against real servers on loopback: what it sends, how each way of failing is classed,
// and that neither an answer's body nor a hanging server can hold it.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer as createTlsServer } from "node:https";
import {
  createServer as createTcpServer,
  type AddressInfo,
  type Server,
  type Socket,
} from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { type ReceiverOptions, startReceiver, type Receiver } from "../../test/support/receiver.ts";
import type { HttpRequest, HttpResult } from "./send-http.ts";
import { createUndiciSender } from "./undici-sender.adapter.ts";

const endings: (() => unknown)[] = [];

afterEach(async () => {
  for (const end of endings.splice(0).toReversed()) await end();
});

const receiver = async (options: ReceiverOptions = {}): Promise<Receiver> => {
  const started = await startReceiver(options);
  endings.push(() => started.stop());
  return started;
};

const sender = (): ReturnType<typeof createUndiciSender> => {
  const made = createUndiciSender();
  endings.push(() => made.close());
  return made;
};

const requestTo = (url: string, more: Partial<HttpRequest> = {}): HttpRequest => ({
  url,
  headers: { "content-type": "application/json", "webhook-id": "evt_1" },
  body: '{"a":"é"}',
  allowPrivateAddresses: true,
  connections: 4,
  signal: new AbortController().signal,
  ...more,
});

const failure = (errorClass: string) => ({ kind: "failed", errorClass });

/** Waits until `is` holds; the test's own timeout ends it otherwise. */
const until = async (is: () => boolean): Promise<void> => {
  while (!is()) await new Promise((resolve) => void setTimeout(resolve, 5));
};

/** A server of raw bytes: `speak` gets each connection once its first bytes came. */
const rawServer = async (speak: (socket: Socket) => void): Promise<string> => {
  const sockets = new Set<Socket>();
  const server: Server = createTcpServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.once("data", () => speak(socket));
  });
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  endings.push(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => void server.close(resolve));
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
};

describe("sending", () => {
  test("posts the body as UTF-8 and answers with status and Retry-After", async () => {
    const target = await receiver({
      answer: () => ({ status: 429, headers: { "retry-after": "7" } }),
    });
    const result = await sender().sendHttp(requestTo(`${target.url}?x=1`));
    expect(result).toEqual({ kind: "answered", status: 429, retryAfter: "7" });
    expect(target.requests).toMatchObject([{ id: "evt_1", body: '{"a":"é"}', path: "/hook?x=1" }]);
  });

  test("keeps connections for the next requests", async () => {
    const target = await receiver();
    const { sendHttp } = sender();
    for (let n = 0; n < 20; n += 1) await sendHttp(requestTo(target.url));
    expect(target.requests).toHaveLength(20);
    // A second one, where a request starts while the last answer's body is still being read.
    expect(target.connections()).toBeLessThanOrEqual(2);
  });

  test("opens no more connections than asked for", async () => {
    const target = await receiver({ answer: () => ({ delayMs: 20 }) });
    const { sendHttp } = sender();
    await Promise.all(Array.from({ length: 12 }, () => sendHttp(requestTo(target.url))));
    expect(target.requests).toHaveLength(12);
    expect(target.connections()).toBeLessThanOrEqual(4);
  });

  test("follows no redirect", async () => {
    const target = await receiver({
      answer: () => ({ status: 302, headers: { location: "/elsewhere" } }),
    });
    const result = await sender().sendHttp(requestTo(target.url));
    expect(result).toEqual({ kind: "answered", status: 302, retryAfter: null });
    expect(target.requests).toHaveLength(1);
  });

  test("ignores proxy variables", async () => {
    const target = await receiver();
    const before = process.env["HTTP_PROXY"];
    process.env["HTTP_PROXY"] = "http://127.0.0.1:9";
    endings.push(() => {
      if (before === undefined) delete process.env["HTTP_PROXY"];
      else process.env["HTTP_PROXY"] = before;
    });
    expect(await sender().sendHttp(requestTo(target.url))).toMatchObject({ status: 200 });
  });
});

describe("the body of an answer", () => {
  test("does not hold a 2xx back when it never ends, and its connection is cut", async () => {
    const target = await receiver({ answer: () => ({ endlessBody: true }) });
    const result = await sender().sendHttp(requestTo(target.url));
    expect(result).toMatchObject({ kind: "answered", status: 200 });
    await until(() => target.openConnections() === 0);
  });

  test("may break off without harm to the answer", async () => {
    const url = await rawServer((socket) => {
      const head = "HTTP/1.1 201 Created\r\ncontent-length: 9\r\n\r\n";
      socket.write(`${head}abc`, () => socket.destroy());
    });
    expect(await sender().sendHttp(requestTo(url))).toMatchObject({ status: 201 });
  });

  test("is left out of the answer unless it is asked for", async () => {
    const target = await receiver();
    const result = await sender().sendHttp(requestTo(target.url));
    expect(result).toEqual({ kind: "answered", status: 200, retryAfter: null });
  });
});

describe("the body of an answer that is asked for", () => {
  test("comes whole, as UTF-8, and exactly as long as allowed", async () => {
    const text = '{"a":"é"}';
    const octets = Buffer.from(text);
    const url = await rawServer((socket) => {
      socket.write("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n");
      // Cut in the middle of a character.
      socket.write(octets.subarray(0, 7), () => socket.write(octets.subarray(7)));
    });
    const result = await sender().sendHttp(requestTo(url, { maxBodyBytes: 10 }));
    expect(result).toEqual({ kind: "answered", status: 200, retryAfter: null, body: text });
  });

  test("is empty when there is none", async () => {
    const url = await rawServer((socket) => socket.write("HTTP/1.1 204 No Content\r\n\r\n"));
    const result = await sender().sendHttp(requestTo(url, { maxBodyBytes: 10 }));
    expect(result).toEqual({ kind: "answered", status: 204, retryAfter: null, body: "" });
  });

  test("is missing when it is longer than allowed, and its connection is cut", async () => {
    const target = await receiver({ answer: () => ({ endlessBody: true }) });
    const result = await sender().sendHttp(requestTo(target.url, { maxBodyBytes: 1000 }));
    expect(result).toEqual({ kind: "answered", status: 200, retryAfter: null });
    await until(() => target.openConnections() === 0);
  });

  test("is missing when it breaks off", async () => {
    const url = await rawServer((socket) => {
      const head = "HTTP/1.1 200 OK\r\nretry-after: 3\r\ncontent-length: 9\r\n\r\n";
      socket.write(`${head}abc`, () => socket.destroy());
    });
    const result = await sender().sendHttp(requestTo(url, { maxBodyBytes: 100 }));
    expect(result).toEqual({ kind: "answered", status: 200, retryAfter: "3" });
  });

  test("is waited for until the signal ends it", async () => {
    const begun = Promise.withResolvers<void>();
    const url = await rawServer((socket) => {
      socket.write("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc", () => begun.resolve());
    });
    const abort = new AbortController();
    const { signal } = abort;
    const sent = sender().sendHttp(requestTo(url, { maxBodyBytes: 100, signal }));
    await begun.promise;
    abort.abort();
    expect(await sent).toEqual({ kind: "aborted" });
  });

  test("counts as aborted when the sender is closed under it", async () => {
    const begun = Promise.withResolvers<void>();
    const url = await rawServer((socket) => {
      socket.write("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc", () => begun.resolve());
    });
    const { sendHttp, close } = sender();
    const sent = sendHttp(requestTo(url, { maxBodyBytes: 100 }));
    await begun.promise;
    await close();
    expect(await sent).toEqual({ kind: "aborted" });
  });
});

describe("failures", () => {
  test("are refused when nobody listens, and it works again when somebody does", async () => {
    const target = await receiver();
    await target.stop();
    const { sendHttp } = sender();
    expect(await sendHttp(requestTo(target.url))).toEqual(failure("refused"));
    await target.restart();
    expect(await sendHttp(requestTo(target.url))).toMatchObject({ status: 200 });
  });

  test("are resets when the connection dies before the status line", async () => {
    const target = await receiver({ answer: () => ({ dropAfterRead: true }) });
    expect(await sender().sendHttp(requestTo(target.url))).toEqual(failure("reset"));
    const closing = await rawServer((socket) => socket.end());
    expect(await sender().sendHttp(requestTo(closing))).toEqual(failure("reset"));
  });

  test("are resets when the answer is no HTTP or its headers never end", async () => {
    const noise = await rawServer((socket) => socket.write("220 smtp ready\r\n"));
    expect(await sender().sendHttp(requestTo(noise))).toEqual(failure("reset"));
    const flood = await rawServer((socket) =>
      socket.write(`HTTP/1.1 200 OK\r\nx: ${"y".repeat(100_000)}`),
    );
    expect(await sender().sendHttp(requestTo(flood))).toEqual(failure("reset"));
  });

  test("are dns when the name does not exist", async () => {
    const result = await sender().sendHttp(requestTo("https://receiver.invalid/"));
    expect(result).toEqual(failure("dns"));
  });

  test("are tls when the certificate is not trusted", async () => {
    const folder = mkdtempSync(join(tmpdir(), "signalpost-tls-"));
    endings.push(() => rmSync(folder, { recursive: true }));
    const [key, cert] = [join(folder, "key.pem"), join(folder, "cert.pem")];
    const request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"];
    execFileSync("openssl", [...request, "-keyout", key, "-out", cert], { stdio: "ignore" });
    let served = 0;
    const server = createTlsServer(
      { key: readFileSync(key), cert: readFileSync(cert) },
      (_request, response) => {
        served += 1;
        response.end();
      },
    );
    await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
    endings.push(() => new Promise((resolve) => void server.close(resolve)));
    const { port } = server.address() as AddressInfo;
    const { sendHttp } = sender();
    expect(await sendHttp(requestTo(`https://localhost:${port}/`))).toEqual(failure("tls"));
    expect(await sendHttp(requestTo(`https://127.0.0.1:${port}/`))).toEqual(failure("tls"));
    expect(served).toBe(0);
  });

  test("are tls when the other side speaks plain HTTP", async () => {
    const target = await receiver();
    const url = target.url.replace("http:", "https:");
    expect(await sender().sendHttp(requestTo(url))).toEqual(failure("tls"));
  });
});

describe("the egress guard", () => {
  test.each(["127.0.0.1", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1", "0", "localhost"])(
    "keeps requests away from the host spelled %s",
    async (host) => {
      const target = await receiver();
      const url = target.url.replace("127.0.0.1", host);
      const allowPrivateAddresses = false;
      const { sendHttp } = sender();
      for (const scheme of ["http:", "https:"]) {
        const request = requestTo(url.replace("http:", scheme), { allowPrivateAddresses });
        expect(await sendHttp(request)).toEqual(failure("egress_refused"));
      }
      expect(target.connections()).toBe(0);
      expect(await sendHttp(requestTo(url))).toMatchObject({ status: 200 });
    },
  );

  test("keeps a permission of one request from another to the same origin", async () => {
    const target = await receiver();
    const { sendHttp } = sender();
    expect(await sendHttp(requestTo(target.url))).toMatchObject({ status: 200 });
    const result = await sendHttp(requestTo(target.url, { allowPrivateAddresses: false }));
    expect(result).toEqual(failure("egress_refused"));
  });
});

describe("an abort", () => {
  test("before the start sends nothing", async () => {
    const target = await receiver();
    const result = await sender().sendHttp(requestTo(target.url, { signal: AbortSignal.abort() }));
    expect(result).toEqual({ kind: "aborted" });
    expect(target.connections()).toBe(0);
  });

  test("ends a request in flight and its connection", async () => {
    const target = await receiver({ answer: () => ({ hang: true }) });
    const abort = new AbortController();
    const sent = sender().sendHttp(requestTo(target.url, { signal: abort.signal }));
    await target.waitFor(1, 10_000);
    abort.abort();
    expect(await sent).toEqual({ kind: "aborted" });
    await until(() => target.openConnections() === 0);
  });

  test("of a request that stands in line keeps it from ever being sent", async () => {
    const target = await receiver({ answer: (_request, n) => ({ delayMs: n === 1 ? 100 : 0 }) });
    const { sendHttp } = sender();
    const connections = 1;
    const first = sendHttp(requestTo(target.url, { connections }));
    const abort = new AbortController();
    const second = sendHttp(
      requestTo(target.url, { connections, signal: abort.signal, body: "2" }),
    );
    const third = sendHttp(requestTo(target.url, { connections, body: "3" }));
    abort.abort();
    expect(await second).toEqual({ kind: "aborted" });
    expect([await first, await third]).toMatchObject([{ status: 200 }, { status: 200 }]);
    expect(target.requests.map(({ body }) => body)).not.toContain("2");
  });
});

describe("closing", () => {
  test("aborts what is in flight and what comes later, and closes every connection", async () => {
    const target = await receiver({
      answer: (_request, n) => (n === 1 ? { hang: true } : { stalledBody: true }),
    });
    const { sendHttp, close } = sender();
    const hanging = sendHttp(requestTo(target.url));
    await target.waitFor(1, 10_000);
    const stalled: HttpResult = await sendHttp(requestTo(target.url));
    expect(stalled).toMatchObject({ status: 200 });
    await close();
    expect(await hanging).toEqual({ kind: "aborted" });
    expect(await sendHttp(requestTo(target.url))).toEqual({ kind: "aborted" });
    await until(() => target.openConnections() === 0);
  });

  test("of old pools does not touch their requests when there are too many origins", async () => {
    const target = await receiver();
    const { sendHttp } = sender();
    const results = await Promise.all(
      Array.from({ length: 130 }, (_, n) =>
        sendHttp(requestTo(target.url, { connections: n + 1 })),
      ),
    );
    expect(results.filter((result) => result.kind === "answered")).toHaveLength(130);
  });
});
