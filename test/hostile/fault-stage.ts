// Where servers fail: a real daemon with a mailbox on each scripted server, all at once, because most of
// what happens is waiting. When all are connected the servers fall ill, cut the line, and get two messages;
// a third comes when they are well. All must come through, each once, without hammering the server.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { WEBHOOK_SECRET } from "../support/daemon-config.ts";
import type { LogLine } from "../support/daemon-process.ts";
import { type TestDaemon, createTestDaemon } from "../support/daemon.ts";
import { until } from "../support/deliveries.ts";
import { type ReceivedRequest, type Receiver, startReceiver } from "../support/receiver.ts";
import { type DaemonProbe, daemonProbe } from "./daemon-probe.ts";
import { MAILS, type Patient, createPatient } from "./patient.ts";
import { type Posted, faultsOf, outcomeOf, postedOf } from "./posted.ts";
import type { Row } from "./row.ts";
import { NEIGHBOUR, type ServerFault } from "./server-faults.ts";
import { cyclesIn } from "./cycles.ts";

/** For all of a row: two waits of a throttled mailbox, or two of a silent server, and what jitter adds. */
const PATIENCE_MS = 140_000;

/** For the third message, when nothing is wrong but one other message. */
const PATIENCE_WITH_MESSAGE_MS = 60_000;

/** How long nothing more may come, and how many commands a mailbox may cost in it. */
const AFTERMATH_MS = 1500;
const MAX_COMMANDS = 30;

/** By now those that hold log-ins up hold as many as there may be. */
const NEIGHBOUR_DELAY_MS = 5000;

/** Log-ins that a fault may cost: it comes twice at most, and each of three messages may die alone. */
const MAX_CONNECTIONS = 12;

/** The stage, ready; everything is under way. */
export interface FaultStage extends AsyncDisposable {
  /** The row of one server, once it is well and all mail has come. */
  rowOf(fault: ServerFault): Promise<Row>;
}

interface Parts {
  receiver: Receiver;
  daemon: TestDaemon;
  probe: DaemonProbe;
  /** Aborts when nobody wants rows any more. */
  closed: AbortSignal;
}

/** What became of all three, in a few words. */
const outcomeOfAll = (posts: readonly Posted[]): string =>
  [
    ...[...Map.groupBy(posts, outcomeOf)].map(([what, those]) => `${those.length} ${what}`),
    ...(posts.length < MAILS.length ? [`${MAILS.length - posts.length} still tried`] : []),
  ].join("; ");

/** Was the log-in of another server given up for its silence before mail of this one came? */
const waitedForOthers = (daemon: TestDaemon, id: string): boolean => {
  const isGivenUp = ({ event, code }: LogLine): boolean =>
    event === "mailbox.failed" && /timeout|timedout/i.test(String(code));
  const isMail = ({ event, mailbox }: LogLine): boolean =>
    event === "message.delivered" && mailbox === id;
  const first = daemon.lines.findIndex((line) => isGivenUp(line) || isMail(line));
  return !isMail(daemon.lines[first] ?? { time: "", level: "", event: "" });
};

/** Asks until the answer is yes, the time of the row is over or the stage is closed; what is wrong then. */
const createPatience = ({ closed }: Parts) => {
  const endMs = performance.now() + PATIENCE_MS;
  return async (what: string, isDone: () => boolean, mostMs = PATIENCE_MS): Promise<string[]> => {
    const leftMs = Math.max(0, Math.min(mostMs, endMs - performance.now()));
    const problem = await until(what, () => closed.aborted || isDone(), leftMs).then(
      () => [],
      () => [`not in time: ${what}`],
    );
    closed.throwIfAborted();
    return problem;
  };
};

/** What one patient's mail must have looked like in the end. */
const faultsIn = (
  { daemon }: Parts,
  { id, fault, connections }: Patient,
  end: { requestsOf: (uid: number) => ReceivedRequest[]; commands: number },
): string[] => {
  const { ofMessage } = fault;
  const posted = [1, 2, 3].map((uid) => end.requestsOf(uid));
  const isReduced = posted.map(([first]) => first && postedOf(first).data.unreadable !== null);
  // Nobody may lose content for what the server did; and the hostile message itself may still be tried.
  const isWhole = isReduced.every((reduced, index) => !reduced || (ofMessage && index === 0));
  const { commands } = end;
  return [
    ...posted.flatMap((requests, index) =>
      ofMessage && index === 0 && requests.length === 0
        ? []
        : faultsOf(`the ${MAILS[index]} mail`, requests),
    ),
    ...(commands > MAX_COMMANDS ? [`${commands} commands in ${AFTERMATH_MS} ms of rest`] : []),
    ...(fault === NEIGHBOUR && waitedForOthers(daemon, id) ? ["waited for others' log-ins"] : []),
    ...(isWhole ? [] : ["a message lost its content"]),
    ...(connections() > MAX_CONNECTIONS ? [`${connections()} connections`] : []),
  ];
};

