// The whole daemon in a fake world, started with one call: for tests of what it does over hours, with a
// server and a receiver that misbehave on command.
import { stringify } from "yaml";
import { loadSettings } from "../../src/config/load.ts";
import { startDaemon } from "../../src/daemon/build.ts";
import { TIMING } from "../../src/daemon/cluster/cluster.ts";
import { openSqliteMemory } from "../../src/store/sqlite.adapter.ts";
import { createSqliteStore } from "../../src/store/sqlite.ts";
import { createFakeObjectStore } from "./fake-object-store.ts";
import { createFakePorts, createFakeReceiver, createFakeServer } from "./fake-world.ts";
import { createSeededRandom } from "./seeded-random.ts";
import { createVirtualClock } from "./virtual-clock.ts";

const HOUR_MS = 3_600_000;

const DEFAULTS = {
  enable_background_tasks: true,
  http: null,
  mailboxes: [
    {
      id: "default",
      imap: { host: "imap.fake.test", user: "someone", password: "secret-word" },
      start_from: "beginning",
    },
  ],
};

const WEBHOOK = {
  url: "https://hooks.fake.test/in",
  secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
};

/** The part of a payload that tests look at. */
export interface PostedData {
  uid: number;
  subject: string | null;
  text: string | null;
  unreadable: string | null;
  from: unknown;
  truncated: readonly string[];
  attachments: readonly {
    key: string | null;
    url: string | null;
    sha256: string | null;
    size: number;
  }[];
  links: readonly { url: string; offloaded_url: string | null; filename: string | null }[];
}

/** Sections laid over the defaults, by their names in the file. */
export interface FakeConfig {
  webhook?: Record<string, unknown>;
  polling?: Record<string, unknown>;
  rules?: readonly unknown[];
  offload?: Record<string, unknown>;
}

/** Starts it; `prepare` may make the server misbehave before the first connection. */
export const startFakeDaemon = async (
  config: FakeConfig = {},
  prepare: (server: ReturnType<typeof createFakeServer>) => void = () => undefined,
) => {
  const clock = createVirtualClock();
  const server = createFakeServer(clock);
  const receiver = createFakeReceiver();
  const random = createSeededRandom(7);
  const database = openSqliteMemory();
  const { openSession } = server;
  const { sendHttp } = receiver;
  const fakes = createFakePorts({ clock, random, openSession, sendHttp });
  const bucket = createFakeObjectStore(clock);
  const openObjectStore = bucket.open;
  const ports = { ...fakes.ports, openObjectStore, openSqlite: () => database };
  const text = stringify({ ...DEFAULTS, ...config, webhook: { ...WEBHOOK, ...config.webhook } });
  const readConfigFile = () => ({ stamp: "1", text });
  const load = () => loadSettings({ path: "signalpost.yaml", env: {}, readConfigFile });
  prepare(server);
  const daemon = await startDaemon(
    {
      initial: load(),
      load,
      stamp: () => "1",
      version: "0",
      node: "node-a",
      host: "host-a",
      timing: TIMING,
    },
    ports,
  );
  return {
    ...fakes,
    clock,
    server,
    receiver,
    bucket,
    daemon,
    /** The store that the daemon works on. */
    store: () => createSqliteStore({ database, random, spoolKeys: [] }),
    eventsOf: (name: string) => fakes.lines.filter(({ event }) => event === name),
    posted: (): PostedData[] =>
      receiver.requests.map(({ body }) => (JSON.parse(body) as { data: PostedData }).data),
    /** Stops it, letting time pass for what still has to end. */
    stop: async (): Promise<void> => {
      let isStopped = false;
      const stopping = daemon.stop().then(() => (isStopped = true));
      await clock.runUntil(() => isStopped, HOUR_MS).catch(() => undefined);
      await stopping;
    },
  };
};
