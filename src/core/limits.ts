// Every ceiling on what one message or one process may cost (DESIGN section 7). The configurable ones
// are the defaults of the configuration schema; the others are fixed here. Also the one way to cut a text.

/** Ceilings that the configuration may change. */
export interface Limits {
  maxHtmlBytes: number;
  maxTextBytes: number;
  maxParts: number;
  maxNesting: number;
  maxTextParts: number;
  maxNameChars: number;
  maxLinks: number;
  maxAttachments: number;
  maxAddresses: number;
  bytesInFlight: number;
  messageTimeoutMs: number;
  minBytesPerSecond: number;
  spoolRows: number;
  spoolBytes: number;
}

/** Decoded, cumulative over the HTML parts of a message; the seed's figure. */
export const MAX_HTML_BYTES = 1_000_000;

/** The defaults of DESIGN section 7. */
export const DEFAULT_LIMITS: Limits = {
  maxHtmlBytes: MAX_HTML_BYTES,
  maxTextBytes: 1_000_000,
  maxParts: 1000,
  maxNesting: 100,
  maxTextParts: 50,
  maxNameChars: 2000,
  maxLinks: 200,
  maxAttachments: 200,
  maxAddresses: 200,
  bytesInFlight: 64 * 1024 * 1024,
  messageTimeoutMs: 60_000,
  minBytesPerSecond: 1024,
  spoolRows: 10_000,
  spoolBytes: 1024 ** 3,
};

/** At most so many messages of a folder are uncommitted at a time. */
export const MAX_UNCOMMITTED = 64;

/** Of a webhook's answer at most this much is read. */
export const MAX_RESPONSE_BYTES = 64 * 1024;

/** Of a message that must be read from its octets at most this much is read. */
export const MAX_RAW_BYTES = 4 * 1024 * 1024;

/** A `body` condition sees this much of the text and this much of the HTML. */
export const MAX_RULE_BODY_CHARS = 256 * 1024;

/** A condition on the subject or on a header sees this much of each value. */
export const MAX_RULE_TEXT_CHARS = 16 * 1024;

/** At most so many rules. */
export const MAX_RULES = 200;

/** Payload bytes of one commit; more is several commits. */
export const MAX_COMMIT_BYTES = 8 * 1024 * 1024;

/** The first `maxChars` code points of `text`, in well-formed Unicode: never half a surrogate pair. */
export const capText = (text: string, maxChars: number): string => {
  // A code point is at most two units: the cut keeps the spread small whatever came in.
  const capped =
    text.length <= maxChars ? text : [...text.slice(0, maxChars * 2)].slice(0, maxChars).join("");
  return capped.toWellFormed();
};
