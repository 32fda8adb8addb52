// A fake IMAP server on a free loopback port that says what a test tells it to: for all that a real
// server will not say. Commands the script leaves alone get the answers of a small, well-behaved
// server with an empty INBOX.
import { once } from "node:events";
import { createServer, type Socket } from "node:net";

/** One command as the client sent it. */
export interface ScriptedCommand {
  tag: string;
  /** In capitals, `UID SEARCH` in one piece. */
  name: string;
  /** The rest of the line. */
  args: string;
  /** To drip, to hang up, to send what is no line. */
  socket: Socket;
}

/**
 * The lines to answer with (CRLF is added; write the tag yourself with `command.tag`), an empty list
 * to say nothing, or undefined for the default answer.
 */
export type Reply = (command: ScriptedCommand) => readonly string[] | undefined;

/** A running fake server. */
export interface ImapScript extends AsyncDisposable {
  readonly host: string;
  readonly port: number;
  /** Every command line seen so far, without its tag. */
  readonly seen: readonly string[];
  /** Connections taken so far. */
  connections(): number;
  /** Octets sent to all clients so far. */
  bytesSent(): number;
  /** Sends a line to every client that is connected. */
  push(line: string): void;
  /** Ends every connection now; new ones are taken. */
  cut(): void;
  stop(): Promise<void>;
}

const DEFAULTS: Readonly<Record<string, readonly string[]>> = {
  LIST: ['* LIST (\\HasNoChildren) "/" INBOX'],
  NAMESPACE: ['* NAMESPACE (("" "/")) NIL NIL'],
  SELECT: ["* 0 EXISTS", "* OK [UIDVALIDITY 7] ok", "* OK [UIDNEXT 1] ok"],
  EXAMINE: ["* 0 EXISTS", "* OK [UIDVALIDITY 7] ok", "* OK [UIDNEXT 1] ok"],
  "UID SEARCH": ["* SEARCH"],
  LOGOUT: ["* BYE bye"],
};

const parsed = (line: string, socket: Socket): ScriptedCommand => {
  const [tag = "", word = "", ...rest] = line.split(" ");
  const first = word.toUpperCase();
  const name = first === "UID" ? `UID ${(rest.shift() ?? "").toUpperCase()}` : first;
  return { tag, name, args: rest.join(" "), socket };
};

/**
 * Starts a fake server. `greeting` null: accept and say nothing; a function is given the number of the
 * connection, from 1, and its socket.
 */
export const startImapScript = async (options: {
  reply?: Reply;
  greeting?: string | null | ((nth: number, socket: Socket) => string | null);
  capabilities?: string;
}): Promise<ImapScript> => {
  const { greeting = "* OK ready", capabilities = "IMAP4rev1 IDLE UIDPLUS MOVE" } = options;
  const sockets = new Set<Socket>();
  const seen: string[] = [];
  let connections = 0;
  let sentBefore = 0;
  const say = (socket: Socket, lines: readonly string[]): void => {
    if (lines.length > 0 && !socket.destroyed) socket.write(lines.join("\r\n") + "\r\n", "latin1");
  };

  const answer = (command: ScriptedCommand): readonly string[] => {
    const told = options.reply?.(command);
    if (told !== undefined) return told;
    const done = `${command.tag} OK done`;
    if (command.name === "IDLE") return ["+ idling"];
    if (command.name === "CAPABILITY") return [`* CAPABILITY ${capabilities}`, done];
    return [...(DEFAULTS[command.name] ?? []), done];
  };

  const server = createServer((socket) => {
    sockets.add(socket);
    connections += 1;
    let rest = "";
    let idleTag = "";
    socket.on("error", () => {});
    socket.on("close", () => {
      sockets.delete(socket);
      sentBefore += socket.bytesWritten;
    });
    const greeted = typeof greeting === "function" ? greeting(connections, socket) : greeting;
    if (greeted !== null) say(socket, [greeted]);
    socket.setEncoding("latin1").on("data", (chunk: string) => {
      const lines = (rest + chunk).split("\r\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        if (line.toUpperCase() === "DONE") {
          seen.push("DONE");
          say(socket, [`${idleTag} OK done`]);
          continue;
        }
        const command = parsed(line, socket);
        seen.push(`${command.name} ${command.args}`.trim());
        if (command.name === "IDLE") idleTag = command.tag;
        say(socket, answer(command));
      }
    });
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
    host: "127.0.0.1",
    port,
    seen,
    connections: () => connections,
    bytesSent: () => [...sockets].reduce((sum, one) => sum + one.bytesWritten, sentBefore),
    push: (line) => {
      for (const socket of sockets) say(socket, [line]);
    },
    cut,
    stop,
    [Symbol.asyncDispose]: stop,
  };
};
