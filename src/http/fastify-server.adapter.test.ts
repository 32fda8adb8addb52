// The server on a real socket: methods, unknown paths, errors, headers, access and closing. Every test
// opens its own server on a free port and closes it.
import { connect } from "node:net";
import { request } from "node:http";
import { describe, expect, test } from "vitest";
import { serveHttp } from "./fastify-server.adapter.ts";
import { createRoutes } from "./routes.ts";
import type { Route } from "./serve-http.ts";

interface Answer {
  status: number | undefined;
  headers: Record<string, string | string[] | undefined>;
  body: string;
}

const ask = async (
  port: number,
  options: { path: string; method?: string; headers?: Record<string, string>; body?: string },
): Promise<Answer> =>
  await new Promise((resolve, reject) => {
    const { body: sent, ...rest } = options;
    const outgoing = request({ host: "127.0.0.1", port, agent: false, ...rest }, (incoming) => {
      let body = "";
      incoming.setEncoding("utf8");
      incoming.on("data", (chunk: string) => (body += chunk));
      incoming.on("end", () => {
        resolve({ status: incoming.statusCode, headers: incoming.headers, body });
      });
    });
    outgoing.on("error", reject);
    outgoing.end(sent);
  });

/** What the server says to `sent` on a bare socket; `ended` when it was the one to hang up. */
const exchange = (port: number, sent: string): Promise<{ text: string; ended: boolean }> =>
  new Promise((resolve, reject) => {
    const socket = connect({ host: "127.0.0.1", port, allowHalfOpen: true });
    let text = "";
    socket.setEncoding("utf8");
    socket.on("data", (chunk: string) => (text += chunk));
    socket.on("end", () => {
      socket.destroy();
      resolve({ text, ended: true });
    });
    socket.on("error", reject);
    socket.write(sent);
  });

const withServer = async (
  routes: readonly Route[],
  work: (port: number) => Promise<void>,
): Promise<void> => {
  const server = await serveHttp({ host: "127.0.0.1", port: 0 }, routes);
  try {
    await work(server.port);
  } finally {
    await server.close();
  }
};

const routesWith = (token: string | null): Route[] =>
  createRoutes({
    fullestDestination: async () => null,
    words: () => [{ id: "default", word: "polling" }],
    status: async () => {
      throw new Error("a text that must stay inside");
    },
    metrics: async () => "up 1\n",
    token,
    host: "127.0.0.1",
  });

describe("serveHttp", () => {
  test("serves a route with its content type and the security headers", async () => {
    await withServer(routesWith(null), async (port) => {
      const answer = await ask(port, { path: "/metrics" });
      expect(answer).toMatchObject({ status: 200, body: "up 1\n" });
      expect(answer.headers).toMatchObject({
        "content-type": "text/plain; version=0.0.4; charset=utf-8",
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
      });
    });
  });

  test("ignores a query", async () => {
    await withServer(routesWith(null), async (port) => {
      expect((await ask(port, { path: "/healthz?probe=1" })).status).toBe(200);
    });
  });

  test("refuses a Host header that is no loopback name", async () => {
    await withServer(routesWith(null), async (port) => {
      const headers = { host: "evil.example" };
      expect((await ask(port, { path: "/readyz", headers })).status).toBe(403);
    });
  });

  test("challenges for the token and takes it", async () => {
    await withServer(routesWith("s3cret"), async (port) => {
      const without = await ask(port, { path: "/metrics" });
      const headers = { authorization: "Bearer s3cret" };
      expect(without).toMatchObject({ status: 401, headers: { "www-authenticate": "Bearer" } });
      expect((await ask(port, { path: "/metrics", headers })).status).toBe(200);
    });
  });

  test("answers an unknown path with 404 in JSON", async () => {
    await withServer(routesWith(null), async (port) => {
      const answers = [
        await ask(port, { path: "/etc/passwd" }),
        await ask(port, { path: "/x", method: "POST" }),
      ];
      for (const answer of answers) {
        expect(answer).toMatchObject({ status: 404, body: '{"error":"not found"}\n' });
        expect(answer.headers["x-content-type-options"]).toBe("nosniff");
      }
    });
  });

  test.each(["POST", "PUT", "DELETE", "OPTIONS"])("answers %s with 405", async (method) => {
    await withServer(routesWith(null), async (port) => {
      const headers = { "content-type": "text/weird", "content-length": "1" };
      const answer = await ask(port, { path: "/healthz", method, headers, body: "{" });
      expect(answer).toMatchObject({ status: 405, headers: { allow: "GET" } });
    });
  });

  test("answers an error of a route with 500 and without its text", async () => {
    await withServer(routesWith(null), async (port) => {
      const answer = await ask(port, { path: "/api/v1/status" });
      expect(answer).toMatchObject({ status: 500, body: '{"error":"internal error"}\n' });
    });
  });

  test("answers a malformed path with 400 and without repeating it", async () => {
    await withServer(routesWith(null), async (port) => {
      const answer = await ask(port, { path: "/%zz-secret" });
      expect(answer.status).toBe(400);
      expect(answer.body).not.toContain("secret");
    });
  });

  test.each([
    ["no request", "GARBAGE-secret\r\n\r\n", "400 Bad Request"],
    ["a bad header", "GET / HTTP/1.1\r\nhost: x\r\nb d\r\n\r\n", "400 Bad Request"],
    [
      "too long a header",
      `GET / HTTP/1.1\r\nx: ${"x".repeat(9000)}\r\n\r\n`,
      "431 Request Header Fields Too Large",
    ],
  ])("answers %s in plain words and hangs up", async (_, sent, status) => {
    await withServer(routesWith(null), async (port) => {
      const { text, ended } = await exchange(port, sent);
      expect(text.startsWith(`HTTP/1.1 ${status}\r\n`)).toBe(true);
      expect(text.toLowerCase()).toContain("x-content-type-options: nosniff\r\n");
      expect(text.toLowerCase()).toContain("connection: close\r\n");
      expect(text).not.toMatch(/secret|fastify|client error/i);
      expect(ended).toBe(true);
    });
  });

  test("refuses headers beyond 8 KiB", async () => {
    await withServer(routesWith(null), async (port) => {
      const headers = { "x-filler": "x".repeat(9000) };
      expect((await ask(port, { path: "/healthz", headers })).status).toBe(431);
    });
  });

  test("rejects with the system's code when the port is taken", async () => {
    await withServer([], async (port) => {
      await expect(serveHttp({ host: "127.0.0.1", port }, [])).rejects.toMatchObject({
        code: "EADDRINUSE",
      });
    });
  });

  test("closes although a client holds its connection open", async () => {
    const server = await serveHttp({ host: "127.0.0.1", port: 0 }, routesWith(null));
    const socket = connect(server.port, "127.0.0.1");
    const ended = new Promise<void>((resolve) => socket.once("close", () => resolve()));
    socket.on("error", () => undefined);
    await new Promise<void>((resolve) => socket.once("connect", () => resolve()));
    socket.write("GET /healthz HTTP/1.1\r\n");
    await server.close();
    await ended;
    await expect(ask(server.port, { path: "/healthz" })).rejects.toMatchObject({
      code: "ECONNREFUSED",
    });
  });
});
