// An object storage on loopback for tests: s3rver, a real server of the S3 protocol, behind a proxy that
// does what s3rver leaves out (it checks signatures, aborts uploads, holds back what arrives in part) and
// misbehaves as a test tells it, request by request. Counts what it was asked; runs in the test's process.
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync } from "node:fs";
import {
  createServer,
  type IncomingMessage,
  request as sendTo,
  type ServerResponse,
} from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import S3rver from "s3rver";
import type { StorageSettings } from "../../src/core/settings.ts";
import { type KeyPair, refusalOf } from "./s3-signature.ts";

/** What a request asks for, in the words of the S3 documentation. */
export type S3Operation =
  | "PutObject"
  | "GetObject"
  | "HeadObject"
  | "CreateMultipartUpload"
  | "UploadPart"
  | "CompleteMultipartUpload"
  | "AbortMultipartUpload"
  | "other";

/** One request as its head was read. */
export interface S3Request {
  method: string;
  operation: S3Operation;
  bucket: string;
  key: string;
  /** Of UploadPart, from 1; else 0. */
  partNumber: number;
  headers: Readonly<Record<string, string | string[] | undefined>>;
  /** How many requests of this operation there were, this one included. */
  n: number;
}

/** How to treat a request; an empty one is served. */
export interface S3Behaviour {
  /** Answer with this after reading the request; it does not reach the storage. */
  status?: number;
  headers?: Readonly<Record<string, string>>;
  /** The body of `status`; by default an error in XML with a text of its own. */
  body?: string;
  /** Answer `status` at once, with the body unread. */
  early?: boolean;
  /** A black hole: read nothing of the body, and never say a word. */
  hang?: boolean;
  /** Read the request at this speed. */
  bytesPerSecond?: number;
  /** Cut the connection when so many bytes of the body have come. */
  dropAfterBytes?: number;
  /** Serve the request, then cut the connection in place of an answer. */
  dropAnswer?: boolean;
}

/** An object as a browser would get it. */
export interface S3Object {
  body: Buffer;
  contentType: string;
  contentDisposition: string;
}

/** A running storage with one bucket. */
export interface S3Server extends AsyncDisposable {
  port: number;
  /** What a client needs to use the bucket, path-style. */
  settings: StorageSettings;
  requests: readonly S3Request[];
  count(operation: S3Operation): number;
  /** Keys that are stored. */
  keys(): string[];
  /** Throws when there is no such object. */
  object(key: string): S3Object;
  /** Uploads in parts that were begun and neither completed nor aborted. */
  openUploads(): number;
  /** Connections open now. */
  openConnections(): number;
  /** From the next request on; without a function every request is served. */
  behave(how?: (request: S3Request) => S3Behaviour): void;
  /** Resolves once `count` requests of `operation` came in. */
  waitFor(operation: S3Operation, count: number): Promise<void>;
  /** Cuts every connection and refuses new ones. */
  stop(): Promise<void>;
  /** Listens again on the same port, with what it has stored. */
  restart(): Promise<void>;
}

const KEYS: KeyPair = {
  accessKeyId: "AKIDSIGNALPOST",
  secretAccessKey: "the/secret+of=the=storage",
  region: "auto",
};
const MIN_PART_BYTES = 5 * 1024 * 1024;

const operationOf = (method: string, query: URLSearchParams): S3Operation => {
  const isUpload = query.has("uploadId");
  if (method === "PUT") return isUpload ? "UploadPart" : "PutObject";
  if (method === "POST" && isUpload) return "CompleteMultipartUpload";
  if (method === "POST" && query.has("uploads")) return "CreateMultipartUpload";
  if (method === "DELETE" && isUpload) return "AbortMultipartUpload";
  if (method === "GET" && !query.has("uploads")) return "GetObject";
  return method === "HEAD" ? "HeadObject" : "other";
};

/** An error as S3 writes it, with a text that no log may show. */
export const errorXml = (code: string): string =>
  `<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>${code}</Code><Message>text of the storage</Message></Error>`;

const refuse = (response: ServerResponse, status: number, code: string): void => {
  response.writeHead(status, { "content-type": "application/xml" }).end(errorXml(code));
};

