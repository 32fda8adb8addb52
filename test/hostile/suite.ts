// The whole hostile-mail suite: its cases by name, and the stages they run on, set at the same time. Used
// by hostile.test.ts, a test a case, and by scripts/hostile.ts, which prints the table.
import { type FaultStage, openFaultStage } from "./fault-stage.ts";
import { type MailStage, openMailStage } from "./mail-stage.ts";
import { HOSTILE_MAILS, type HostileMail } from "./mails.ts";
import type { Row } from "./row.ts";
import { SERVER_FAULTS, type ServerFault } from "./server-faults.ts";
import { TOLD_MESSAGES, type ToldMessage } from "./told-messages.ts";

/** The stages, as far as cases need them; servers begin to fail as soon as they are set. */
export interface Stages extends AsyncDisposable {
  mails: MailStage | null;
  faults: FaultStage | null;
}

/** One case: a message through Dovecot, one that a server tells, or a server that fails. */
export type Case = { name: string } & (
  | { kind: "mail"; mail: HostileMail }
  | { kind: "told"; message: ToldMessage }
  | { kind: "fault"; fault: ServerFault }
);

/** All cases, those of servers last, because they have been under way meanwhile. */
export const CASES: readonly Case[] = [
  ...HOSTILE_MAILS.map((mail) => ({ kind: "mail" as const, name: mail.name, mail })),
  ...TOLD_MESSAGES.map((message) => ({ kind: "told" as const, name: message.name, message })),
  ...SERVER_FAULTS.map((fault) => ({ kind: "fault" as const, name: fault.name, fault })),
];

/** Runs a case. Those of messages one after the other, in the order of the list. */
export const runCase = async ({ mails, faults }: Stages, one: Case): Promise<Row> => {
  if (one.kind === "fault" && faults !== null) return await faults.rowOf(one.fault);
  if (one.kind === "mail" && mails !== null) return await mails.runMail(one.mail);
  if (one.kind === "told" && mails !== null) return await mails.runTold(one.message);
  throw new Error(`no stage was set for ${one.name}`);
};

/** Sets what these cases need. */
export const openStages = async (cases: readonly Case[]): Promise<Stages> => {
  await using stack = new AsyncDisposableStack();
  const ill = cases.flatMap((one) => (one.kind === "fault" ? [one.fault] : []));
  const faults = ill.length === 0 ? null : stack.use(await openFaultStage(ill));
  const mails = ill.length === cases.length ? null : stack.use(await openMailStage());
  const owned = stack.move();
  return { mails, faults, [Symbol.asyncDispose]: () => owned.disposeAsync() };
};
