// Servers that fail, at each state of a session and in each way, for a while or for one message, and are
// well otherwise. All mail must come through. Run by fault-stage.ts, all of them beside each other.
import type { Socket } from "node:net";
import type { ScriptedCommand } from "../support/imap-script.ts";
import type { Fault, ScriptedState } from "../support/scripted-mailbox.ts";
import { HOSTILE_UID, begun, end, on, pour } from "./told-messages.ts";

/** One server; `make` gives it a memory of its own. */
export interface ServerFault {
  name: string;
  /** The fault is of the message with {@link HOSTILE_UID}, for ever; else of the server, for a while. */
  ofMessage: boolean;
  /** It holds a log-in up, and with it others of the same daemon: these servers have one of their own. */
  holdsLogin?: boolean;
  make(): {
    fault?: Fault;
    greeting?: (nth: number, socket: Socket) => string | null;
    /** What it tells of the hostile message in place of the truth. */
    told?: Readonly<Record<string, string>>;
    /** The server has been as bad as it will be. */
    isOver(): boolean;
  };
}

type Answer = (command: ScriptedCommand) => readonly string[];

/** Answers the first `times` commands of `state` by `answer`. */
const forAWhile = (
  name: string,
  state: ScriptedState,
  { times, answer }: { times: number; answer: Answer },
): ServerFault => ({
  name,
  ofMessage: false,
  make: () => {
    let used = 0;
    const fault: Fault = (command) => {
      if (command.state !== state || used >= times) return undefined;
      used += 1;
      return answer(command);
    };
    return { fault, isOver: () => used >= times };
  },
});

/** Greets the first `times` connections so. */
const badGreeting = (
  name: string,
  times: number,
  greet: (socket: Socket) => string | null,
): ServerFault => ({
  name,
  ofMessage: false,
  make: () => {
    let seen = 0;
    return {
      greeting: (nth, socket) => {
        seen = nth;
        return nth <= times ? greet(socket) : "* OK ready";
      },
      isOver: () => seen > times,
    };
  },
});

/** Says `lines` before and between all it has to say, for ever. */
const unsolicited = (name: string, lines: (command: ScriptedCommand) => readonly string[]) => ({
  name: `unsolicited: ${name}`,
  ofMessage: false,
  make: () => ({
    fault: ((command) =>
      command.usual.length === 0
        ? undefined
        : command.usual.flatMap((line) => [...lines(command), line])) satisfies Fault,
    isOver: () => true,
  }),
});

const ofMessage = (
  name: string,
  what: { fault?: Fault; told?: Readonly<Record<string, string>> },
): ServerFault => ({ name, ofMessage: true, make: () => ({ ...what, isOver: () => true }) });

const no =
  (text: string): Answer =>
  ({ tag }) => [`${tag} NO [${text}] not now`];
const bye = begun("* BYE that is enough\r\n", end);
const silence: Answer = () => [];
const anotherTag: Answer = () => ["another1 OK done"];

/** One byte a second, until the other side has had enough. */
const drip = (socket: Socket): void => {
  const timer = setInterval(() => socket.write("x"), 1000);
  socket.once("close", () => clearInterval(timer));
};
const dripping = begun("* 1 FETCH (UID 1 BODY[1]<0> {5000}\r\n", drip);

const STATES = ["LOGIN", "SELECT", "SEARCH", "METADATA", "BODY", "IDLE"] as const;
const REFUSALS = ["LIMIT", "UNAVAILABLE", "INUSE"] as const;

/** A refused IDLE is not asked for again on that connection. */
const timesOf = (state: ScriptedState): number => (state === "IDLE" ? 1 : 2);

const refused: readonly ServerFault[] = [
  ...REFUSALS.map((code) => badGreeting(`NO [${code}] as greeting`, 2, () => `* NO [${code}] x`)),
  badGreeting("BYE as greeting", 2, (socket) => {
    socket.end("* BYE come later\r\n");
    return null;
  }),
  ...STATES.flatMap((state) => [
    ...REFUSALS.map((code) =>
      forAWhile(`NO [${code}] to ${state}`, state, { times: timesOf(state), answer: no(code) }),
    ),
    forAWhile(`BYE at ${state}`, state, { times: 2, answer: bye }),
  ]),
];

