// The demo's mail server: hoodiecrow-imap on a free port of 127.0.0.1, with one folder that lives in
// memory. It promises to tell of every message that arrives, however it came in. Started by
// running-demo.ts; `signalpost demo send` reaches it from another process.
import type { AddressInfo, Socket } from "node:net";
import type { ImapServer, StoredMessage } from "hoodiecrow-imap";
import type { FetchItem } from "hoodiecrow-imap/lib/commands/handlers/fetch.js";
import { ImapFlow } from "imapflow";
import libmime from "libmime";
import { AppError } from "../../core/errors.ts";
import type { SampleMail } from "./sample-mails.ts";

/** The account of the demo; its server is reached from this machine alone and forgets everything. */
export const ACCOUNT = { user: "demo@example.com", password: "demo" } as const;

const PLUGINS = [
  ...["IDLE", "ID", "SASL-IR", "AUTH-PLAIN", "NAMESPACE", "ENABLE", "CONDSTORE", "LITERALPLUS"],
  ...["UNSELECT", "SPECIAL-USE", "CREATE-SPECIAL-USE"],
];

/** A message that came into the folder. */
export interface Arrival {
  uid: number;
  /** With its angle brackets; empty without one. */
  messageId: string;
  subject: string;
  from: string;
}

/** A running mail server. */
export interface EmbeddedMailbox {
  port: number;
  /** Puts a mail into INBOX; clients in IDLE are told. */
  deliver(mail: SampleMail): Promise<void>;
  /** Cuts every connection. */
  close(): Promise<void>;
}

/** The packages for development are there after `npm install` and left out of a deployment. */
const needed = async <T>(load: () => Promise<T>): Promise<T> => {
  try {
    return await load();
  } catch (cause) {
    throw new AppError("demo/packages_missing", "the demo needs the development packages", {
      hint: "Run 'npm install' in the folder of Signalpost.",
      cause,
    });
  }
};

/** `mail` as RFC 5322 octets. */
const compose = async (mail: SampleMail): Promise<{ raw: Buffer; date: Date }> => {
  const { createTransport } = await needed(() => import("nodemailer"));
  const { minutesAgo, ...fields } = mail;
  const date = new Date(Date.now() - minutesAgo * 60_000);
  const composer = createTransport({ streamTransport: true, buffer: true, newline: "windows" });
  const { message } = await composer.sendMail({ ...fields, to: ACCOUNT.user, date });
  return { raw: message as Buffer, date };
};

const arrivalOf = ({ uid, raw }: StoredMessage): Arrival => {
  const head = raw.slice(0, raw.indexOf("\r\n\r\n")).replace(/\r\n[ \t]+/g, " ");
  const header = (name: string): string => {
    const value = new RegExp(`^${name}:(.*)$`, "im").exec(head)?.[1] ?? "";
    return libmime.decodeWords(Buffer.from(value.trim(), "latin1").toString("utf8"));
  };
  return { uid, messageId: header("message-id"), subject: header("subject"), from: header("from") };
};

/**
 * hoodiecrow shortens the list of a partial FETCH in place, so that only the first message of a command
 * is answered well. This gives every message the range as it was asked for, and the answer its origin.
 */
const mendPartialFetch = async (): Promise<(server: ImapServer) => void> => {
  const { default: handlers } = await import("hoodiecrow-imap/lib/commands/handlers/fetch.js");
  const body = (connection: unknown, message: unknown, item: FetchItem): unknown => {
    if (item.partial === undefined) return handlers.BODY(connection, message, item);
    item.asked ??= [...item.partial];
    item.partial = [...item.asked];
    const value = handlers.BODY(connection, message, item);
    item.partial = item.asked.slice(0, 1);
    return value;
  };
  return ({ fetchHandlers }) => {
    fetchHandlers["BODY"] = body;
    fetchHandlers["BODY.PEEK"] = body;
  };
};

/** Starts the server; `onArrival` is called at once for each message. */
export const startMailbox = async (
  onArrival: (arrival: Arrival) => void,
): Promise<EmbeddedMailbox> => {
  const { default: hoodiecrow } = await needed(() => import("hoodiecrow-imap"));
  const imap = hoodiecrow({
    plugins: [...PLUGINS, await mendPartialFetch()],
    users: { [ACCOUNT.user]: ACCOUNT },
  });
  imap.messageHandlers.push((_server, message) => onArrival(arrivalOf(message)));

  const { server } = imap;
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    // It writes an answer in pieces; without this each of them waits for the client's delayed ACK.
    socket.setNoDelay(true);
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    async deliver(mail) {
      const { raw, date } = await compose(mail);
      imap.appendMessage("INBOX", [], date, raw.toString("latin1"));
    },
    async close() {
      const closed = new Promise((resolve) => void server.close(resolve));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
};

/** Puts a mail into the folder of a running demo, as a mail program does it: by IMAP APPEND. */
export const appendToMailbox = async (port: number, mail: SampleMail): Promise<void> => {
  const { raw } = await compose(mail);
  const client = new ImapFlow({
    host: "127.0.0.1",
    port,
    secure: false,
    doSTARTTLS: false,
    auth: { user: ACCOUNT.user, pass: ACCOUNT.password },
    logger: false,
    connectionTimeout: 5000,
    greetingTimeout: 5000,
    socketTimeout: 10_000,
  });
  client.on("error", () => undefined);
  try {
    await client.connect();
    await client.append("INBOX", raw);
    await client.logout();
  } finally {
    client.close();
  }
};
