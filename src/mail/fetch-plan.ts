// From a message's structure to what is fetched of it: the text parts, in order, and a list of
// everything else. Pure, iterative, and bounded whatever the structure is; the orchestrator calls it
// once a message, before anything of the body is read.
import { type Limits, capText } from "../core/limits.ts";
import type { Attachment, BodyNode, Truncation } from "../core/message.ts";

/** A part whose text becomes part of the message. */
export interface TextPart {
  part: string;
  kind: "text" | "html";
  /** Transfer encoding, lower case. */
  encoding: string;
  charset: string | null;
  /** Octets as transferred, as the server counts them. */
  sizeBytes: number;
}

/** What to fetch of a message and what to tell of the rest. */
export interface FetchPlan {
  /** In the order of the message. */
  texts: readonly TextPart[];
  attachments: readonly Attachment[];
  truncated: readonly Truncation[];
  /** Multiparts are nested deeper than `maxNesting`: the structure cannot be trusted. */
  tooDeep: boolean;
}

const KINDS: ReadonlyMap<string, TextPart["kind"]> = new Map([
  ["text/plain", "text"],
  ["text/html", "html"],
]);

/** The leaves in the order of the message, within the limits; `cut` when some were not looked at. */
const leavesOf = (
  root: BodyNode,
  limits: Limits,
): { leaves: BodyNode[]; cut: boolean; tooDeep: boolean } => {
  const leaves: BodyNode[] = [];
  const waiting: { node: BodyNode; depth: number }[] = [{ node: root, depth: 0 }];
  let tooDeep = false;
  for (let seen = 0; seen < limits.maxParts; seen += 1) {
    const next = waiting.pop();
    if (next === undefined) return { leaves, cut: false, tooDeep };
    const { node, depth } = next;
    // Only multiparts are entered: what an attached message contains belongs to that message.
    if (!node.type.startsWith("multipart/")) leaves.push(node);
    else if (depth >= limits.maxNesting) tooDeep ||= node.children.length > 0;
    else {
      for (const child of node.children.slice(0, limits.maxParts).toReversed()) {
        waiting.push({ node: child, depth: depth + 1 });
      }
    }
  }
  return { leaves, cut: waiting.length > 0, tooDeep };
};

/**
 * What to fetch of a message with this structure (DESIGN section 7 for the limits, section 8 for what
 * counts as its text). `truncated` may name `text`, `html`, `attachments` and `names`.
 */
export const planFetch = (structure: BodyNode, limits: Limits): FetchPlan => {
  const { leaves, cut, tooDeep } = leavesOf(structure, limits);
  const texts: TextPart[] = [];
  const attachments: Attachment[] = [];
  const truncated = new Set<Truncation>(cut ? ["attachments"] : []);

  const cap = <T extends string | null>(text: T): T | string => {
    if (text === null) return text;
    const capped = capText(text, limits.maxNameChars);
    if (capped.length < text.length) truncated.add("names");
    return capped;
  };

  for (const node of leaves) {
    const { part, encoding, charset, sizeBytes, disposition } = node;
    const kind = disposition?.toLowerCase() === "attachment" ? undefined : KINDS.get(node.type);
    if (kind !== undefined) {
      if (texts.length < limits.maxTextParts) {
        texts.push({ part, kind, encoding, charset, sizeBytes });
      } else truncated.add(kind);
    } else if (attachments.length < limits.maxAttachments) {
      attachments.push({
        filename: cap(node.filename),
        contentType: cap(node.type),
        sizeBytes,
        encoding,
        part,
        contentId: cap(node.contentId),
        disposition: cap(disposition),
        offloaded: null,
      });
    } else truncated.add("attachments");
  }
  return { texts, attachments, truncated: [...truncated], tooDeep };
};
