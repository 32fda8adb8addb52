// How the SDK reaches the network: its request handler over pools of undici, under the egress guard. Hands
// bodies over in slices, reads short answers whole, follows nothing, knows no proxy. Made once a bucket.
import { Readable } from "node:stream";
import { Pool } from "undici";
import { guardedConnect } from "../../net/guarded-connect.adapter.ts";
import { networkFailureOf } from "../../net/network-failure.ts";
import { UnansweredError } from "./failure.ts";

const CONNECT_TIMEOUT_MS = 5000;
/** So much of a body goes out between two signs of life. */
const SLICE_BYTES = 64 * 1024;
/** Answers to uploads are a page of XML at most. */
const MAX_ANSWER_BYTES = 256 * 1024;

/** A request as the SDK makes it: path and query apart, the path encoded, the query not. */
interface S3Request {
  method: string;
  protocol: string;
  hostname: string;
  port?: number | undefined;
  path: string;
  query?: Readonly<Record<string, string | readonly string[] | null>>;
  headers: Record<string, string>;
  body?: unknown;
}

/** What a caller of the SDK's `send` passes through to the handler. */
export interface SendOptions {
  abortSignal: AbortSignal;
  /** Told whenever bytes went out or an answer came. */
  sent: () => void;
}

const escaped = (text: string): string =>
  encodeURIComponent(text).replaceAll(
    /[!'()*]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  );

const pathOf = ({ path, query = {} }: S3Request): string => {
  const pairs = Object.entries(query).flatMap(([name, value]) => {
    if (value === null) return [escaped(name)];
    const values = typeof value === "string" ? [value] : value;
    return values.map((each) => `${escaped(name)}=${escaped(each)}`);
  });
  return pairs.length === 0 ? path : `${path}?${pairs.join("&")}`;
};

function* slicesOf(body: Uint8Array, sent: () => void): Generator<Uint8Array> {
  for (let at = 0; at < body.length; at += SLICE_BYTES) {
    sent();
    yield body.subarray(at, at + SLICE_BYTES);
  }
}

const bodyOf = (body: unknown, sent: () => void): Readable | string | null => {
  if (typeof body === "string") return body;
  if (!(body instanceof Uint8Array) || body.length === 0) return null;
  return Readable.from(slicesOf(body, sent));
};

const readWhole = async (body: Readable): Promise<Buffer> => {
  const chunks: Buffer[] = [];
  let readBytes = 0;
  for await (const chunk of body) {
    chunks.push(chunk as Buffer);
    readBytes += (chunk as Buffer).length;
    if (readBytes > MAX_ANSWER_BYTES) throw new UnansweredError("invalid_answer");
  }
  return Buffer.concat(chunks);
};

const flat = (headers: NodeJS.Dict<string | string[]>): Record<string, string> =>
  Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)]));

/** A request handler for the SDK; it rejects with `UnansweredError` alone. */
export const createRequestHandler = (allowPrivateAddresses: boolean) => {
  const pools = new Map<string, Pool>();
  let isClosed = false;

  const poolOf = ({ protocol, hostname, port }: S3Request): Pool => {
    const origin = `${protocol}//${hostname}${port === undefined ? "" : `:${port}`}`;
    const pool =
      pools.get(origin) ??
      new Pool(origin, {
        connect: guardedConnect(allowPrivateAddresses, CONNECT_TIMEOUT_MS),
        headersTimeout: 0,
        bodyTimeout: 0,
        keepAliveMaxTimeout: 60_000,
      });
    pools.set(origin, pool);
    return pool;
  };

  const answerTo = async (request: S3Request, { abortSignal, sent }: SendOptions) => {
    const answer = await poolOf(request).request({
      method: request.method,
      path: pathOf(request),
      headers: request.headers,
      body: bodyOf(request.body, sent),
      signal: abortSignal,
    });
    sent();
    const body = await readWhole(answer.body);
    return { response: { statusCode: answer.statusCode, headers: flat(answer.headers), body } };
  };

  return {
    async handle(request: S3Request, options: SendOptions) {
      if (isClosed || options.abortSignal.aborted) throw new UnansweredError("aborted");
      try {
        return await answerTo(request, options);
      } catch (error) {
        if (error instanceof UnansweredError) throw error;
        const isEnded = isClosed || options.abortSignal.aborted;
        throw new UnansweredError(isEnded ? "aborted" : networkFailureOf(error), error);
      }
    },
    updateHttpClientConfig(): void {},
    httpHandlerConfigs: () => ({}),
    /** Ends every connection; whatever is in flight or comes later is aborted. */
    destroy(): void {
      isClosed = true;
      for (const pool of pools.values()) pool.destroy().catch(() => undefined);
    },
  };
};
