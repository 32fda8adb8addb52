// A message read from its raw octets, when the server's own account of its structure cannot be used. The
// port behind which a parser works in a thread of its own; the orchestrator calls it through the daemon.
import { AppError } from "../../core/errors.ts";
import type { Limits } from "../../core/limits.ts";
import type { Attachment, Truncation } from "../../core/message.ts";

/** The octets of a message, from its first on. */
export interface RawOctets {
  raw: Uint8Array;
  /** There are more that were not read. */
  cut: boolean;
}

/** What a parser made of them, within the limits. Attachments have an empty `part`: no server knows them. */
export interface RawMessage {
  text: string | null;
  html: string | null;
  attachments: readonly Attachment[];
  truncated: readonly Truncation[];
}

/** Why nothing could be made of the octets. */
export type UnparsableReason = "failed" | "too_much" | "too_late";

/** The octets of a message could not be read within the limits. */
export class UnparsableError extends AppError {
  readonly reason: UnparsableReason;
  constructor(reason: UnparsableReason, options?: { cause?: unknown }) {
    super(`mail/unparsable_${reason}`, "a message cannot be read from its octets", options);
    this.reason = reason;
  }
}

/** What the thread of a parser answers. */
export type RawReply =
  | { kind: "read"; message: RawMessage }
  | { kind: "failed"; reason: UnparsableReason };

/**
 * Parses outside the main thread, with bounds on memory, parts, nesting and time. What was read before
 * a bound was met is kept and named in `truncated`; rejects with {@link UnparsableError} when that is
 * nothing, and with the signal's reason. The octets are handed over, with all of the memory they lie in:
 * nobody may use them afterwards.
 */
export type ParseInWorker = (
  octets: RawOctets,
  limits: Limits,
  signal: AbortSignal,
) => Promise<RawMessage>;
