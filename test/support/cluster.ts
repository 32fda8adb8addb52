// Several daemons, one Redis, one receiver and one Dovecot: what the tests of the cluster begin with. Each
// node has a directory and a host of its own, so that nothing but Redis joins them. All of it ends with the
// scene.
import { type TestDaemon, createTestDaemon } from "./daemon.ts";
import { type DaemonMailbox, WEBHOOK_SECRET } from "./daemon-config.ts";
import { messagesFor, until } from "./deliveries.ts";
import type { Dovecot } from "./dovecot.ts";
import { type Receiver, type ReceiverOptions, startReceiver } from "./receiver.ts";
import { type RedisServer, startRedis } from "./redis.ts";
import { newUser } from "./scene.ts";

/** One tenth: a lease of 1.5 s, a lock-delay of 1.6 s. */
const SCALE = 0.1;

/** What differs from the usual. */
export interface ClusterOptions {
  /** Names of the nodes; each is its own host. Default `a` and `b`. */
  nodes?: readonly string[];
  /** Default: `default` alone, watched from the beginning. */
  mailboxes?: (user: string) => readonly DaemonMailbox[];
  /** Key of the section `lock`. */
  fallback?: "auto" | "file" | "wait";
  answer?: ReceiverOptions["answer"];
  /** Default {@link SCALE}; 1 runs `bin/signalpost` in earnest. */
  scale?: number;
  /** Keys of the section `webhook`, and of the others. */
  webhook?: Readonly<Record<string, unknown>>;
  top?: Readonly<Record<string, unknown>>;
  /** More words for the command line of the Redis server. */
  redisArgs?: readonly string[];
  /** The URL by which a node reaches Redis; a relay may stand in between. */
  redisUrl?: (redis: RedisServer, node: string) => string;
}

/** Nodes that are made and not started yet. */
export interface ClusterScene extends AsyncDisposable {
  user: string;
  redis: RedisServer;
  receiver: Receiver;
  /** By name. */
  node(name: string): TestDaemon;
  /** One more node, as the others. */
  addNode(name: string): TestDaemon;
  /** Plain messages into the user's INBOX, one for each subject. */
  deliver(subjects: readonly string[]): Promise<void>;
  /** The node that holds the mailbox by its own word; null: none, or more than one. */
  holder(mailbox?: string): Promise<string | null>;
}

/** Sets the scene. */
export const openCluster = async (
  dovecot: Dovecot,
  options: ClusterOptions = {},
): Promise<ClusterScene> => {
  const user = newUser();
  const { port, password } = dovecot;
  const redis = await startRedis({ args: options.redisArgs ?? [] });
  const answer = options.answer === undefined ? {} : { answer: options.answer };
  const receiver = await startReceiver({ secrets: [WEBHOOK_SECRET], ...answer });
  const nodes = new Map<string, TestDaemon>();
  const { scale = SCALE, fallback = "auto" } = options;
  const mailboxes = options.mailboxes?.(user) ?? [
    { port, user, password, start_from: "beginning" },
  ];

  const addNode = (name: string): TestDaemon => {
    const daemon = createTestDaemon({
      mailboxes,
      webhook: { url: receiver.url, ...options.webhook },
      top: { redis_url: options.redisUrl?.(redis, name) ?? redis.url, ...options.top },
      lock: { fallback },
      env: { SIGNALPOST_HOST_ID: name },
      logLevel: "info",
      ...(scale === 1 ? {} : { scale }),
    });
    nodes.set(name, daemon);
    return daemon;
  };
  for (const name of options.nodes ?? ["a", "b"]) addNode(name);

  const node = (name: string): TestDaemon => {
    const found = nodes.get(name);
    if (found === undefined) throw new Error(`there is no node ${name}`);
    return found;
  };
  const holdsNow = async (daemon: TestDaemon, mailbox: string): Promise<boolean> => {
    try {
      const { mailboxes: seen, node: self } = await daemon.status();
      const lease = seen.find(({ id }) => id === mailbox)?.lease;
      return lease?.state === "held" && lease.holder === self;
    } catch {
      // It does not run, or stands still.
      return false;
    }
  };
  return {
    user,
    redis,
    receiver,
    node,
    addNode,
    deliver: (subjects) => dovecot.deliver(user, messagesFor(subjects)),
    holder: async (mailbox = "default") => {
      const holders: string[] = [];
      for (const [name, daemon] of nodes) if (await holdsNow(daemon, mailbox)) holders.push(name);
      return holders.length === 1 ? (holders[0] ?? null) : null;
    },
    [Symbol.asyncDispose]: async () => {
      for (const daemon of nodes.values()) await daemon[Symbol.asyncDispose]();
      await receiver.stop();
      await redis[Symbol.asyncDispose]();
    },
  };
};

/** A node that polls the mailbox, and one that would. */
export interface Pair {
  holder: TestDaemon;
  standby: TestDaemon;
}

/** So long nothing moves a mailbox any more that two nodes have found each other over. */
const CALM_MS = 2500;

/** Starts two nodes; resolves when each knows of the other and the mailbox stays where it is. */
export const startPair = async (
  scene: ClusterScene,
  names: readonly [string, string] = ["a", "b"],
): Promise<Pair> => {
  const [first, second] = names.map(scene.node) as [TestDaemon, TestDaemon];
  await Promise.all([first.start(), second.start()]);
  await Promise.all([first.waitForEvent("cluster.joined"), second.waitForEvent("cluster.joined")]);
  let holder: string | null = null;
  let sinceMs = 0;
  await until("one of the two holds the mailbox and keeps it", async () => {
    const now = await scene.holder();
    if (now !== holder) sinceMs = performance.now();
    holder = now;
    return holder !== null && performance.now() - sinceMs >= CALM_MS;
  });
  return holder === names[0]
    ? { holder: first, standby: second }
    : { holder: second, standby: first };
};
