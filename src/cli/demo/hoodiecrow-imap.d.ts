// The part of hoodiecrow-imap that the demo uses, as types; the package has none of its own. It is read
// off the package's source and used by embedded-mailbox.adapter.ts alone.

declare module "hoodiecrow-imap" {
  import type { Server } from "node:net";
  import type { FetchHandler } from "hoodiecrow-imap/lib/commands/handlers/fetch.js";

  namespace hoodiecrow {
    /** A message as the server keeps it: `raw` and dates as text, one character an octet. */
    interface StoredMessage {
      uid: number;
      raw: string;
    }

    /** A server; `server` is the socket that it listens on. */
    interface ImapServer {
      readonly server: Server;
      readonly messageHandlers: ((server: ImapServer, message: StoredMessage) => void)[];
      readonly fetchHandlers: Record<string, FetchHandler>;
      appendMessage(
        mailbox: string,
        flags: readonly string[],
        internalDate: Date,
        raw: string,
      ): { message: StoredMessage };
    }

    interface Options {
      plugins: readonly (string | ((server: ImapServer) => void))[];
      users: Readonly<Record<string, { password: string }>>;
    }
  }

  function hoodiecrow(options: hoodiecrow.Options): hoodiecrow.ImapServer;
  export = hoodiecrow;
}

declare module "hoodiecrow-imap/lib/commands/handlers/fetch.js" {
  /** One item of a FETCH; `partial` is `<offset.length>` (RFC 9051 section 6.4.5). */
  interface FetchItem {
    partial?: number[];
    asked?: readonly number[];
  }
  type FetchHandler = (connection: unknown, message: unknown, item: FetchItem) => unknown;
  const handlers: { readonly BODY: FetchHandler };
  export { type FetchHandler, type FetchItem };
  export default handlers;
}
