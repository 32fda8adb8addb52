// A TCP relay on a free loopback port in front of a real server: counts what goes through it, and can
// cut it. For tests that want to know what a client really read from its socket, or to be the network
// between two programs. Whoever starts one stops it.
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";

/** A running relay. */
export interface Relay extends AsyncDisposable {
  readonly port: number;
  /** Octets that the server sent to clients so far. */
  bytesToClients(): number;
  /** Connections taken so far. */
  connections(): number;
  /** Ends every connection now; new ones are taken. */
  cut(): void;
  stop(): Promise<void>;
}

/** Starts a relay to `port` on 127.0.0.1. */
export const startRelay = async (target: { port: number }): Promise<Relay> => {
  const sockets = new Set<Socket>();
  let bytes = 0;
  let connections = 0;
  const own = (socket: Socket, peer: () => Socket): void => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.once("close", () => {
      sockets.delete(socket);
      peer().destroy();
    });
  };
  const server = createServer((client) => {
    connections += 1;
    const upstream = connect(target.port, "127.0.0.1");
    own(client, () => upstream);
    own(upstream, () => client);
    upstream.on("data", (chunk: Buffer) => (bytes += chunk.length));
    client.pipe(upstream).pipe(client);
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
    bytesToClients: () => bytes,
    connections: () => connections,
    cut,
    stop,
    [Symbol.asyncDispose]: stop,
  };
};
