// The demo as a whole: mail server, receiver and the very daemon that `signalpost run` starts, on the
// same ports and with a configuration read from a file. It counts what goes in and comes out, and tells
// the command of each. What it started it also ends, whether it came up or not.
import { configFileStamp, readConfigFile } from "../../config/config-file.adapter.ts";
import { loadSettings } from "../../config/load.ts";
import { TIMING } from "../../daemon/cluster/cluster.ts";
import { startDaemon } from "../../daemon/build.ts";
import { createSystemPorts } from "../../daemon/system-ports.ts";
import { systemClock, systemRandom } from "../../daemon/system.adapter.ts";
import { demoConfiguration } from "./configuration.ts";
import { type DemoFolder, announceDemo, createDemoFolder } from "./demo-folder.adapter.ts";
import { type Arrival, type EmbeddedMailbox, startMailbox } from "./embedded-mailbox.adapter.ts";
import { SAMPLES, type SampleMail } from "./sample-mails.ts";
import { type ReceivedWebhook, startReceiver } from "./webhook-receiver.adapter.ts";

/** What the demo reads of a webhook's `data` (DESIGN section 8). */
export interface EventData {
  message_id: string | null;
  subject: string | null;
  from: { name: string | null; address: string | null } | null;
  size: number;
  text: string | null;
  html: string | null;
  truncated: readonly string[];
  links: readonly { provider: string; url: string }[];
  attachments: readonly { filename: string | null; size: number }[];
  rule: { name: string; priority: string } | null;
}

/** A webhook whose signature is right. `delayMs`: since its mail arrived; null when it was there before. */
export interface VerifiedWebhook {
  kind: "webhook";
  id: string;
  destination: string;
  data: EventData;
  delayMs: number | null;
}

/** What happened in the demo. */
export type DemoEvent =
  | VerifiedWebhook
  | { kind: "refused" }
  | { kind: "filtered"; arrival: Arrival; reason: string }
  | { kind: "warning"; event: string };

/** How many mails came in, and what became of them. */
export interface Counts {
  mails: number;
  /** Verified webhooks, each event id once. */
  webhooks: number;
  filtered: number;
  /** Webhooks whose signature was wrong. */
  refused: number;
}

/** Where to look while it runs. */
export interface DemoAddresses {
  imapPort: number;
  webhookPort: number;
  httpPort: number | null;
  configPath: string;
  logPath: string;
}

/** A demo that runs. */
export interface RunningDemo extends DemoAddresses {
  send(mail: SampleMail): Promise<void>;
  counts(): Counts;
  /** Ends everything and takes its folder away, unless it is to be looked at. */
  stop(options?: { keepFolder: boolean }): Promise<void>;
}

/** Counts, and turns what the parts report into events. */
const createTally = (tell: (event: DemoEvent) => void) => {
  const arrivals = new Map<number, Arrival>();
  const arrivedMs = new Map<string, number>();
  const verified = new Set<string>();
  const filtered = new Set<number>();
  let refused = 0;
  return {
    arrived(arrival: Arrival, isRunning: boolean): void {
      arrivals.set(arrival.uid, arrival);
      if (isRunning) arrivedMs.set(arrival.messageId, systemClock.monoMs());
    },
    received({ isVerified, id, destination, body }: ReceivedWebhook): void {
      if (!isVerified) {
        refused += 1;
        tell({ kind: "refused" });
        return;
      }
      verified.add(id);
      const { data } = JSON.parse(body) as { data: EventData };
      const sinceMs = arrivedMs.get(data.message_id ?? "");
      const delayMs = sinceMs === undefined ? null : systemClock.monoMs() - sinceMs;
      tell({ kind: "webhook", id, destination, data, delayMs });
    },
    logged(line: string): void {
      const { level, event, uid, reason } = JSON.parse(line) as Record<string, unknown>;
      const arrival = arrivals.get(Number(uid));
      if (event === "message.filtered" && arrival !== undefined) {
        filtered.add(arrival.uid);
        tell({ kind: "filtered", arrival, reason: String(reason) });
      } else if (event !== "message.html_truncated" && (level === "warn" || level === "error")) {
        tell({ kind: "warning", event: String(event) });
      }
    },
    counts: (): Counts => ({
      mails: arrivals.size,
      webhooks: verified.size,
      filtered: filtered.size,
      refused,
    }),
  };
};

const configure = (
  folder: DemoFolder,
  ports: { imapPort: number; webhookPort: number; secret: string },
) => {
  folder.writeConfig(demoConfiguration({ dir: folder.dir, ...ports }));
  // Not the user's environment: their variables may name a real mailbox.
  const load = () => loadSettings({ path: folder.configPath, env: {}, readConfigFile });
  return { initial: load(), load, stamp: () => configFileStamp(folder.configPath) };
};

const deliverSamples = async (mailbox: EmbeddedMailbox): Promise<void> => {
  for (const mail of SAMPLES) await mailbox.deliver(mail);
};

/** Starts everything. Rejects with `AppError` when the packages for development are missing. */
export const startDemo = async (
  version: string,
  tell: (event: DemoEvent) => void,
): Promise<RunningDemo> => {
  await using owned = new AsyncDisposableStack();
  let keep = false;
  const folder = createDemoFolder();
  owned.defer(() => folder.close({ keep }));

  let isRunning = false;
  const tally = createTally(tell);
  const mailbox = await startMailbox((arrival) => tally.arrived(arrival, isRunning));
  owned.defer(() => mailbox.close());
  await deliverSamples(mailbox);

  const secret = `whsec_${Buffer.from(systemRandom.bytes(32)).toString("base64")}`;
  const receiver = await startReceiver(secret, tally.received);
  owned.defer(() => receiver.close());

  const addresses = { imapPort: mailbox.port, webhookPort: receiver.port };
  const config = configure(folder, { ...addresses, secret });
  const writeLog = (line: string): void => {
    folder.writeLog(line);
    tally.logged(line);
  };
  const system = createSystemPorts({ version, writeLog, droppedLogLines: () => 0 });
  owned.defer(() => system.close());
  const daemon = await startDaemon(
    { ...config, version, node: "demo", host: "demo", timing: TIMING },
    system.ports,
  );
  owned.defer(() => daemon.stop());
  owned.defer(announceDemo(mailbox.port));
  isRunning = true;

  const running = owned.move();
  return {
    ...addresses,
    httpPort: daemon.port,
    configPath: folder.configPath,
    logPath: folder.logPath,
    send: (mail) => mailbox.deliver(mail),
    counts: tally.counts,
    async stop({ keepFolder } = { keepFolder: false }) {
      keep = keepFolder;
      await running.disposeAsync();
    },
  };
};
