// What the demo shows: the introduction, a block for each webhook, the sum at the end. Pure; everything
// that comes out of a mail is made harmless for the terminal first. Called by the command.
import { printable } from "../terminal.ts";
import type {
  Counts,
  DemoAddresses,
  DemoEvent,
  EventData,
  VerifiedWebhook,
} from "./running-demo.ts";

/** Puts emphasis on a text, where colours are wanted. */
export interface Paint {
  bold(text: string): string;
  dim(text: string): string;
  good(text: string): string;
  bad(text: string): string;
}

/** Colours by ANSI escape codes, or none. */
export const createPaint = (isColoured: boolean): Paint => {
  const by =
    (code: number) =>
    (text: string): string =>
      isColoured ? `\u001b[${code}m${text}\u001b[0m` : text;
  return { bold: by(1), dim: by(2), good: by(32), bad: by(31) };
};

const MAX_CHARS = 100;

/** A text of a mail on one line of the terminal. */
const oneLine = (text: string): string => {
  const chars = Array.from(printable(text.replace(/\s+/g, " ").trim()));
  return chars.length <= MAX_CHARS ? chars.join("") : `${chars.slice(0, MAX_CHARS).join("")}…`;
};

const amount = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? "" : "s"}`;

/** `640 bytes`, `12 kB`, `1.3 MB`. */
const sizeText = (bytes: number): string => {
  if (bytes < 1000) return amount(bytes, "byte");
  return bytes < 1_000_000 ? `${Math.round(bytes / 1000)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
};

const senderText = ({ from }: EventData): string => {
  const { name, address } = from ?? { name: null, address: null };
  return `${name ?? ""} ${address === null ? "" : `<${address}>`}`.trim() || "nobody";
};

/** What a mail holds, and what the rules made of it. */
const detailsOf = (data: EventData): string[] => {
  const { size, text, html, truncated, links, attachments, rule } = data;
  const kinds = [...(text === null ? [] : ["text"]), ...(html === null ? [] : ["html"])];
  const cut = truncated.length === 0 ? "" : ` (${truncated.join(" and ")} cut at the limit)`;
  return [
    `${[...kinds, sizeText(size)].join(", ")}${cut}`,
    ...links.map(({ provider, url }) => `${provider} link ${oneLine(url)}`),
    ...attachments.map(
      ({ filename, size: bytes }) => `${oneLine(filename ?? "attachment")} (${sizeText(bytes)})`,
    ),
    ...(rule === null ? [] : [`rule "${oneLine(rule.name)}", priority ${rule.priority}`]),
  ];
};

const headline = (mark: string, mail: { subject: string; from: string }, paint: Paint): string =>
  `${mark} ${paint.bold(oneLine(mail.subject) || "(no subject)")}  ${paint.dim("from")} ` +
  oneLine(mail.from);

const webhookBlock = (webhook: VerifiedWebhook, paint: Paint): string => {
  const { id, destination, data, delayMs } = webhook;
  const delay = delayMs === null ? "" : paint.bold(`  ${Math.round(delayMs)} ms after it arrived`);
  const mail = { subject: data.subject ?? "", from: senderText(data) };
  return [
    headline(paint.good("✔"), mail, paint),
    `  ${detailsOf(data).join(" · ")}`,
    `  ${paint.dim("webhook-id")} ${id} ${paint.dim("to")} ${destination}  ` +
      `${paint.good("signature verified")}${delay}\n`,
  ].join("\n");
};

const REASONS: Readonly<Record<string, string>> = {
  rule_drop: "a rule drops it",
  sender: "its sender is not of interest",
  reply: "it is a reply",
};

/** One event as the lines that tell it. */
export const eventText = (event: DemoEvent, paint: Paint): string => {
  switch (event.kind) {
    case "webhook":
      return webhookBlock(event, paint);
    case "filtered": {
      const reason = REASONS[event.reason] ?? event.reason;
      return `${headline(paint.dim("–"), event.arrival, paint)}\n  filtered, no webhook: ${reason}\n`;
    }
    case "refused":
      return paint.bad("✘ A webhook came in whose signature is wrong; it was answered with 401.");
    case "warning":
      return paint.bad(`! ${event.event} (more in the log)`);
  }
};

/** The first lines: what happens here and where to look at it. */
export const introduction = (at: DemoAddresses, mails: number, paint: Paint): string => {
  const { imapPort, webhookPort, httpPort, configPath, logPath } = at;
  const row = (name: string, text: string): string => `  ${paint.dim(name.padEnd(10))}${text}`;
  return [
    paint.bold(
      "This demo runs the real Signalpost between a mailbox and a receiver on this machine: every mail\n" +
        "becomes one signed webhook.",
    ),
    "",
    row("mailbox", `imap://127.0.0.1:${imapPort}/INBOX, ${amount(mails, "sample mail")} in it`),
    row("receiver", `http://127.0.0.1:${webhookPort}/webhook, checks every signature`),
    ...(httpPort === null
      ? []
      : [row("status", `http://127.0.0.1:${httpPort}/api/v1/status, and /readyz, /metrics`)]),
    row("config", `${configPath} (open it, change it)`),
    row("log", logPath),
    "",
  ].join("\n");
};

/** What a user can do now. */
export const invitation = (hasKeyboard: boolean, configPath: string, paint: Paint): string => {
  const here = [
    `Send a mail yourself: ${paint.bold("Enter")} for a sample, or type ` +
      `${paint.bold("send Hello world")}. ${paint.bold("q")} or Ctrl-C leaves.`,
    `From another terminal: bin/signalpost demo send "Hello world"`,
  ];
  const elsewhere = [
    `Send a mail from another terminal: bin/signalpost demo send "Hello world"`,
    "Ctrl-C or SIGTERM ends the demo.",
  ];
  return [
    ...(hasKeyboard ? here : elsewhere),
    `What became of each mail: bin/signalpost receipts --config ${configPath}`,
    "",
  ].join("\n");
};

/** `7 mails in, 6 verified webhooks out, 1 filtered`. */
export const sumText = ({ mails, webhooks, filtered, refused }: Counts): string =>
  [
    `${amount(mails, "mail")} in`,
    `${amount(webhooks, "verified webhook")} out`,
    `${filtered} filtered`,
    ...(refused === 0 ? [] : [`${refused} with a wrong signature`]),
  ].join(", ");
