// A small mailbox behind a fake IMAP server: it serves what it holds as a real server does, whole or in
// pieces, until a test says otherwise, for one message or for one command. For faults in the middle of
// otherwise good service.
import { type ImapScript, type ScriptedCommand, startImapScript } from "./imap-script.ts";

/** What a command asks for, as faults are placed. */
export type ScriptedState =
  | "LOGIN"
  | "SELECT"
  | "SEARCH"
  | "METADATA"
  | "HEADER"
  | "BODY"
  | "IDLE"
  | "OTHER";

/** A message it holds. */
interface ScriptedMessage {
  uid: number;
  raw: string;
  /** Attributes of FETCH that it tells otherwise than they are, as they stand in the answer. */
  told: Readonly<Record<string, string>>;
}

/** Answers in place of the usual lines (with the tag, without CRLF); undefined leaves them. */
export type Fault = (
  command: ScriptedCommand & { state: ScriptedState; usual: readonly string[]; uids: number[] },
) => readonly string[] | undefined;

/** A mailbox. */
export interface ScriptedMailbox extends Pick<
  ImapScript,
  "port" | "seen" | "connections" | "bytesSent" | "push" | "cut" | "stop"
> {
  /** Puts a plain message in and tells every client; its UID. */
  add(subject: string, told?: Readonly<Record<string, string>>): number;
}

const quoted = (text: string): string => `"${text}"`;

const rawOf = (subject: string): string =>
  [
    "From: Ann <ann@example.com>",
    "To: bob@example.com",
    `Subject: ${subject}`,
    "Date: Tue, 24 Nov 2026 09:00:00 +0100",
    "Content-Type: text/plain; charset=utf-8",
    "",
    `body of ${subject}`,
    "",
  ].join("\r\n");

const headerOf = (raw: string): string => raw.slice(0, raw.indexOf("\r\n\r\n") + 4);
const bodyOf = (raw: string): string => raw.slice(headerOf(raw).length);

const envelopeOf = (raw: string): string => {
  const value = (name: string): string => new RegExp(`^${name}: (.*)$`, "m").exec(raw)?.[1] ?? "";
  const ann = '(("Ann" NIL "ann" "example.com"))';
  const bob = '((NIL NIL "bob" "example.com"))';
  const [date, subject] = [value("Date"), value("Subject")].map(quoted);
  return `(${date} ${subject} ${ann} ${ann} ${ann} ${bob} NIL NIL NIL NIL)`;
};

const structureOf = (raw: string): string => {
  const body = bodyOf(raw);
  return `("TEXT" "PLAIN" ("CHARSET" "utf-8") NIL NIL "7BIT" ${body.length} 1 NIL NIL NIL NIL)`;
};

/** One BODY[section]<from.length> as it is answered. */
const sectionOf = (raw: string, item: RegExpMatchArray): string => {
  const [, section = "", from, length] = item;
  const upper = section.toUpperCase();
  if (!/^(?:|1|TEXT|HEADER.*)$/.test(upper)) return `BODY[${section}] NIL`;
  const whole = upper.startsWith("HEADER") ? headerOf(raw) : upper === "" ? raw : bodyOf(raw);
  const start = Number(from ?? 0);
  const piece = whole.slice(start, length === undefined ? undefined : start + Number(length));
  const origin = from === undefined ? "" : `<${from}>`;
  return `BODY[${section}]${origin} {${piece.length}}\r\n${piece}`;
};

const rowOf = (seq: number, { uid, raw, told }: ScriptedMessage, args: string): string => {
  const values: Readonly<Record<string, string>> = {
    ENVELOPE: envelopeOf(raw),
    BODYSTRUCTURE: structureOf(raw),
    INTERNALDATE: '"24-Nov-2026 08:00:00 +0000"',
    "RFC822.SIZE": String(raw.length),
    ...told,
  };
  const asked = Object.entries(values).filter(([name]) => args.includes(name));
  const sections = [...args.matchAll(/BODY(?:\.PEEK)?\[([^\]]*)\](?:<(\d+)\.(\d+)>)?/g)];
  const items = [
    `UID ${uid}`,
    ...asked.map(([name, value]) => `${name} ${value}`),
    ...sections.map((item) => sectionOf(raw, item)),
  ];
  return `* ${seq} FETCH (${items.join(" ")})`;
};

