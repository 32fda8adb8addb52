// Subjects: prefixes of replies and the names of groups, on any text of any length.
import fc from "fast-check";
import {
  claimKey,
  isReply,
  stripReplyPrefixes,
  subjectGroup,
} from "../../../src/rules/subject-group.ts";
import { textOf } from "../inputs.ts";
import { createTarget, must } from "../target.ts";

const TOKENS = [
  ...[
    "Re:",
    "re :",
    "FWD:",
    "tr",
    ":",
    " ",
    "\t",
    "\u00a0",
    "confirmation :",
    "Lot 42",
    "lot ",
    "7",
  ],
  ...[
    "Média Solution",
    "missions recadrage",
    "\u0301",
    "\u0323",
    "\u0301\u0323",
    "\u0344",
    "İ",
    "ﬃ",
    "\r\n",
    "re",
  ],
];

/** Group names that are readable; every other one is a hash. */
const GROUP = /^((media_solution_missions_recadrage_)?lot_\d+|subject_hash_[0-9a-f]{32})$/;

/** What the gates and claims make of a subject. */
export const subjects = createTarget({
  name: "subjects",
  weight: 14,
  cases: fc.record({ subject: textOf(TOKENS, 500_000), mailbox: fc.constantFrom("", "default") }),
  run: ({ subject, mailbox }, meter) => {
    const reply = meter.turn(() => isReply(subject));
    const bare = meter.turn(() => stripReplyPrefixes(subject));
    must(subject.endsWith(bare), "stripping changes the subject itself");
    must(reply === (bare !== subject), "a reply without a prefix, or a prefix without a reply");
    must(stripReplyPrefixes(bare) === bare, "a prefix is left");
    const group = meter.turn(() => subjectGroup(subject));
    must(GROUP.test(group), "a group without a name");
    must(subjectGroup(bare) === group, "a reply is in another group");
    const key = claimKey({ hmacKey: Buffer.alloc(32), mailbox, monthKey: "2026-11", group });
    must(/^[0-9a-f]{64}$/.test(key), "a key that is none");
    return [reply, group, key];
  },
});
