// A scripted server that falls ill: well until it is told to, then it cuts the line and fails as its fault
// says, while mail comes in. Run by fault-stage.ts.
import { type ScriptedMailbox, startScriptedMailbox } from "../support/scripted-mailbox.ts";
import type { ServerFault } from "./server-faults.ts";

/** Subjects of what comes: two when the server falls ill, one later. */
export const MAILS = ["first", "second", "third"] as const;

/** A server and its mailbox; ill from `fallIll` to `recover`. */
export interface Patient {
  id: string;
  fault: ServerFault;
  mailbox: ScriptedMailbox;
  isOver(): boolean;
  fallIll(): void;
  /** Its row is written: what it still does must not blur the others'. */
  recover(): void;
  /** Since it fell ill. */
  connections(): number;
}

/** A server with this fault, well at first, and its mailbox `id`, empty at first. */
export const createPatient = async (fault: ServerFault, id: string): Promise<Patient> => {
  const server = fault.make();
  let isIll = false;
  let connectedBefore = 0;
  const mailbox = await startScriptedMailbox({
    fault: (command) => (isIll ? server.fault?.(command) : undefined),
    greeting: (nth, socket) =>
      isIll && server.greeting !== undefined
        ? server.greeting(nth - connectedBefore, socket)
        : "* OK ready",
  });
  return {
    ...{ id, fault, mailbox, isOver: server.isOver },
    recover: () => {
      isIll = false;
    },
    fallIll: () => {
      isIll = true;
      connectedBefore = mailbox.connections();
      mailbox.add(MAILS[0], server.told);
      mailbox.add(MAILS[1]);
      mailbox.cut();
    },
    connections: () => mailbox.connections() - connectedBefore,
  };
};
