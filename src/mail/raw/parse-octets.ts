// A message out of its octets, with the text that the usual way of reading would have made of it: the
// same plan, the same caps, the same decoding. Runs in the worker thread, which calls it once.
import type { Limits } from "../../core/limits.ts";
import type { Truncation } from "../../core/message.ts";
import { assembleBody } from "../body.ts";
import { planFetch } from "../fetch-plan.ts";
import type { RawMessage, RawOctets } from "./raw-message.ts";
import { splitMessage } from "./split-message.adapter.ts";

/**
 * The message that these octets are, within the limits but for time and memory, which the thread bounds.
 * Rejects with `UnparsableError` when not even one part can be told.
 */
export const parseOctets = async (octets: RawOctets, limits: Limits): Promise<RawMessage> => {
  const { structure, parts, moreParts } = await splitMessage(octets, limits);
  const plan = planFetch(structure, limits);
  const { text, html, truncated: cut } = assembleBody(plan, parts, limits);
  const truncated = new Set<Truncation>([...plan.truncated, ...cut]);
  if (moreParts) truncated.add("attachments");
  if (moreParts && text === null && html === null) truncated.add("text").add("html");
  return {
    text,
    html,
    attachments: plan.attachments.map((attachment) => ({ ...attachment, part: "" })),
    truncated: [...truncated],
  };
};