/** Reads the whole body as slowly as told; null when the connection is to be cut. */
const readBody = async (
  request: IncomingMessage,
  { bytesPerSecond, dropAfterBytes = Infinity }: S3Behaviour,
): Promise<Buffer | null> => {
  const chunks: Buffer[] = [];
  let readBytes = 0;
  for await (const chunk of request) {
    chunks.push(chunk as Buffer);
    readBytes += (chunk as Buffer).length;
    if (readBytes >= dropAfterBytes) return null;
    if (bytesPerSecond !== undefined) {
      await sleep(((chunk as Buffer).length / bytesPerSecond) * 1000, undefined, { ref: false });
    }
  }
  return Buffer.concat(chunks);
};

/** The folder of s3rver, read and changed where s3rver itself cannot. */
const createFolder = (bucket: string) => {
  const directory = mkdtempSync(join(tmpdir(), "signalpost-s3-"));
  const uploads = join(directory, bucket, "._S3rver_uploads");
  const file = (key: string, kind: string): string =>
    join(directory, bucket, `${key}._S3rver_${kind}`);
  const partsOf = (uploadId: string): number[] =>
    readdirSync(join(uploads, uploadId))
      .filter((name) => /^\d+$/.test(name))
      .toSorted((a, b) => Number(a) - Number(b))
      .map((name) => statSync(join(uploads, uploadId, name)).size);
  const sizeOf = (path: string): number => (existsSync(path) ? statSync(path).size : -1);
  return {
    directory,
    hasUpload: (id: string) => /^\w+$/.test(id) && existsSync(join(uploads, id)),
    abort: (id: string) => rmSync(join(uploads, id), { recursive: true }),
    openUploads: () => (existsSync(uploads) ? readdirSync(uploads).length : 0),
    partsOf,
    /** s3rver answers before the file is written. */
    async written(path: string, size: number): Promise<void> {
      while (sizeOf(path) !== size) await sleep(2);
    },
    objectFile: (key: string) => file(key, "object"),
    partFile: (id: string, part: number) => join(uploads, id, String(part)),
    keys: (): string[] =>
      readdirSync(join(directory, bucket), { recursive: true, encoding: "utf8" })
        .filter((name) => name.endsWith("._S3rver_object"))
        .map((name) => name.slice(0, -"._S3rver_object".length))
        .toSorted(),
    object(key: string): S3Object {
      const about = JSON.parse(readFileSync(file(key, "metadata.json"), "utf8")) as Record<
        string,
        string | undefined
      >;
      return {
        body: readFileSync(file(key, "object")),
        contentType: about["content-type"] ?? "",
        contentDisposition: about["content-disposition"] ?? "",
      };
    },
    remove: () => rmSync(directory, { recursive: true, force: true }),
  };
};

type Folder = ReturnType<typeof createFolder>;

/** Passes a whole request on to s3rver, unsigned, and its answer back. */
const passOn = async (
  { from, body, port }: { from: IncomingMessage; body: Buffer; port: number },
  give: (answer: IncomingMessage) => Promise<void>,
): Promise<void> => {
  const url = new URL(from.url ?? "/", "http://storage");
  for (const name of [...url.searchParams.keys()]) {
    if (/^x-(amz|id)/i.test(name)) url.searchParams.delete(name);
  }
  const {
    authorization: _signature,
    host: _host,
    connection: _connection,
    ...headers
  } = from.headers;
  const to = sendTo({
    host: "127.0.0.1",
    port,
    agent: false,
    method: from.method ?? "GET",
    path: url.pathname + url.search,
    headers,
  });
  to.end(body);
  const [answer] = (await once(to, "response")) as [IncomingMessage];
  await give(answer);
};

/** What the proxy says in the place of s3rver; null: s3rver may answer. */
const refusalByFolder = (
  { operation }: S3Request,
  uploadId: string,
  folder: Folder,
): [status: number, code: string] | null => {
  const isOfUpload = /^(UploadPart|(Complete|Abort)MultipartUpload)$/.test(operation);
  if (isOfUpload && !folder.hasUpload(uploadId)) return [404, "NoSuchUpload"];
  if (operation !== "CompleteMultipartUpload") return null;
  const whole = folder.partsOf(uploadId).slice(0, -1);
  return whole.every((size) => size >= MIN_PART_BYTES) ? null : [400, "EntityTooSmall"];
};

