// A TCP relay on a free loopback port in front of a real server: counts what goes through it, holds a
// command back while something else happens, cuts the line or turns it silent. For tests that want to know what a
// client really read from its socket, or to be the network between two programs.
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { Transform } from "node:stream";

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
  /** From here on connections go to another port of 127.0.0.1; those that are open stay where they are. */
  retarget(port: number): void;
  /** A black hole: nothing passes in either direction, and no connection ends, until `unmute`. */
  mute(): void;
  /** What was on its way arrives now. */
  unmute(): void;
  stop(): Promise<void>;
}

/** What is to be held back, and what happens meanwhile. */
interface Hold {
  pattern: RegExp;
  during: () => Promise<void>;
  done: (ended: Promise<void>) => void;
}

/** Goes on once the door is open. */
const passing = async (passed: Promise<void>, go: () => void): Promise<void> => {
  await passed;
  go();
};

/** A door that all pieces go through. */
const createDoor = () => {
  let open = Promise.withResolvers<void>();
  open.resolve();
  return {
    passed: (): Promise<void> => open.promise,
    shut: (): void => {
      open = Promise.withResolvers();
    },
    open: (): void => open.resolve(),
  };
};

/** Passes on what the client sends, piece by piece, in order. */
const passUp = async (
  client: Socket,
  upstream: Socket,
  { take, passed }: { take: (text: string) => Hold | null; passed(): Promise<void> },
): Promise<void> => {
  for await (const chunk of client) {
    await passed();
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
  let target = targetPort;
  let bytes = 0;
  let connections = 0;
  let held: Hold | null = null;
  const door = createDoor();
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
    const upstream = connect(target, "127.0.0.1");
    own(client, upstream);
    own(upstream, client);
    const { passed } = door;
    const passDown = new Transform({
      transform: (chunk: Buffer, _, done) => {
        bytes += chunk.length;
        void passing(passed(), () => done(null, chunk));
      },
    });
    upstream.pipe(passDown).pipe(client);
    passUp(client, upstream, { take, passed }).catch(() => undefined);
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
    retarget: (to) => {
      target = to;
    },
    mute: door.shut,
    unmute: door.open,
    stop,
    [Symbol.asyncDispose]: stop,
  };
};
