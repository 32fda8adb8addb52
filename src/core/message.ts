// The message as it travels through a cycle: what the server told of it, what was read of it, and why
// something of it is missing. Made by mail/, judged by rules/, sent by webhook/.

/** A mailbox of RFC 5322; either half may be missing in broken mail. */
export interface Address {
  name: string | null;
  address: string | null;
}

/**
 * Is `name` one that a header can be asked for by? A field name of RFC 5322 may hold any visible ASCII
 * character but a colon; those that end an atom of IMAP (RFC 9051 section 9) no header in use has.
 */
export const isHeaderName = (name: string): boolean => /^[\w!#$&'+.^`|~-]+$/.test(name);

/** The envelope of RFC 9051 section 7.5.2, decoded. */
export interface Envelope {
  messageId: string | null;
  inReplyTo: string | null;
  subject: string | null;
  /** The Date header as ISO 8601; null when it is missing or cannot be read. */
  date: string | null;
  from: readonly Address[];
  sender: readonly Address[];
  replyTo: readonly Address[];
  to: readonly Address[];
  cc: readonly Address[];
}

/** A node of BODYSTRUCTURE (RFC 9051 section 7.5.2); types and encodings in lower case. */
export interface BodyNode {
  /** Part number, `1.2`; the root of a single-part message is `1`. Empty for a multipart root. */
  part: string;
  /** `text/plain` */
  type: string;
  charset: string | null;
  encoding: string;
  /** Octets as transferred, before decoding. */
  sizeBytes: number;
  disposition: string | null;
  filename: string | null;
  contentId: string | null;
  children: readonly BodyNode[];
}

/** What one UID FETCH tells of a message before anything of its body is read. */
export interface MessageMetadata {
  uid: number;
  internalDateMs: number;
  sizeBytes: number;
  /** Null when the server sent none that can be used. */
  envelope: Envelope | null;
  /** Null when the server sent none that can be used. */
  structure: BodyNode | null;
  /** The headers asked for, names in lower case, every value. */
  headers: ReadonlyMap<string, readonly string[]>;
}

/** What a payload's `truncated` may name. */
export type Truncation =
  | "html"
  | "text"
  | "links"
  | "attachments"
  | "names"
  | "addresses"
  | "offload";

/** Why a message became a reduced event. */
export type Unreadable = "malformed" | "timeout" | "too_large" | "crash";

/** A link to one of the known transfer providers. */
export interface ProviderLink {
  provider: "dropbox" | "fromsmash" | "swisstransfer" | "wetransfer";
  /** As written in the message. */
  url: string;
  /** The copy of what it leads to, with the name its provider gave it; null: there is none. */
  offloaded: { url: string; filename: string | null } | null;
}

/** Where an attachment lies in object storage. */
export interface StoredObject {
  key: string;
  /** Null: the bucket is not public, and a URL is signed at each attempt. */
  url: string | null;
  /** Of the decoded bytes, in hexadecimal. */
  sha256: string;
}

/** An attachment as BODYSTRUCTURE tells it; its bytes never enter memory as a whole. */
export interface Attachment {
  filename: string | null;
  contentType: string;
  /** Octets as the server counts them, before decoding; of an offloaded one the decoded bytes. */
  sizeBytes: number;
  /** Transfer encoding, lower case. */
  encoding: string;
  part: string;
  contentId: string | null;
  disposition: string | null;
  /** Null: it lies in the mailbox alone. */
  offloaded: StoredObject | null;
}

/** A message, read as far as the limits allow. */
export interface Message {
  eventId: string;
  mailbox: string;
  folder: string;
  uid: number;
  uidvalidity: string;
  internalDateMs: number;
  sizeBytes: number;
  envelope: Envelope;
  headers: ReadonlyMap<string, readonly string[]>;
  text: string | null;
  html: string | null;
  links: readonly ProviderLink[];
  attachments: readonly Attachment[];
  truncated: readonly Truncation[];
  unreadable: Unreadable | null;
}