const mute: readonly ServerFault[] = [
  badGreeting("says nothing as greeting", 1, () => null),
  ...(["LOGIN", "SEARCH", "METADATA", "BODY", "IDLE"] as const).map((state) =>
    forAWhile(`silence at ${state}`, state, { times: 1, answer: silence }),
  ),
  ...(["LOGIN", "SEARCH", "METADATA", "BODY"] as const).map((state) =>
    forAWhile(`another tag at ${state}`, state, { times: 1, answer: anotherTag }),
  ),
  forAWhile("one byte a second in a body, once", "BODY", { times: 1, answer: dripping }),
];

const endless: readonly ServerFault[] = [
  badGreeting("an endless greeting", 2, (socket) => {
    socket.write("* OK ");
    pour(socket);
    return null;
  }),
  ...(["LOGIN", "SELECT", "SEARCH"] as const).map((state) =>
    forAWhile(`an endless line at ${state}`, state, { times: 2, answer: begun("* OK ", pour) }),
  ),
];

const noisy: readonly ServerFault[] = [
  unsolicited("FETCH FLAGS", () => ["* 1 FETCH (FLAGS (\\Seen))", "* 2 FETCH (UID 2 FLAGS ())"]),
  unsolicited("EXPUNGE", () => ["* 1 EXPUNGE"]),
  unsolicited("EXISTS that falls", () => ["* 9 EXISTS", "* 0 EXISTS"]),
  unsolicited("words that nobody knows", () => [
    "* XYZZY plugh",
    "* OK [NONSENSE x] y",
    "* 7 WHAT",
  ]),
  unsolicited("lines that are no answers", () => ["hello", ")))", "", "* ", "* ("]),
  unsolicited("a FETCH for another UID", () => [
    "* 9 FETCH (UID 999 BODY[1]<0> {3}\r\nfoo)",
    '* 9 FETCH (UID 999 ENVELOPE NIL INTERNALDATE "24-Nov-2026 08:00:00 +0000" RFC822.SIZE 1)',
  ]),
  unsolicited("a body for a message that was asked for", () => [
    "* 1 FETCH (UID 1 BODY[1]<0> {3}\r\nfoo)",
  ]),
  {
    name: "every row of a FETCH twice",
    ofMessage: false,
    make: () => ({
      fault: ({ usual, uids }) =>
        uids.length === 0 ? undefined : [...usual.slice(0, -1), ...usual],
      isOver: () => true,
    }),
  },
];

/** More messages than there are, once, and then not a word of it. */
const tooMany = forAWhile("a SELECT that tells of four thousand million messages", "SELECT", {
  times: 1,
  answer: ({ tag }) => [
    ...["* 4294967295 EXISTS", "* OK [UIDVALIDITY 7] ok", "* OK [UIDNEXT 3] ok"],
    `${tag} OK done`,
  ],
});

const ofMessages: readonly ServerFault[] = [
  ofMessage("one byte a second in one body", { fault: on("BODY", dripping) }),
  ofMessage("INTERNALDATE that is no date", { told: { INTERNALDATE: '"when it came"' } }),
  ofMessage("a message that is listed and never shown", {
    fault: ({ usual, uids }) =>
      uids.includes(HOSTILE_UID)
        ? usual.filter((line) => !line.startsWith(`* ${HOSTILE_UID} FETCH`))
        : undefined,
  }),
];

/** Nothing is wrong with it but its neighbours: it is cut off when they have begun to hold log-ins up. */
export const NEIGHBOUR: ServerFault = {
  name: "a server that is well, beside those that hold log-ins up",
  ofMessage: false,
  holdsLogin: true,
  make: () => ({ isOver: () => true }),
};

const isOfLogin = ({ name }: ServerFault): boolean => /greeting|LOGIN/.test(name);

/** Every server of this kind. */
export const SERVER_FAULTS: readonly ServerFault[] = [
  ...[...refused, ...mute, ...endless].map((fault) => ({ ...fault, holdsLogin: isOfLogin(fault) })),
  ...noisy,
  tooMany,
  ...ofMessages,
  NEIGHBOUR,
];
