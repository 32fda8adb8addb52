// From the octets of a message to its structure and the octets of its text parts, by mailsplit, the
// splitter that mailparser is built on. Partial rather than nothing: what was read before a cap, an error
// or the end of the octets is kept. An adapter because it is a stream; called by the worker thread.
import { Readable } from "node:stream";
import { finished } from "node:stream/promises";
import { Splitter, type SplitterChunk } from "@zone-eu/mailsplit";
import type { Limits } from "../../core/limits.ts";
import type { BodyNode } from "../../core/message.ts";
import type { ReceivedPart } from "../body.ts";
import { type RawOctets, UnparsableError } from "./raw-message.ts";

/** Handed to the splitter at a time. */
const PIECE_BYTES = 64 * 1024;

/** What the octets of a message hold. Part numbers are those of the order they stand in. */
export interface SplitMessage {
  structure: BodyNode;
  /** The parts of type text, by part number. */
  parts: ReadonlyMap<string, ReceivedPart>;
  /** The reading ended inside a multipart: there may be parts that nobody saw. */
  moreParts: boolean;
}

type NodeChunk = Extract<SplitterChunk, { type: "node" }>;

interface OpenNode extends BodyNode {
  sizeBytes: number;
  children: OpenNode[];
}

interface Known {
  made: OpenNode;
  depth: number;
  /** What came of its body; null when nobody will read it. */
  body: Uint8Array[] | null;
}

const textOrNull = (value: string | false): string | null => value || null;

/** RFC 2045 section 5.2: what has no type, or one that is none, is plain text. */
const typeOf = ({ contentType, parentNode, headers }: NodeChunk): string => {
  // RFC 2046 section 5.1.5: in a digest the parts are messages unless they say otherwise.
  const isDigest = parentNode !== false && parentNode.contentType === "multipart/digest";
  if (isDigest && headers !== false && !headers.hasHeader("content-type")) return "message/rfc822";
  return contentType !== false && /^[^/\s]+\/[^/\s]+$/.test(contentType)
    ? contentType
    : "text/plain";
};

const nodeOf = (chunk: NodeChunk, part: string): OpenNode => ({
  part,
  type: typeOf(chunk),
  charset: textOrNull(chunk.charset),
  encoding: chunk.encoding || "7bit",
  sizeBytes: 0,
  disposition: textOrNull(chunk.disposition),
  filename: textOrNull(chunk.filename),
  contentId: chunk.headers === false ? null : textOrNull(chunk.headers.getFirst("content-id")),
  children: [],
});

/** Keeps what the splitter tells, until a cap is reached. */
const createTree = (limits: Limits) => {
  const known = new Map<unknown, Known>();
  let root: Known | null = null;
  /** The part whose end was not seen yet. */
  let open: Known | null = null;
  return {
    /** False: a cap is reached, and nothing more may come. */
    take: (chunk: SplitterChunk): boolean => {
      if (chunk.type !== "node") {
        const leaf = known.get(chunk.node);
        if (chunk.type === "data") open = null;
        if (leaf === undefined || (chunk.type === "data" && leaf !== root)) return true;
        leaf.made.sizeBytes += chunk.value.length;
        leaf.body?.push(chunk.value);
        return true;
      }
      const parent = known.get(chunk.parentNode);
      open = null;
      const depth = parent === undefined ? 0 : parent.depth + 1;
      if (known.size >= limits.maxParts || depth > limits.maxNesting) return false;
      const made = nodeOf(chunk, String(known.size + 1));
      // What stands between the parts of the whole message is its text, should it have no parts.
      const isRead = made.type.startsWith("text/") || root === null;
      open = { made, depth, body: isRead ? [] : null };
      known.set(chunk, open);
      parent?.made.children.push(made);
      root ??= open;
      return true;
    },
    /** `early`: not all octets of the message were looked at. */
    finish: (early: boolean): SplitMessage | null => {
      if (root === null) return null;
      const isMultipart = root.made.type.startsWith("multipart/");
      if (isMultipart && root.made.children.length === 0) {
        // Its boundary is missing or never comes: what mail readers show of it is all of it, as text.
        if (root.made.sizeBytes === 0) return null;
        const made = { ...root.made, type: "text/plain" };
        const raw = Buffer.concat(root.body ?? []);
        const parts = new Map([[made.part, { raw, complete: !early }]]);
        return { structure: made, parts, moreParts: false };
      }
      const parts = new Map<string, ReceivedPart>();
      for (const leaf of known.values()) {
        if (leaf.body === null) continue;
        const complete = !early || leaf !== open;
        parts.set(leaf.made.part, { raw: Buffer.concat(leaf.body), complete });
      }
      return { structure: root.made, parts, moreParts: early && isMultipart };
    },
  };
};

function* piecesOf(raw: Uint8Array): Generator<Buffer> {
  for (let at = 0; at < raw.length; at += PIECE_BYTES) {
    const length = Math.min(PIECE_BYTES, raw.length - at);
    yield Buffer.from(raw.buffer, raw.byteOffset + at, length);
  }
}

/**
 * Splits the octets of a message within `maxParts` and `maxNesting`. Rejects with
 * {@link UnparsableError} when not even one part can be told: `too_much` when the header is too long.
 */
export const splitMessage = async (
  { raw, cut }: RawOctets,
  limits: Limits,
): Promise<SplitMessage> => {
  const tree = createTree(limits);
  // The caps of ours leave what was read; those of the splitter would throw it away.
  const splitter = new Splitter({ ignoreEmbedded: true, maxChildNodes: Infinity });
  // Not an iterator: when the splitter fails, that would drop what it has read already.
  splitter.on("data", (chunk: SplitterChunk) => {
    if (!splitter.destroyed && !tree.take(chunk)) splitter.destroy();
  });
  Readable.from(piecesOf(raw)).pipe(splitter);
  const failure: unknown = await finished(splitter).catch((error: unknown) => error);
  const split = raw.length === 0 ? null : tree.finish(cut || failure !== undefined);
  if (split !== null) return split;
  const isTooLong = (failure as { code?: unknown } | undefined)?.code === "EMAXLEN";
  throw new UnparsableError(isTooLong ? "too_much" : "failed", { cause: failure });
};
