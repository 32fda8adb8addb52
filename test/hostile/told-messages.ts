// Messages of which a scripted server tells what no real one would: structures that are none, sizes that
// lie, answers that never end. Each is one message among good ones; the server itself is well. Run by
// mail-stage.ts.
import type { Socket } from "node:net";
import type { ScriptedCommand } from "../support/imap-script.ts";
import type { Fault, ScriptedState } from "../support/scripted-mailbox.ts";

/** One message; `told` in place of the truth, `fault` in place of answers to commands that name it. */
export interface ToldMessage {
  name: string;
  told?: Readonly<Record<string, string>>;
  fault?: Fault;
  /** Stands in the payload if it is delivered; default: its text. */
  shows?: string;
}

/** The first message of a scripted mailbox is the hostile one. */
export const HOSTILE_UID = 1;

const structure = (size: string): string =>
  `("TEXT" "PLAIN" ("CHARSET" "utf-8") NIL NIL "7BIT" ${size} 1 NIL NIL NIL NIL)`;

/** Multiparts in one another. */
const nested = (depth: number): string =>
  "(".repeat(depth) + structure("9") + ' "MIXED")'.repeat(depth);

/** Three parts where the message has one. */
const UNTRUE_PARTS = `(${structure("9").repeat(3)} "MIXED")`;

/** Writes and writes, no line end, until the other side has had enough (or half a gigabyte). */
export const pour = (socket: Socket): void => {
  const chunk = Buffer.alloc(64 * 1024, "x");
  let left = 8192;
  const more = (): void => {
    for (let isFlowing = true; isFlowing && left > 0 && !socket.destroyed; left -= 1) {
      isFlowing = socket.write(chunk);
    }
    if (left > 0 && !socket.destroyed) socket.once("drain", more);
  };
  more();
};

/** Answers a command of `state` that names the hostile message by `answer`. */
export const on =
  (state: ScriptedState, answer: (command: ScriptedCommand) => readonly string[]): Fault =>
  (command) =>
    command.state === state && command.uids.includes(HOSTILE_UID) ? answer(command) : undefined;

/** Says `text` as it is, and goes on by itself. */
export const begun =
  (text: string, go: (socket: Socket) => void = () => {}) =>
  ({ socket }: ScriptedCommand): readonly string[] => {
    socket.write(text);
    go(socket);
    return [];
  };

/** Hangs up. */
export const end = (socket: Socket): void => void socket.end();

/** Every message of this kind. */
export const TOLD_MESSAGES: readonly ToldMessage[] = [
  { name: "BODYSTRUCTURE NIL", told: { BODYSTRUCTURE: "NIL" } },
  { name: "BODYSTRUCTURE of nothing", told: { BODYSTRUCTURE: "()" } },
  { name: "BODYSTRUCTURE a string", told: { BODYSTRUCTURE: '"TEXT"' } },
  { name: "BODYSTRUCTURE half a list", told: { BODYSTRUCTURE: '(("TEXT" "PLAIN" NIL' } },
  { name: "BODYSTRUCTURE a list too much", told: { BODYSTRUCTURE: `${structure("9")})` } },
  { name: "BODYSTRUCTURE of numbers", told: { BODYSTRUCTURE: "(1 2 (3 4) 5)" } },
  { name: "BODYSTRUCTURE nested 150 deep", told: { BODYSTRUCTURE: nested(150) } },
  { name: "BODYSTRUCTURE nested 20,000 deep", told: { BODYSTRUCTURE: nested(20_000) } },
  { name: "BODYSTRUCTURE with parts that are not there", told: { BODYSTRUCTURE: UNTRUE_PARTS } },
  { name: "BODYSTRUCTURE size 0", told: { BODYSTRUCTURE: structure("0") } },
  { name: "BODYSTRUCTURE size 2 GB", told: { BODYSTRUCTURE: structure("2147483648") } },
  { name: "BODYSTRUCTURE size negative", told: { BODYSTRUCTURE: structure("-1") } },
  { name: "ENVELOPE NIL", told: { ENVELOPE: "NIL" } },
  { name: "ENVELOPE of nothing", told: { ENVELOPE: "()" } },
  { name: "ENVELOPE of the wrong kinds", told: { ENVELOPE: "(1 (2) 3 4 5 6 7 8 9 10)" } },
  { name: "size 0", told: { "RFC822.SIZE": "0" } },
  { name: "size 2 GB", told: { "RFC822.SIZE": "2147483648" } },
  { name: "size negative", told: { "RFC822.SIZE": "-1" } },
  { name: "size no number", told: { "RFC822.SIZE": "many" } },
  {
    name: "NUL octets and half characters in the body",
    shows: "body",
    fault: on("BODY", ({ tag }) => [
      "* 1 FETCH (UID 1 BODY[1]<0> {12}\r\nb\0o\0dy\0\u00c3\0\u00ed\u00a0\u0080)",
      `${tag} OK done`,
    ]),
  },
  {
    name: "a literal of 2 GB in the metadata",
    told: { ENVELOPE: "(NIL {2147483648}\r\nx" },
  },
  {
    name: "a literal of 2 GB in the body",
    fault: on("BODY", begun("* 1 FETCH (UID 1 BODY[1]<0> {2147483648}\r\n", pour)),
  },
  {
    name: "an endless line in the metadata",
    fault: on("METADATA", begun('* 1 FETCH (UID 1 ENVELOPE (NIL "', pour)),
  },
  {
    name: "an endless line in the body",
    fault: on("BODY", begun('* 1 FETCH (UID 1 BODY[1]<0> "', pour)),
  },
  {
    name: "a body literal whose server hangs up in the middle",
    fault: on("BODY", begun("* 1 FETCH (UID 1 BODY[1]<0> {100}\r\nbody", end)),
  },
  {
    name: "a body that is longer than its literal says",
    shows: "body",
    fault: on("BODY", ({ tag }) => [
      "* 1 FETCH (UID 1 BODY[1]<0> {4}\r\nbody and more)",
      `${tag} OK done`,
    ]),
  },
  {
    name: "BYE whenever its metadata is asked for",
    fault: on("METADATA", begun("* BYE not that one\r\n", end)),
  },
  {
    name: "BYE whenever its body is asked for",
    fault: on("BODY", begun("* BYE not that one\r\n", end)),
  },
  {
    name: "NO whenever its metadata is asked for",
    fault: on("METADATA", ({ tag }) => [`${tag} NO [SERVERBUG] not that one`]),
  },
  {
    name: "NO whenever its body is asked for",
    fault: on("BODY", ({ tag }) => [`${tag} NO [SERVERBUG] not that one`]),
  },
];
