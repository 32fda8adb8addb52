// The real connection against a real server that is stopped, killed, locked and filled: what a caller
// hears, how it heals, and that nothing is sent twice. Every test that breaks a server has its own.
import { execFile, execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer } from "node:tls";
import { promisify } from "node:util";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { type RedisServer, startRedis, startReplica } from "../../test/support/redis.ts";
import { startRelay } from "../../test/support/relay.ts";
import { openRedis } from "./ioredis.adapter.ts";
import { type Redis, RedisError } from "./redis.ts";

const TIMEOUT_MS = 300;

let server: RedisServer;
const opened: Redis[] = [];

const open = (url: string, commandTimeoutMs = TIMEOUT_MS): Redis => {
  const redis = openRedis({ url, commandTimeoutMs });
  opened.push(redis);
  return redis;
};

beforeAll(async () => {
  server = await startRedis();
});

afterEach(async () => {
  await Promise.all(opened.splice(0).map((redis) => redis.close()));
});

afterAll(() => server[Symbol.asyncDispose]());

/** For what takes a server or a reconnect its time. */
const PATIENCE = { timeout: 15_000 };

/** `failure: words of the server`, or what was answered. */
const outcomeOf = async (answer: Promise<unknown>): Promise<unknown> => {
  try {
    return await answer;
  } catch (error) {
    if (!(error instanceof RedisError)) throw error;
    return `${error.failure}: ${(error.cause as Error).message}`;
  }
};

/** Adds one to a key, by a script that is not idempotent. */
const addOne = (redis: Redis, key: string): Promise<unknown> =>
  redis.script("write", ["fence", "state"], ["", "", "", "", "2", "INCR", key]);

describe("an open connection", { tags: ["redis", "resilience"] }, () => {
  test("answers in the shapes of the old protocol", async () => {
    const redis = open(server.url);
    await server.cli("HSET", "hash", "näme", "1");
    const words = ["2", "HGETALL", "hash", "2", "GET", "nothing", "2", "HLEN", "hash"];
    expect(await redis.script("read", [], words)).toEqual([["näme", "1"], null, 1]);
    expect(await redis.get("nothing")).toBe(null);
  });

  test("runs a script that the server has forgotten, once", async () => {
    const redis = open(server.url);
    await addOne(redis, "forgotten");
    await server.cli("SCRIPT", "FLUSH");
    await addOne(redis, "forgotten");
    await addOne(redis, "forgotten");
    expect(await redis.get("forgotten")).toBe("3");
  });

  test("keeps to the database, the user and the password of the address", async () => {
    await server.cli("ACL", "SETUSER", "ann@home", "on", ">p:ss/w%rd", "~*", "+@all");
    const login = `${encodeURIComponent("ann@home")}:${encodeURIComponent("p:ss/w%rd")}`;
    const redis = open(`redis://${login}@127.0.0.1:${server.port}/3`);
    await addOne(redis, "in-three");
    expect(await server.cli("EXISTS", "in-three")).toBe("0");
    expect(await server.cli("INFO", "keyspace")).toContain("db3:keys=2");
  });

  test("needs no INFO and no CLIENT", async () => {
    await server.cli("ACL", "SETUSER", "plain", "on", ">secret", "~*", "+@all", "-info", "-client");
    const redis = open(server.url.replace("//", "//plain:secret@"));
    expect(await redis.get("nothing")).toBe(null);
  });

  test("says nothing about a password that nobody asked for", async () => {
    const spies = (["log", "warn", "error"] as const).map((name) => vi.spyOn(console, name));
    try {
      expect(await open(server.url.replace("//", "//:needless@")).get("nothing")).toBe(null);
      expect(spies.flatMap((spy) => spy.mock.calls)).toEqual([]);
    } finally {
      for (const spy of spies) spy.mockRestore();
    }
  });

  test("does not go on in another database than the one that is refused", async () => {
    const redis = open(`${server.url}/99`);
    await expect(addOne(redis, "stray")).rejects.toMatchObject({ failure: "other" });
    await expect
      .poll(() => outcomeOf(redis.get("stray")), PATIENCE)
      .toContain("DB index is out of range");
    expect(await server.cli("EXISTS", "stray")).toBe("0");
  });
});

