// The demo's receiver: an HTTP server on a free port of 127.0.0.1 that checks the signature of every
// webhook and hands it on. It answers 204, and 401 to what is not signed. Started by running-demo.ts.
import { type IncomingMessage, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { isSigned } from "./verify-signature.ts";

/** A webhook that came in. */
export interface ReceivedWebhook {
  isVerified: boolean;
  /** The header `webhook-id`. */
  id: string;
  /** The header `signalpost-destination`. */
  destination: string;
  /** The text of the body; JSON when it is verified. */
  body: string;
}

/** A running receiver. */
export interface WebhookReceiver {
  port: number;
  close(): Promise<void>;
}

const readBody = async (request: IncomingMessage): Promise<Buffer> => {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
};

const header = ({ headers }: IncomingMessage, name: string): string => String(headers[name] ?? "");

/** Starts the receiver; `onWebhook` is called before a request is answered. */
export const startReceiver = async (
  secret: string,
  onWebhook: (webhook: ReceivedWebhook) => void,
): Promise<WebhookReceiver> => {
  const server = createServer((request, response) => {
    const handle = async (): Promise<void> => {
      const body = await readBody(request);
      const { headers } = request;
      const isVerified = isSigned({ headers, body }, { secret, nowMs: Date.now() });
      onWebhook({
        isVerified,
        id: header(request, "webhook-id"),
        destination: header(request, "signalpost-destination"),
        body: body.toString("utf8"),
      });
      response.writeHead(isVerified ? 204 : 401).end();
    };
    // A sender that goes away in the middle of a request has not sent one.
    handle().catch(() => response.destroy());
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    async close() {
      const closed = new Promise((resolve) => void server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
};