/** Follows one patient from the moment it fell ill until all mail has come. */
const watch = async (parts: Parts, patient: Patient): Promise<Row> => {
  const { receiver, daemon, probe } = parts;
  const { id, fault, mailbox, isOver, connections } = patient;
  const requestsOf = (uid: number): ReceivedRequest[] =>
    receiver.requests.filter((request) => {
      const { data } = postedOf(request);
      return data.mailbox === id && data.uid === uid;
    });
  const patience = createPatience(parts);
  const inAll = cyclesIn(daemon, id, 0);
  const waiting = fault.ofMessage ? [2] : [1, 2];
  const first = await patience(
    "the mail that waited is settled",
    () => waiting.every(inAll.isSettled) && isOver(),
  );
  // The cycle that settled it ends.
  await sleep(100);
  const since = cyclesIn(daemon, id, daemon.lines.length);
  const addedMs = performance.now();
  const third = mailbox.add(MAILS[2]);
  const second = await patience(
    "the third mail is settled",
    () => since.isSettled(third),
    fault.ofMessage ? PATIENCE_WITH_MESSAGE_MS : PATIENCE_MS,
  );
  const commandsBefore = mailbox.seen.length;
  await sleep(AFTERMATH_MS);
  const commands = mailbox.seen.length - commandsBefore;
  parts.closed.throwIfAborted();
  const posts = [1, 2, third].flatMap((uid) => requestsOf(uid).slice(0, 1).map(postedOf));
  const came = posts.find(({ data }) => data.uid === third);
  const { peakBytes, turnMs } = probe.figures(daemon);
  return {
    ...{ name: fault.name, server: "scripted", outcome: outcomeOfAll(posts), peakBytes, turnMs },
    wireBytes: mailbox.bytesSent(),
    lateCycles: since.before(third),
    lateMs: came === undefined ? null : came.atMs - addedMs,
    isOvertaken: !inAll.isSettled(1) || inAll.before(third) <= inAll.before(1),
    connections: connections(),
    faults: [...first, ...second, ...faultsIn(parts, patient, { requestsOf, commands })],
  };
};

/** One daemon and its servers, ill from now on. */
const openWard = async (
  { stack, closed }: { stack: AsyncDisposableStack; closed: AbortSignal },
  faults: readonly ServerFault[],
): Promise<Map<ServerFault, Promise<Row>>> => {
  const receiver = await startReceiver({ secrets: [WEBHOOK_SECRET] });
  stack.defer(() => receiver.stop());
  const patients: Patient[] = [];
  for (const [index, fault] of faults.entries()) {
    const patient = await createPatient(fault, `fault-${index}`);
    stack.defer(() => patient.mailbox.stop());
    patients.push(patient);
  }
  const dir = mkdtempSync(path.join(tmpdir(), "signalpost-hostile-"));
  stack.defer(() => rmSync(dir, { recursive: true, force: true }));
  const probe = daemonProbe(path.join(dir, "largest-turn"));
  const daemon = stack.use(
    createTestDaemon({
      mailboxes: patients.map(({ id, mailbox: { port } }) => ({
        id,
        port,
        user: id,
        password: "p",
      })),
      webhook: { url: receiver.url },
      limits: { message_timeout_seconds: 5 },
      env: probe.env,
    }),
  );
  await daemon.start();
  const contacts = (): number => daemon.events("mailbox.first_contact").length;
  await until("every mailbox has its baseline", () => contacts() === patients.length);
  await probe.begin(daemon);
  const parts = { receiver, daemon, probe, closed };
  const begin = async (patient: Patient): Promise<Row> => {
    if (patient.fault === NEIGHBOUR) await sleep(NEIGHBOUR_DELAY_MS);
    patient.fallIll();
    return await watch(parts, patient).finally(patient.recover);
  };
  const rows = new Map(patients.map((patient) => [patient.fault, begin(patient)]));
  // Rows that nobody asks for may fail when the stage is closed.
  for (const row of rows.values()) row.catch(() => undefined);
  return rows;
};

/** Starts these servers and two daemons: log-ins that hang must not blur what the others show. */
export const openFaultStage = async (faults: readonly ServerFault[]): Promise<FaultStage> => {
  await using stack = new AsyncDisposableStack();
  const end = new AbortController();
  const groups = [false, true]
    .map((holds) => faults.filter(({ holdsLogin = false }) => holdsLogin === holds))
    .filter((group) => group.length > 0);
  const ward = { stack, closed: end.signal };
  const wards = await Promise.all(groups.map((group) => openWard(ward, group)));
  stack.defer(() => end.abort(new Error("the stage was closed")));
  const rows = new Map(wards.flatMap((some) => [...some]));
  const owned = stack.move();
  return {
    rowOf: (fault) => rows.get(fault) ?? Promise.reject(new Error(`no server: ${fault.name}`)),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
};