describe("a server that is away", { tags: ["redis", "resilience"] }, () => {
  test("is unreachable until it runs, and again when it is killed", async () => {
    await using own = await startRedis();
    await own.kill();
    const redis = open(own.url);
    expect(await outcomeOf(redis.get("key"))).toContain("unreachable: connect ECONNREFUSED");
    await own.restart({ keepData: false });
    await expect.poll(() => outcomeOf(redis.get("key")), PATIENCE).toBe(null);
    await own.kill();
    await expect.poll(() => outcomeOf(redis.get("key")), PATIENCE).toContain("unreachable: ");
    await own.restart({ keepData: false });
    await expect.poll(() => outcomeOf(redis.get("key")), PATIENCE).toBe(null);
  });

  test("is sent no command again whose answer was lost", async () => {
    await using own = await startRedis();
    await using relay = await startRelay(own.port);
    const redis = open(`redis://127.0.0.1:${relay.port}`);
    await addOne(redis, "count");
    own.pause();
    expect(await outcomeOf(addOne(redis, "count"))).toBe("unreachable: no answer in time");
    await expect.poll(() => relay.connections(), PATIENCE).toBeGreaterThan(1);
    own.resume();
    await expect.poll(() => outcomeOf(redis.get("count")), PATIENCE).toBe("2");
    expect(await addOne(redis, "count")).toEqual([1, "3", "0"]);
  });

  test("leaves no connection stuck when it falls silent", async () => {
    await using own = await startRedis();
    await using relay = await startRelay(own.port);
    const redis = open(`redis://127.0.0.1:${relay.port}`);
    await redis.get("key");
    own.pause();
    const tried = async (): Promise<number> => {
      await outcomeOf(redis.get("key"));
      return relay.connections();
    };
    await expect.poll(tried, PATIENCE).toBeGreaterThan(2);
    own.resume();
    await expect.poll(() => outcomeOf(redis.get("key")), PATIENCE).toBe(null);
  });

  test("lets a connection end at once, with what is under way", async () => {
    await using own = await startRedis();
    const redis = open(own.url, 60_000);
    await redis.get("key");
    own.pause();
    const waiting = outcomeOf(redis.get("key"));
    await redis.close();
    expect(await waiting).toContain("unreachable: ");
    expect(await outcomeOf(redis.get("key"))).toContain("unreachable: ");
  });

  test("lets a connection end that never was", async () => {
    const redis = open("redis://127.0.0.1:1");
    await redis.close();
    expect(await outcomeOf(redis.get("key"))).toContain("unreachable: ");
  });
});

describe("a server that will not work", { tags: ["redis", "resilience"] }, () => {
  test("is unreachable while it loads", async () => {
    await using own = await startRedis({ args: ["--enable-debug-command", "yes"] });
    const redis = open(own.url);
    for (let index = 0; index < 100; index += 1) {
      await own.cli("SET", `key-${index}`, "x".repeat(1024));
    }
    await own.cli("CONFIG", "SET", "loading-process-events-interval-bytes", "1024");
    await own.cli("CONFIG", "SET", "rdbcompression", "no");
    await own.cli("CONFIG", "SET", "key-load-delay", "200000");
    const reload = own.cli("DEBUG", "RELOAD").catch(() => undefined);
    await expect
      .poll(() => outcomeOf(redis.get("key")), PATIENCE)
      .toContain("unreachable: LOADING");
    expect(await outcomeOf(open(own.url, 5000).get("key"))).toContain("unreachable: LOADING");
    await own.kill();
    await reload;
  });

  test("is unreachable while a script keeps it busy", async () => {
    await using own = await startRedis({ args: ["--busy-reply-threshold", "1"] });
    const redis = open(own.url);
    const endless = own.cli("EVAL", "while true do end", "0").catch(() => undefined);
    await expect.poll(() => outcomeOf(redis.get("key")), PATIENCE).toContain("unreachable: BUSY");
    await own.cli("SCRIPT", "KILL");
    await endless;
    await expect.poll(() => outcomeOf(redis.get("key")), PATIENCE).toBe(null);
  });

  test("is unreachable when it takes no more clients", async () => {
    await using own = await startRedis();
    const first = open(own.url);
    await first.get("key");
    await own.cli("CONFIG", "SET", "maxclients", "1");
    const second = open(own.url);
    expect(await outcomeOf(second.get("key"))).toBe(
      "unreachable: ERR max number of clients reached",
    );
    expect(await first.get("key")).toBe(null);
  });

  test("is unreachable as a replica that lost its primary", async () => {
    await using primary = await startRedis();
    const args = ["--replica-serve-stale-data", "no"];
    await using replica = await startReplica(primary, { args });
    const redis = open(replica.url);
    await primary.kill();
    await expect
      .poll(() => outcomeOf(redis.get("key")), PATIENCE)
      .toContain("unreachable: MASTERDOWN");
  });
});

