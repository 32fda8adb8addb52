// Subjects that belong together: one event per group and month where `enable_subject_group_dedup` is
// on. The names are those of the Python service, so that both see the same groups; in the store a
// group is only a keyed hash.
import { createHash, createHmac } from "node:crypto";

/** The words that a reply or forward puts before a subject; `confirmation` is the trade's own. */
const REPLY_PREFIXES = /^(?:\s*(?:re|fwd|fw|rv|tr|confirmation)\s*:)+\s*/i;

/** The subject without the prefixes of replies and forwards (English, Spanish, French). */
export const stripReplyPrefixes = (subject: string): string => subject.replace(REPLY_PREFIXES, "");

/** Does the subject begin with such a prefix? White space around a subject alone makes no reply. */
export const isReply = (subject: string): boolean => REPLY_PREFIXES.test(subject);

const withoutMarks = (text: string): string => text.replace(/\p{M}/gu, "");

/**
 * Without accents, lower case, single spaces. Marks that stand alone go first: to put a long run of them
 * into canonical order takes time that grows with the square of its length.
 */
const normalized = (subject: string): string =>
  withoutMarks(withoutMarks(subject).normalize("NFD")).toLowerCase().replace(/\s+/g, " ").trim();

const LOT = /\blot (\d+)/;
const MISSION = ["media solution", "missions recadrage", "lot"];

/**
 * The group a subject belongs to: `media_solution_missions_recadrage_lot_<n>`, `lot_<n>` (the first
 * number, as written), else `subject_hash_` and the MD5 of the normalised subject. MD5 names the
 * group as the Python service did; it protects nothing.
 */
export const subjectGroup = (subject: string): string => {
  const core = stripReplyPrefixes(normalized(subject));
  const lot = LOT.exec(core)?.[1];
  if (lot === undefined) return `subject_hash_${createHash("md5").update(core).digest("hex")}`;
  return MISSION.every((words) => core.includes(words))
    ? `media_solution_missions_recadrage_lot_${lot}`
    : `lot_${lot}`;
};

/** What a claim is made on. */
export interface ClaimSubject {
  hmacKey: Uint8Array;
  /** The mailbox whose messages share the claim; left out: all mailboxes share it. */
  mailbox?: string;
  /** `2026-11`, in the polling time zone. */
  monthKey: string;
  group: string;
}

/** The key of a claim in the store: HMAC-SHA256 in hexadecimal, so that it tells no subject. */
export const claimKey = ({ hmacKey, mailbox, monthKey, group }: ClaimSubject): string =>
  createHmac("sha256", hmacKey)
    .update([mailbox ?? "", monthKey, group].join("\0"), "utf8")
    .digest("hex");
