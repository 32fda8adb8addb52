// The two gates before any rule: senders of interest, and replies. Both look at the envelope only, so
// a message that they stop is never downloaded. Pure; the orchestrator asks once a message.
import type { Envelope } from "../core/message.ts";
import type { FilterReason } from "../core/outcome.ts";
import type { PollingSettings } from "../core/settings.ts";
import { isReply } from "./subject-group.ts";

/** The reasons for which a gate stops a message. */
export type GateReason = Extract<FilterReason, "sender" | "reply">;

const isOfInterest = (senders: readonly string[], { from }: Envelope): boolean => {
  if (senders.length === 0) return true;
  // The parsed address alone counts: a display name is whatever its sender likes it to be.
  const address = from[0]?.address?.trim().toLowerCase();
  return address !== undefined && senders.includes(address);
};

/**
 * Why the message is filtered, or null to go on. An empty list of senders lets everyone pass; any other
 * list stops a message without a From address. Replies are stopped only with `skip_replies`.
 */
export const gate = (
  polling: Pick<PollingSettings, "sendersOfInterest" | "skipReplies">,
  envelope: Envelope,
): GateReason | null => {
  if (!isOfInterest(polling.sendersOfInterest, envelope)) return "sender";
  return polling.skipReplies && isReply(envelope.subject ?? "") ? "reply" : null;
};
