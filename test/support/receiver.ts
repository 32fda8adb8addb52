// A webhook receiver on loopback for tests, scripts and benches: takes POSTs, checks their signatures
// with an independent library, answers as told, and remembers everything. It can be stopped and started
// again on its port, as a receiver that is down for a while.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Webhook } from "standardwebhooks";

/** One request as it came in. */
export interface ReceivedRequest {
  id: string;
  attempt: number;
  fence: number;
  destination: string;
  /** The path it was posted to. */
  path: string;
  /** Empty with `keepBodies: false`. */
  body: string;
  /** Did one of the secrets verify it? */
  verified: boolean;
  /** `performance.now()` when its head was read. */
  beganMs: number;
  /** The same when its last byte was read. */
  atMs: number;
}

/** How to answer; 200 with a short body when nothing is said. */
export interface ReceiverAnswer {
  status?: number;
  headers?: Readonly<Record<string, string>>;
  /** Wait before the status line. */
  delayMs?: number;
  /** After the headers send bytes for ever. */
  endlessBody?: boolean;
  /** After the headers promise a body and send none. */
  stalledBody?: boolean;
  /** Never answer. */
  hang?: boolean;
  /** Read the request, then cut the connection: the sender cannot know whether it arrived. */
  dropAfterRead?: boolean;
}

/** A running receiver. */
export interface Receiver {
  url: string;
  port: number;
  requests: readonly ReceivedRequest[];
  /** Connections taken so far. */
  connections(): number;
  /** Connections open now. */
  openConnections(): number;
  /** Resolves once `count` requests came in; rejects after `timeoutMs`. */
  waitFor(count: number, timeoutMs: number): Promise<void>;
  /** Cuts every connection and refuses new ones. */
  stop(): Promise<void>;
  /** Listens again on the same port, with what it remembers. */
  restart(): Promise<void>;
}

/** What a receiver is started with. */
export interface ReceiverOptions {
  /** `whsec_…`; with none, nothing is verified. */
  secrets?: readonly string[];
  /** `n` counts the requests from 1. */
  answer?: (request: ReceivedRequest, n: number) => ReceiverAnswer;
  /** Default 0: any free one. */
  port?: number;
  /** Default true; false saves the memory in a bench. */
  keepBodies?: boolean;
}

const bodyOf = async (request: IncomingMessage): Promise<string> => {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString("utf8");
};

const verifies = (webhook: Webhook, body: string, headers: Record<string, string>): boolean => {
  try {
    webhook.verify(body, headers, { jsonParse: false });
    return true;
  } catch {
    return false;
  }
};

const CHUNK = Buffer.alloc(16 * 1024, "x");

const pour = (response: ServerResponse): void => {
  while (!response.destroyed && response.write(CHUNK));
  if (!response.destroyed) response.once("drain", () => pour(response));
};

const give = (response: ServerResponse, answer: ReceiverAnswer): void => {
  if (answer.hang === true) return;
  if (answer.dropAfterRead === true) {
    response.socket?.resetAndDestroy();
    return;
  }
  response.writeHead(answer.status ?? 200, answer.headers);
  if (answer.endlessBody === true) pour(response);
  else if (answer.stalledBody === true) response.flushHeaders();
  else response.end("ok");
};

const listen = (server: Server, port: number): Promise<number> =>
  new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", () => {
      server.off("error", reject);
      resolve((server.address() as AddressInfo).port);
    });
  });

const receivedFrom = (
  { headers, url }: IncomingMessage,
  { body, beganMs }: { body: string; beganMs: number },
  webhooks: readonly Webhook[],
): ReceivedRequest => {
  const named = headers as Record<string, string>;
  return {
    id: named["webhook-id"] ?? "",
    attempt: Number(named["signalpost-attempt"]),
    fence: Number(named["signalpost-fence"]),
    destination: named["signalpost-destination"] ?? "",
    path: url ?? "",
    body,
    verified: webhooks.some((webhook) => verifies(webhook, body, named)),
    beganMs,
    atMs: performance.now(),
  };
};

/** Those who wait for something, looking each time they are woken. */
const createWaiters = () => {
  const looks = new Set<() => void>();
  return {
    wake(): void {
      for (const look of looks) look();
    },
    until(isDone: () => boolean, timeoutMs: number, tell: () => string): Promise<void> {
      return new Promise((resolve, reject) => {
        const end = (act: () => void): void => {
          clearTimeout(timer);
          looks.delete(look);
          act();
        };
        const look = (): void => {
          if (isDone()) end(resolve);
        };
        const timer = setTimeout(() => end(() => reject(new Error(tell()))), timeoutMs);
        looks.add(look);
        look();
      });
    },
  };
};

/** Starts a receiver on 127.0.0.1; the caller stops it. */
export const startReceiver = async (options: ReceiverOptions = {}): Promise<Receiver> => {
  const webhooks = (options.secrets ?? []).map((secret) => new Webhook(secret));
  const requests: ReceivedRequest[] = [];
  const waiters = createWaiters();
  const timers = new Set<NodeJS.Timeout>();
  let connections = 0;
  let open = 0;
  let server: Server | null = null;

  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const beganMs = performance.now();
    const body = await bodyOf(request);
    const received = receivedFrom(request, { body, beganMs }, webhooks);
    requests.push(options.keepBodies === false ? { ...received, body: "" } : received);
    const answer = options.answer?.(received, requests.length) ?? {};
    waiters.wake();
    if (answer.delayMs === undefined) return give(response, answer);
    const timer = setTimeout(() => {
      timers.delete(timer);
      give(response, answer);
    }, answer.delayMs);
    timers.add(timer);
  };

  const start = async (port: number): Promise<number> => {
    server = createServer((request, response) => {
      // A request whose sender went away in the middle of it is no request.
      handle(request, response).catch(() => undefined);
    });
    server.on("connection", (socket) => {
      connections += 1;
      open += 1;
      socket.once("close", () => (open -= 1));
    });
    return listen(server, port);
  };

  const port = await start(options.port ?? 0);
  return {
    url: `http://127.0.0.1:${port}/hook`,
    port,
    requests,
    connections: () => connections,
    openConnections: () => open,
    waitFor: (count, timeoutMs) =>
      waiters.until(
        () => requests.length >= count,
        timeoutMs,
        () => `${requests.length} of ${count} requests came in`,
      ),
    async stop() {
      for (const timer of timers) clearTimeout(timer);
      timers.clear();
      const stopping = server;
      server = null;
      if (stopping === null) return;
      const closed = new Promise((resolve) => void stopping.close(resolve));
      stopping.closeAllConnections();
      await closed;
    },
    async restart() {
      if (server === null) await start(port);
    },
  };
};