describe("a server that asks for a password", { tags: ["redis", "resilience"] }, () => {
  test.each(["//", "//:wrong@", "//nobody:wrong@"])(
    "lets nobody in with redis:%s, from the first command on, and heals by itself",
    async (login) => {
      await using own = await startRedis();
      await own.cli("CONFIG", "SET", "requirepass", "right");
      const redis = open(own.url.replace("//", login));
      expect(await outcomeOf(redis.get("key"))).toMatch(/^noauth: (NOAUTH|WRONGPASS) /);
      expect(await outcomeOf(addOne(redis, "count"))).toMatch(/^noauth: (NOAUTH|WRONGPASS) /);
      await own.cli("CONFIG", "SET", "requirepass", "");
      await own.cli("ACL", "SETUSER", "nobody", "on", "nopass", "~*", "+@all");
      await expect.poll(() => outcomeOf(redis.get("key")), PATIENCE).toBe(null);
    },
  );

  test("refuses at the next connection when the password is changed meanwhile", async () => {
    await using own = await startRedis({ args: ["--requirepass", "old"] });
    const redis = open(own.url.replace("//", "//:old@"));
    expect(await redis.get("key")).toBe(null);
    await own.cli("CONFIG", "SET", "requirepass", "new");
    await own.cli("CLIENT", "KILL", "TYPE", "normal");
    await expect.poll(() => outcomeOf(redis.get("key")), PATIENCE).toContain("noauth: WRONGPASS");
    expect(await outcomeOf(redis.get("key"))).toContain("noauth: WRONGPASS");
    await own.cli("CONFIG", "SET", "requirepass", "old");
    await expect.poll(() => outcomeOf(redis.get("key")), PATIENCE).toBe(null);
  });

  test("refuses commands that the user may not run", async () => {
    await server.cli("ACL", "SETUSER", "reader", "on", ">secret", "~*", "+get");
    const redis = open(server.url.replace("//", "//reader:secret@"));
    expect(await redis.get("nothing")).toBe(null);
    expect(await outcomeOf(addOne(redis, "count"))).toContain("noauth: NOPERM");
  });

  test("keeps the password out of the error", async () => {
    await using own = await startRedis({ args: ["--requirepass", "right"] });
    const redis = open(own.url.replace("//", "//:canary-password@"));
    const error: unknown = await redis.get("key").catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(RedisError);
    const { cause } = error as RedisError;
    expect([Object.keys(cause as object), (cause as Error).message]).toEqual([
      [],
      expect.not.stringContaining("canary"),
    ]);
  });
});

describe("a connection under TLS", { tags: ["redis", "resilience"] }, () => {
  /** A server that speaks TLS, with a certificate of its own; `ca` is its file. */
  const withTls = async (work: (url: string, ca: string) => Promise<void>): Promise<void> => {
    const directory = mkdtempSync(join(tmpdir(), "signalpost-redis-tls-"));
    const [key, cert] = ["key.pem", "cert.pem"].map((name) => join(directory, name)) as [
      string,
      string,
    ];
    const subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"];
    const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    const files = ["-keyout", key, "-out", cert, "-days", "2"];
    execFileSync("openssl", ["req", "-x509", ...kind, ...files, ...subject], { stdio: "ignore" });
    const front = createServer({ key: readFileSync(key), cert: readFileSync(cert) }, (socket) => {
      const upstream = connect(server.port, "127.0.0.1");
      for (const end of [socket, upstream]) end.on("error", () => end.destroy());
      socket.pipe(upstream).pipe(socket);
    });
    front.listen(0, "127.0.0.1");
    await once(front, "listening");
    const { port } = front.address() as { port: number };
    try {
      await work(`rediss://localhost:${port}`, cert);
    } finally {
      front.close();
      rmSync(directory, { recursive: true });
    }
  };

  test("is refused when nobody vouches for the certificate", async () => {
    await withTls(async (url) => {
      expect(await outcomeOf(open(url).get("nothing"))).toMatch(/^unreachable: self.signed/);
    });
  });

  test("is made when the certificate is trusted", async () => {
    await withTls(async (url, ca) => {
      const adapter = new URL("ioredis.adapter.ts", import.meta.url).href;
      const code = `import { openRedis } from "${adapter}";
        const redis = openRedis({ url: "${url}", commandTimeoutMs: 5000 });
        console.log(await redis.get("nothing"));
        await redis.close();`;
      const env = { ...process.env, NODE_EXTRA_CA_CERTS: ca };
      const words = ["--input-type=module", "-e", code];
      const { stdout, stderr } = await promisify(execFile)(process.execPath, words, { env });
      expect([stdout, stderr]).toEqual(["null\n", ""]);
    });
  });
});
