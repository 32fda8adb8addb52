// A TCP relay on a free loopback port in front of a real server: counts what goes through it, holds a
// command back while something else happens, and cuts the line. For tests that want to know what a
// client really read from its socket, or to be the network between two programs.
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";

/** A running relay. */
export interface Relay extends AsyncDisposable {
  readonly port: number;
  /** Octets that the server sent to clients so far. */
  bytesDown(): number;
  /** Connections taken so far. */
  connections(): number;
  /**
   * Holds back the next piece that a client sends and `pattern` matches, until `during` has ended.
   * Resolves when the piece is on its way; rejects as `during` does.
   */
  holdOnce(pattern: RegExp, during: () => Promise<void>): Promise<void>;
  /** Ends every connection now; new ones are taken. */
  cut(): void;
  stop(): Promise<void>;
}

/** What is to be held back, and what happens meanwhile. */
interface Hold {
  pattern: RegExp;
  during: () => Promise<void>;
  done: (ended: Promise<void>) => void;
}

/** Passes on what the client sends, piece by piece, in order. */
const passUp = async (
  client: Socket,
  upstream: Socket,
  take: (text: string) => Hold | null,
): Promise<void> => {
  for await (const chunk of client) {
    const hold = take((chunk as Buffer).toString("latin1"));
    if (hold !== null) {
      const ended = hold.during();
      hold.done(ended);
      await ended.catch(() => undefined);
    }
    upstream.write(chunk as Buffer);
  }
};

/** Starts a relay to `targetPort` on 127.0.0.1. */
export const startRelay = async (targetPort: number): Promise<Relay> => {
  const sockets = new Set<Socket>();
  let bytes = 0;
  let connections = 0;
  let held: Hold | null = null;
  const take = (text: string): Hold | null => {
    const found = held?.pattern.test(text) === true ? held : null;
    if (found !== null) held = null;
    return found;
  };
  const own = (socket: Socket, peer: Socket): void => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.once("close", () => {
      sockets.delete(socket);
      peer.destroy();
    });
  };
  const server = createServer((client) => {
    connections += 1;
    const upstream = connect(targetPort, "127.0.0.1");
    own(client, upstream);
    own(upstream, client);
    upstream.on("data", (chunk: Buffer) => (bytes += chunk.length));
    upstream.pipe(client);
    passUp(client, upstream, take).catch(() => undefined);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const port = address !== null && typeof address === "object" ? address.port : 0;
  const cut = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  const stop = async (): Promise<void> => {
    if (!server.listening) return;
    const closed = once(server, "close");
    server.close();
    cut();
    await closed;
  };
  return {
    port,
    bytesDown: () => bytes,
    connections: () => connections,
    holdOnce: (pattern, during) =>
      new Promise<void>((resolve) => {
        held = { pattern, during, done: resolve };
      }),
    cut,
    stop,
    [Symbol.asyncDispose]: stop,
  };
};
