// Where hostile messages are measured one after the other: one real daemon, one mailbox of it on a real
// Dovecot behind a relay that counts octets, one more for each message that only a scripted server can
// tell. After each hostile message a good one comes; both must come through, within the bars of row.ts.
import path from "node:path";
import { WEBHOOK_SECRET } from "../support/daemon-config.ts";
import { type TestDaemon, startTestDaemon } from "../support/daemon.ts";
import { until } from "../support/deliveries.ts";
import { type Dovecot, startDovecot } from "../support/dovecot.ts";
import { type ReceivedRequest, type Receiver, startReceiver } from "../support/receiver.ts";
import { type Relay, startRelay } from "../support/relay.ts";
import { type ScriptedMailbox, startScriptedMailbox } from "../support/scripted-mailbox.ts";
import { cyclesIn } from "./cycles.ts";
import { type DaemonProbe, daemonProbe } from "./daemon-probe.ts";
import { type HostileMail, goodMail } from "./mails.ts";
import { faultsOf, outcomeOf, postedOf, textsOf } from "./posted.ts";
import type { Row } from "./row.ts";
import { TOLD_MESSAGES, type ToldMessage } from "./told-messages.ts";

const USER = "hostile";
/** Names the mailbox on Dovecot. */
const REAL = "dovecot";

/** How long both messages of a case may take: what is never settled is lost. */
const PATIENCE_MS = 75_000;

/** The stage, ready. */
export interface MailStage extends AsyncDisposable {
  /** Sends one of mails.ts through Dovecot, and a good mail behind it. */
  runMail(mail: HostileMail): Promise<Row>;
  /** Lets the scripted server tell of one message, and of a good one behind it. */
  runTold(message: ToldMessage): Promise<Row>;
}

interface Parts {
  dovecot: Dovecot;
  relay: Relay;
  receiver: Receiver;
  scripted: ReadonlyMap<string, ScriptedMailbox>;
  daemon: TestDaemon;
  probe: DaemonProbe;
}

/** A case as it is measured. */
interface Case {
  name: string;
  server: Row["server"];
  mailbox: string;
  /** UIDs of the hostile and the good message. */
  uids: readonly [hostile: number, good: number];
  /** Stands in the payload of the hostile message when that is delivered. */
  shows: string;
  send(): Promise<void>;
  wireBytes(): number;
  connections(): number;
}

const requestsFor = (receiver: Receiver, mailbox: string, uid: number): ReceivedRequest[] =>
  receiver.requests.filter((request) => {
    const { data } = postedOf(request);
    return data.mailbox === mailbox && data.uid === uid;
  });

/** Runs a case; `controlMs` is how long a good mail takes without a hostile one. */
const measure = async (
  { daemon, probe, receiver }: Parts,
  one: Case,
  controlMs: number | null,
): Promise<Row> => {
  const { mailbox, uids, wireBytes, connections } = one;
  const [hostile, good] = uids;
  await probe.begin(daemon);
  const before = { wire: wireBytes(), connections: connections() };
  const { isSettled, before: cyclesBefore } = cyclesIn(daemon, mailbox, daemon.lines.length);
  await one.send();
  const sentMs = performance.now();
  const late = await until("both messages are settled", () => uids.every(isSettled), PATIENCE_MS)
    .then(() => [])
    .catch((error: Error) => [error.message]);
  const { peakBytes, turnMs, readBytes } = probe.figures(daemon);
  const goodRequests = requestsFor(receiver, mailbox, good);
  const hostileRequests = requestsFor(receiver, mailbox, hostile);
  const [hostilePost, goodPost] = [hostileRequests[0], goodRequests[0]].map((request) =>
    request === undefined ? null : postedOf(request),
  );
  const isWhole = hostilePost?.data.unreadable !== null || textsOf(hostilePost).includes(one.shows);
  const isGoodWhole = goodPost?.data.unreadable === null && goodPost.data.text !== "";
  return {
    name: one.name,
    server: one.server,
    outcome: hostilePost ? outcomeOf(hostilePost) : "nothing came",
    peakBytes,
    // What lay in the system's buffers when a connection ended was sent and never read.
    wireBytes: Math.min(wireBytes() - before.wire, readBytes),
    turnMs,
    lateCycles: cyclesBefore(good),
    lateMs: goodPost && controlMs !== null ? goodPost.atMs - sentMs - controlMs : null,
    isOvertaken: cyclesBefore(good) <= cyclesBefore(hostile),
    connections: connections() - before.connections,
    faults: [
      ...late,
      ...faultsOf("the message", hostileRequests),
      ...faultsOf("the good mail", goodRequests),
      ...(isWhole ? [] : ["delivered without its content"]),
      ...(isGoodWhole ? [] : ["the good mail is not whole"]),
    ],
  };
};

