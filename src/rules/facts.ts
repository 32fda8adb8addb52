// What the rules may look at of a message, as the rules see it: addresses as they were parsed, texts of
// bounded length, so that an expression costs what it costs and no more. Made by the orchestrator from metadata alone, and again once the body is there.
import { MAX_RULE_BODY_CHARS, MAX_RULE_TEXT_CHARS } from "../core/limits.ts";
import type { Message } from "../core/message.ts";

/** The fields that conditions name (DESIGN section 8). */
export interface Facts {
  mailbox: string;
  /** The first From address in lower case, never a display name; null: the message has none. */
  sender: string | null;
  /** Its first {@link MAX_RULE_TEXT_CHARS} characters; empty when the message has none. */
  subject: string;
  /** Every To and Cc address, each as it is. */
  to: readonly string[];
  /** Names in lower case, every value, each to its first {@link MAX_RULE_TEXT_CHARS} characters. */
  headers: ReadonlyMap<string, readonly string[]>;
  hasAttachment: boolean;
  /**
   * Text and HTML, each to its first {@link MAX_RULE_BODY_CHARS} characters. Null: not read, so no
   * condition on the body holds.
   */
  body: string | null;
}

/** What facts are made of; a message, or metadata with the attachments its structure lists. */
export type FactSource = Pick<
  Message,
  "mailbox" | "envelope" | "headers" | "attachments" | "text" | "html"
>;

/** Text and HTML, each as far as rules look, joined by a newline; null when there is neither. */
const bodyOf = ({ text, html }: FactSource): string | null => {
  const seen = [text, html].flatMap((part) =>
    part === null ? [] : [part.slice(0, MAX_RULE_BODY_CHARS)],
  );
  return seen.length === 0 ? null : seen.join("\n");
};

const capped = (text: string): string => text.slice(0, MAX_RULE_TEXT_CHARS);

/** The facts of a message; what is cut here is cut for the rules alone (DESIGN section 8). */
export const factsOf = (source: FactSource): Facts => {
  const { mailbox, envelope, headers, attachments } = source;
  return {
    mailbox,
    sender: envelope.from[0]?.address?.toLowerCase() ?? null,
    subject: capped(envelope.subject ?? ""),
    to: [...envelope.to, ...envelope.cc].flatMap(({ address }) => address ?? []),
    headers: new Map([...headers].map(([name, values]) => [name, values.map(capped)])),
    hasAttachment: attachments.length > 0,
    body: bodyOf(source),
  };
};
