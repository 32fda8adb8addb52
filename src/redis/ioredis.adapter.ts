// The real Redis, over ioredis: one connection that reconnects for as long as it lives, and sends no
// command twice. Whatever goes wrong becomes a RedisError within the command timeout. Opened by daemon/
// and cli/ through the port OpenRedis.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { Redis as Client } from "ioredis";
import { type OpenRedis, RedisError, type RedisReply, type RedisScript } from "./redis.ts";
import { failureOfReply } from "./reply-failure.ts";

/** The waits between attempts to connect: doubling from the first to the last. */
const RETRY_MS = { first: 50, last: 1000 };
const MAX_CONNECT_MS = 5000;
/** A connection that is being closed and does not end by itself is destroyed after so long. */
const CLOSE_MS = 100;
const KEEP_ALIVE_MS = 10_000;
/** Without an answer for so many command timeouts a connection is given up. */
const SILENCE_TIMEOUTS = 10;

/** `%40` is `@`; a lone percent sign stands for itself. */
const decoded = (text: string): string => {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
};

/** The server, user and database of `redis[s]://user:password@host:port/db`; nothing else of it counts. */
const placeOf = (text: string) => {
  const url = new URL(text);
  const { username, password } = url;
  return {
    host: url.hostname.replace(/^\[(.*)\]$/, "$1") || "localhost",
    port: url.port === "" ? 6379 : Number(url.port),
    db: Number(url.pathname.slice(1)) || 0,
    ...(url.protocol === "rediss:" && { tls: {} }),
    // Always with a name: AUTH without one makes ioredis print a warning when no password is needed.
    ...(username + password !== "" && {
      username: decoded(username) || "default",
      password: decoded(password),
    }),
  };
};

const optionsFor = (url: string, timeoutMs: number) => ({
  ...placeOf(url),
  commandTimeout: timeoutMs,
  connectTimeout: Math.min(2 * timeoutMs, MAX_CONNECT_MS),
  // Destroys a connection whose other end fell silent under a command; ioredis connects anew.
  socketTimeout: 2 * timeoutMs,
  disconnectTimeout: CLOSE_MS,
  keepAlive: KEEP_ALIVE_MS,
  enableOfflineQueue: false,
  autoResendUnfulfilledCommands: false,
  maxRetriesPerRequest: 0,
  // A server that loads answers every command by LOADING; INFO may be closed to our user.
  enableReadyCheck: false,
  disableClientInfo: true,
});

const isReply = (error: unknown): error is Error =>
  error instanceof Error && error.name === "ReplyError";

const isNoScript = (error: unknown): boolean =>
  isReply(error) && error.message.startsWith("NOSCRIPT");

/** Was it SELECT that the server refused? ioredis would go on in database 0. */
const isSelect = (error: unknown): boolean =>
  (error as { command?: { name?: string } }).command?.name === "select";

/** The scripts by name, each with the hash by which a server remembers it; read at first use. */
const createScripts = (): ((name: RedisScript) => { text: string; sha: string }) => {
  const scripts = new Map<RedisScript, { text: string; sha: string }>();
  return (name) => {
    const known = scripts.get(name);
    if (known !== undefined) return known;
    const text = readFileSync(new URL(`scripts/${name}.lua`, import.meta.url), "utf8");
    const script = { text, sha: createHash("sha1").update(text).digest("hex") };
    scripts.set(name, script);
    return script;
  };
};

/** The server's text alone: ioredis hangs the words of the command on its errors, AUTH's among them. */
const errorOf = (error: unknown): RedisError => {
  const cause = new Error(error instanceof Error ? error.message : "unknown");
  return new RedisError(isReply(error) ? failureOfReply(cause.message) : "unreachable", cause);
};

/** A connection, and why it is not there while it is not. */
interface Line {
  client: Client;
  /** Why the last attempt to connect failed; null: it did not, or there was none. */
  trouble(): RedisError | null;
  /** Resolves when the first attempt has succeeded or failed. */
  tried: Promise<void>;
}

const openLine = (url: string, timeoutMs: number): Line => {
  let trouble: RedisError | null = null;
  let isRefused = false;
  let retries = 0;
  const client = new Client({
    ...optionsFor(url, timeoutMs),
    retryStrategy: () => Math.min(RETRY_MS.first * 2 ** retries++, RETRY_MS.last),
  });
  const { promise: tried, resolve } = Promise.withResolvers<void>();
  client.on("error", (error: unknown) => {
    trouble = errorOf(error);
    isRefused = isSelect(error);
    if (isRefused) client.disconnect(true);
    resolve();
  });
  client.on("ready", () => {
    // After a refused SELECT ioredis calls the connection ready all the same.
    if (isRefused) return;
    trouble = null;
    retries = 0;
    resolve();
  });
  client.on("close", () => {
    isRefused = false;
    resolve();
  });
  return { client, trouble: () => trouble, tried };
};

/** Rejects after `timeoutMs`, unless `done` is called before. */
const startDeadline = (timeoutMs: number) => {
  const { promise: passed, reject } = Promise.withResolvers<never>();
  let isPassed = false;
  const timer = setTimeout(() => {
    isPassed = true;
    reject(new Error("no answer in time"));
  }, timeoutMs);
  return { passed, isPassed: () => isPassed, done: () => clearTimeout(timer) };
};

/** See {@link OpenRedis}; `url` is one that the configuration accepts. */
export const openRedis: OpenRedis = ({ url, commandTimeoutMs }) => {
  const scripts = createScripts();
  const { client, trouble, tried } = openLine(url, commandTimeoutMs);
  let isClosed = false;

  let answeredMs = performance.now();
  /** A connection that brought no answer for long is given up, in whatever state it hangs. */
  const connectAnew = (): void => {
    const nowMs = performance.now();
    if (isClosed || nowMs - answeredMs < SILENCE_TIMEOUTS * commandTimeoutMs) return;
    answeredMs = nowMs;
    client.disconnect(true);
  };

  const inTime = async <T>(work: (isLate: () => boolean) => Promise<T>): Promise<T> => {
    const { passed, isPassed, done } = startDeadline(commandTimeoutMs);
    try {
      await Promise.race([tried, passed]);
      if (isClosed) throw new Error("closed");
      const answer = await Promise.race([work(isPassed), passed]);
      answeredMs = performance.now();
      return answer;
    } catch (error) {
      if (isReply(error)) answeredMs = performance.now();
      else connectAnew();
      throw isReply(error) ? errorOf(error) : (trouble() ?? errorOf(error));
    } finally {
      done();
    }
  };

  return {
    script: async (name, keys, args) => {
      const { text, sha } = scripts(name);
      const rest = [keys.length, ...keys, ...args];
      return await inTime(async (isLate) => {
        try {
          return (await client.call("evalsha", [sha, ...rest])) as RedisReply;
        } catch (error) {
          // The one answer that says for sure that nothing was run.
          if (!isNoScript(error) || isLate()) throw error;
          return (await client.call("eval", [text, ...rest])) as RedisReply;
        }
      });
    },
    get: (key) => inTime(() => client.get(key)),
    close: async () => {
      isClosed = true;
      client.disconnect();
    },
  };
};