const setUp = async (stack: AsyncDisposableStack): Promise<Parts> => {
  const dovecot = stack.use(await startDovecot());
  const relay = stack.use(await startRelay(dovecot.port));
  const receiver = await startReceiver({ secrets: [WEBHOOK_SECRET] });
  stack.defer(() => receiver.stop());
  const scripted = new Map<string, ScriptedMailbox>();
  for (const { name, fault } of TOLD_MESSAGES) {
    const mailbox = await startScriptedMailbox(fault === undefined ? {} : { fault });
    stack.defer(() => mailbox.stop());
    scripted.set(name, mailbox);
  }
  const probe = daemonProbe(path.join(path.dirname(dovecot.logFile), "largest-turn"));
  const { password } = dovecot;
  const daemon = stack.use(
    await startTestDaemon({
      mailboxes: [
        { id: REAL, port: relay.port, user: USER, password },
        ...[...scripted.values()].map(({ port }, index) => ({
          ...{ id: `scripted-${index}`, port, user: `u${index}`, password },
        })),
      ],
      webhook: { url: receiver.url },
      // News comes by IDLE; looks in between would only blur the figures.
      polling: { interval_seconds: 20 },
      env: probe.env,
    }),
  );
  const contacts = (): number => daemon.events("mailbox.first_contact").length;
  await until("every mailbox has its baseline", () => contacts() === scripted.size + 1);
  return { dovecot, relay, receiver, scripted, daemon, probe };
};

/** Sets the stage: one daemon for all cases of this kind. */
export const openMailStage = async (): Promise<MailStage> => {
  await using stack = new AsyncDisposableStack();
  const parts = await setUp(stack);
  const { dovecot, relay, scripted } = parts;
  let lastUid = 0;
  const throughDovecot = ({ name, build, shows = "" }: HostileMail): Case => {
    const uids = [lastUid + 1, lastUid + 2] as const;
    lastUid += 2;
    return {
      ...{ name, server: "Dovecot", mailbox: REAL, uids },
      shows,
      send: () => dovecot.deliver(USER, [build(), goodMail(`good ${uids[1]}`)]),
      wireBytes: relay.bytesDown,
      connections: relay.connections,
    };
  };
  let controlMs: number | null = 0;
  // Twice, because the first mail of a process compiles what handles it.
  for (const name of ["warm-up", "control"]) {
    const row = await measure(parts, throughDovecot({ name, build: () => goodMail(name) }), 0);
    controlMs = row.lateMs;
  }
  const owned = stack.move();
  return {
    runMail: (mail) => measure(parts, throughDovecot(mail), controlMs),
    runTold: ({ name, told, shows = "body of hostile" }) => {
      const index = TOLD_MESSAGES.findIndex((message) => message.name === name);
      const mailbox = scripted.get(name);
      if (mailbox === undefined) throw new Error(`no such message: ${name}`);
      const one: Case = {
        ...{ name, server: "scripted", mailbox: `scripted-${index}`, uids: [1, 2], shows },
        send: async () => {
          mailbox.add("hostile", told);
          mailbox.add("good");
        },
        wireBytes: mailbox.bytesSent,
        connections: mailbox.connections,
      };
      return measure(parts, one, 0);
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
};
