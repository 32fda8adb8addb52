// The connect below the URL check: what a name resolves to and what a literal means are judged again
// here, so that nothing gets past the guard by a name. Real sockets on loopback.
import { createServer, type AddressInfo, type Socket } from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { guardedConnect } from "./guarded-connect.adapter.ts";

const server = createServer((socket) => socket.on("error", () => undefined));
let accepted: Socket[] = [];
server.on("connection", (socket) => accepted.push(socket));
let port = "";

beforeEach(async () => {
  accepted = [];
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  port = String((server.address() as AddressInfo).port);
});

afterEach(async () => {
  for (const socket of accepted) socket.destroy();
  await new Promise((resolve) => void server.close(resolve));
});

const connectBy = (
  connector: ReturnType<typeof guardedConnect>,
  protocol: string,
  hostname: string,
): Promise<string> =>
  new Promise((resolve) => {
    connector({ hostname, host: hostname, protocol, port }, (error, socket) => {
      socket?.destroy();
      resolve(error === null ? "connected" : String((error as { code?: unknown }).code));
    });
  });

const connect = (allowPrivate: boolean, protocol: string, hostname: string): Promise<string> =>
  connectBy(guardedConnect(allowPrivate), protocol, hostname);

describe("guardedConnect", () => {
  test.each(["http:", "https:"])(
    "refuses a name that resolves to loopback, over %s",
    async (protocol) => {
      expect(await connect(false, protocol, "localhost")).toBe("EGRESS_REFUSED");
      expect(accepted).toHaveLength(0);
    },
  );

  test.each(["127.0.0.1", "::ffff:127.0.0.1", "0.0.0.0", "::1"])(
    "refuses the literal %s, for which Node makes no look-up",
    async (literal) => {
      expect(await connect(false, "https:", literal)).toBe("EGRESS_REFUSED");
      expect(accepted).toHaveLength(0);
    },
  );

  test("refuses metadata and public addresses over plain http whatever is allowed", async () => {
    expect(await connect(true, "http:", "169.254.169.254")).toBe("EGRESS_REFUSED");
    expect(await connect(true, "http:", "8.8.8.8")).toBe("EGRESS_REFUSED");
  });

  test("connects to loopback by name and by literal when private addresses are allowed", async () => {
    expect(await connect(true, "http:", "localhost")).toBe("connected");
    expect(await connect(true, "http:", "127.0.0.1")).toBe("connected");
  });

  test("gives up on a handshake that nobody answers once its time is over", async () => {
    const code = await connectBy(guardedConnect(true, 300), "https:", "127.0.0.1");
    expect(code).toBe("UND_ERR_CONNECT_TIMEOUT");
    expect(accepted).toHaveLength(1);
  });

  test("reports the system's error when nobody listens", async () => {
    const freed = port;
    await new Promise((resolve) => void server.close(resolve));
    port = freed;
    expect(await connect(true, "http:", "127.0.0.1")).toBe("ECONNREFUSED");
    await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  });
});
