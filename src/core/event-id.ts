// The identity of a message: the same for every attempt, after any crash, failover or replay.
import { createHash } from "node:crypto";

const ALPHABET = "abcdefghijklmnopqrstuvwxyz234567";

/** What identifies a message: where it lies, and nothing that its sender wrote. */
export interface MessageKey {
  mailbox: string;
  /** As the server names it; INBOX in capitals, names in Unicode NFC (see {@link canonicalFolder}). */
  folder: string;
  uidvalidity: string;
  uid: number;
}

/** One spelling per folder: INBOX is case-insensitive (RFC 9051 section 5.1), the rest NFC. */
export const canonicalFolder = (folder: string): string =>
  folder.toUpperCase() === "INBOX" ? "INBOX" : folder.normalize("NFC");

/** RFC 4648 base32, lower case, without padding. */
const base32 = (bytes: Uint8Array): string => {
  let bits = 0;
  let value = 0;
  let text = "";
  for (const byte of bytes) {
    value = (value << 8) | byte;
    bits += 8;
    while (bits >= 5) {
      text += ALPHABET[(value >>> (bits - 5)) & 31];
      bits -= 5;
    }
    value &= (1 << bits) - 1;
  }
  return bits > 0 ? text + ALPHABET[(value << (5 - bits)) & 31] : text;
};

/** `evt_` and 26 characters: base32 of sha256 over the four parts joined by NUL (DESIGN section 2). */
export const eventId = ({ mailbox, folder, uidvalidity, uid }: MessageKey): string => {
  const text = [mailbox, canonicalFolder(folder), uidvalidity, String(uid)].join("\0");
  return `evt_${base32(createHash("sha256").update(text, "utf8").digest()).slice(0, 26)}`;
};