/** Serves a request that is whole and signed. */
const serve = async (
  asked: S3Request,
  { from, body, response }: { from: IncomingMessage; body: Buffer; response: ServerResponse },
  { folder, port, behaviour }: { folder: Folder; port: number; behaviour: S3Behaviour },
): Promise<void> => {
  const url = new URL(from.url ?? "/", "http://storage");
  const uploadId = url.searchParams.get("uploadId") ?? "";
  const refused = refusalByFolder(asked, uploadId, folder);
  if (refused !== null) return refuse(response, ...refused);
  if (asked.operation === "AbortMultipartUpload") {
    folder.abort(uploadId);
    response.writeHead(204).end();
    return;
  }
  const size =
    asked.operation === "CompleteMultipartUpload"
      ? folder.partsOf(uploadId).reduce((sum, part) => sum + part, 0)
      : body.length;
  await passOn({ from, body, port }, async (answer) => {
    const status = answer.statusCode ?? 500;
    if (status < 300 && /^(PutObject|CompleteMultipartUpload)$/.test(asked.operation)) {
      await folder.written(folder.objectFile(asked.key), size);
    }
    if (status < 300 && asked.operation === "UploadPart") {
      await folder.written(folder.partFile(uploadId, asked.partNumber), size);
    }
    if (behaviour.dropAnswer === true) {
      response.socket?.resetAndDestroy();
      answer.resume();
      return;
    }
    response.writeHead(status, answer.headers);
    answer.pipe(response);
  });
};

/** Starts a storage with the bucket `mail` on 127.0.0.1. */
export const startS3Server = async (bucket = "mail"): Promise<S3Server> => {
  const folder = createFolder(bucket);
  const storage = new S3rver({
    address: "127.0.0.1",
    port: 0,
    silent: true,
    directory: folder.directory,
    vhostBuckets: false,
    configureBuckets: [{ name: bucket }],
  });
  const { port: storagePort } = await storage.run();
  const requests: S3Request[] = [];
  const looks = new Set<() => void>();
  let how: (request: S3Request) => S3Behaviour = () => ({});
  let open = 0;
  const count = (operation: S3Operation): number =>
    requests.filter((request) => request.operation === operation).length;

  const noted = (from: IncomingMessage): S3Request => {
    const url = new URL(from.url ?? "/", "http://storage");
    const [, asked = "", ...key] = url.pathname.split("/").map(decodeURIComponent);
    const method = from.method ?? "";
    const operation = operationOf(method, url.searchParams);
    const request: S3Request = {
      ...{ method, operation, bucket: asked, key: key.join("/"), headers: from.headers },
      partNumber: Number(url.searchParams.get("partNumber") ?? 0),
      n: count(operation) + 1,
    };
    requests.push(request);
    for (const look of looks) look();
    return request;
  };

  const handle = async (from: IncomingMessage, response: ServerResponse): Promise<void> => {
    const asked = noted(from);
    const behaviour = how(asked);
    const { status, headers, body: text = errorXml("Told") } = behaviour;
    if (behaviour.hang === true) return;
    const give = (): void => void response.writeHead(status ?? 200, headers).end(text);
    if (behaviour.early === true) return give();
    const body = await readBody(from, behaviour);
    if (body === null) {
      response.socket?.resetAndDestroy();
      return;
    }
    if (status !== undefined) return give();
    const refusal = refusalOf(from, body, KEYS);
    if (refusal !== null) return refuse(response, 403, refusal);
    await serve(asked, { from, body, response }, { folder, port: storagePort, behaviour });
  };

  const server = createServer((from, response) => {
    // A request whose sender went away in the middle of it is no request.
    handle(from, response).catch(() => response.destroy());
  });
  server.on("connection", (socket) => {
    open += 1;
    socket.once("close", () => (open -= 1));
  });
  const listen = async (port: number): Promise<void> => {
    server.listen(port, "127.0.0.1");
    await once(server, "listening");
  };
  const stop = async (): Promise<void> => {
    if (!server.listening) return;
    const closed = once(server, "close");
    server.close();
    server.closeAllConnections();
    await closed;
  };
  await listen(0);
  const { port } = server.address() as AddressInfo;
  return {
    port,
    settings: {
      endpoint: `http://127.0.0.1:${port}`,
      bucket,
      ...KEYS,
      pathStyle: true,
      allowPrivateAddresses: true,
    },
    requests,
    count,
    keys: folder.keys,
    object: folder.object,
    openUploads: folder.openUploads,
    openConnections: () => open,
    behave(next = () => ({})) {
      how = next;
    },
    waitFor: (operation, wanted) =>
      new Promise((resolve) => {
        const look = (): void => {
          if (count(operation) < wanted) return;
          looks.delete(look);
          resolve();
        };
        looks.add(look);
        look();
      }),
    stop,
    async restart() {
      if (!server.listening) await listen(port);
    },
    async [Symbol.asyncDispose]() {
      await stop();
      await storage.close();
      folder.remove();
    },
  };
};