/** Is the UID in a set as `1:3,7` or `4:*`? */
const isIn = (set: string, uid: number, highest: number): boolean =>
  set.split(",").some((range) => {
    const ends = range.split(":").map((end) => (end === "*" ? highest : Number(end)));
    return uid >= Math.min(...ends) && uid <= Math.max(...ends);
  });

const stateOf = ({ name, args }: ScriptedCommand): ScriptedState => {
  if (name === "LOGIN" || name === "IDLE") return name;
  if (name === "SELECT" || name === "EXAMINE") return "SELECT";
  if (name === "UID SEARCH") return "SEARCH";
  if (name !== "UID FETCH") return "OTHER";
  if (/ENVELOPE|BODYSTRUCTURE/.test(args)) return "METADATA";
  return args.includes("[HEADER]") ? "HEADER" : "BODY";
};

/** Starts an empty mailbox; `greeting` is that of {@link startImapScript}. */
export const startScriptedMailbox = async (
  options: { fault?: Fault; greeting?: Parameters<typeof startImapScript>[0]["greeting"] } = {},
): Promise<ScriptedMailbox> => {
  const messages: ScriptedMessage[] = [];
  const { fault, greeting } = options;

  const found = (args: string): { message: ScriptedMessage; seq: number }[] => {
    // A search names sequence numbers besides, where it goes through a folder in windows.
    const uidKey = /(?:^| )UID (\S+)/i.exec(args);
    const rest = args.replace(uidKey?.[0] ?? "", "").trim();
    const set = uidKey?.[1] ?? rest.split(" ", 1)[0] ?? "";
    const sequence = uidKey === null || rest === "" ? "1:*" : rest;
    const highest = messages.at(-1)?.uid ?? 0;
    return messages.flatMap((message, index) =>
      isIn(set, message.uid, highest) && isIn(sequence, index + 1, messages.length)
        ? [{ message, seq: index + 1 }]
        : [],
    );
  };
  const usualOf = (command: ScriptedCommand, state: ScriptedState): readonly string[] => {
    const { tag, name, args } = command;
    const done = `${tag} OK done`;
    if (state === "SELECT") {
      const next = (messages.at(-1)?.uid ?? 0) + 1;
      const told = ["* OK [UIDVALIDITY 7] ok", `* OK [UIDNEXT ${next}] ok`];
      return [`* ${messages.length} EXISTS`, ...told, done];
    }
    if (state === "SEARCH") {
      const uids = found(args).map(({ message }) => message.uid);
      return [`* SEARCH${uids.map((uid) => ` ${uid}`).join("")}`, done];
    }
    if (name === "UID FETCH") {
      return [...found(args).map(({ message, seq }) => rowOf(seq, message, args)), done];
    }
    return [];
  };

  const script = await startImapScript({
    ...(greeting === undefined ? {} : { greeting }),
    reply: (command) => {
      const state = stateOf(command);
      const usual = usualOf(command, state);
      const uids =
        command.name === "UID FETCH" ? found(command.args).map(({ message }) => message.uid) : [];
      const instead = fault?.({ ...command, state, usual, uids });
      return instead ?? (usual.length > 0 ? usual : undefined);
    },
  });
  const { port, seen, connections, bytesSent, push, cut, stop } = script;
  return {
    ...{ port, seen, connections, bytesSent, push, cut, stop },
    add: (subject, told = {}) => {
      const uid = (messages.at(-1)?.uid ?? 0) + 1;
      messages.push({ uid, raw: rawOf(subject), told });
      push(`* ${messages.length} EXISTS`);
      return uid;
    },
  };
};
