// A wire tap between the daemon and the mail server: passes everything on, and notes when the server
// told of each message (EXISTS). A second IDLE connection cannot tell this: the server wakes each of its
// connections by a timer of its own, half a second apart. Used by delay.ts.
import { once } from "node:events";
import { type AddressInfo, type Socket, connect, createServer } from "node:net";

/** A tap that listens. */
export interface ExistsTap extends AsyncDisposable {
  /** Where the daemon connects to. */
  readonly port: number;
  /** `performance.now()` at which the server told of each message, by its number in the folder. */
  readonly toldMs: ReadonlyMap<number, number>;
}

/** Reads the lines that pass; half a line waits for its rest. */
const createReader = (toldMs: Map<number, number>): ((chunk: Buffer) => void) => {
  let rest = "";
  return (chunk) => {
    const lines = (rest + chunk.toString("latin1")).split("\r\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      const count = Number(/^\* (\d+) EXISTS$/i.exec(line)?.[1] ?? 0);
      for (let message = toldMs.size + 1; message <= count; message += 1) {
        toldMs.set(message, performance.now());
      }
    }
  };
};

/** Starts a tap on a free port in front of the server at `serverPort`. */
export const startExistsTap = async (serverPort: number): Promise<ExistsTap> => {
  const toldMs = new Map<number, number>();
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = connect(serverPort, "127.0.0.1");
    // First its reader, then the pipe: what is noted must not wait for what is passed on.
    upstream.on("data", createReader(toldMs));
    client.pipe(upstream);
    upstream.pipe(client);
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(socket.setNoDelay(true));
      socket.once("error", () => other.destroy()).once("close", () => other.destroy());
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    toldMs,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
};
