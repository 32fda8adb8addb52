// The fenced commit: cursor, tail, claims, receipts and spool rows in one transaction. After it, the
// messages it names are settled for good; before it, nothing of them is. Called by the cycle.
import { AppError } from "../../core/errors.ts";
import { settledAgain } from "../spool-rules.ts";
import type { Commit, CommitResult, Receipt, Store } from "../store.ts";
import type { createAdoptions } from "./documents.ts";
import type { FencedTransaction } from "./fence.ts";
import type { createClaims, createCursors, Tail } from "./folders.ts";
import type { createTodos, ReceiptWrites } from "./receipts.ts";
import type { ForgetUids } from "./runs.ts";
import type { SpoolWrites } from "./spool.ts";

/** What a commit is made of. */
export interface CommitParts {
  fenced: FencedTransaction;
  cursors: ReturnType<typeof createCursors>;
  tail: Tail;
  claims: ReturnType<typeof createClaims>;
  receipts: ReceiptWrites;
  spool: SpoolWrites;
  forgetUids: ForgetUids;
  todos: Pick<ReturnType<typeof createTodos>, "dropAll">;
  adoptions: Pick<ReturnType<typeof createAdoptions>, "carriedOut">;
}

/** The receipt of a message that is settled once more; pairs that it delivered leave the spool. */
const mergeWithSpool = (spool: SpoolWrites, before: Receipt, receipt: Receipt): Receipt => {
  const { eventId } = receipt;
  const inSpool = new Set(spool.destinationsOf(eventId));
  const merged = settledAgain(before, receipt, inSpool);
  for (const destination of inSpool) {
    if (merged.pairs[destination]?.kind === "delivered") spool.remove({ eventId, destination });
  }
  return merged;
};

const writeReceipt = ({ receipts, spool }: CommitParts, receipt: Receipt): void => {
  const before = receipts.find(receipt.eventId);
  receipts.put(before, before === null ? receipt : mergeWithSpool(spool, before, receipt));
};

const writeFolder = ({ cursors, tail, adoptions }: CommitParts, commit: Commit): void => {
  const { cursor, fence, tail: entries = [], tailMatched = [] } = commit;
  if (cursor !== undefined) {
    cursors.put(cursor, fence);
    adoptions.carriedOut(commit.mailbox);
    tail.takeMatched(cursor, tailMatched);
    tail.add(cursor, entries);
  } else if (entries.length > 0 || tailMatched.length > 0) {
    throw new AppError("store/no-cursor", "a commit with tail entries must carry the cursor", {
      hint: "this is a bug of signalpost; please report it with this message",
    });
  }
};

/** What was kept by UID is forgotten when this commit renumbers its folder. */
const forgetRenumbered = (
  { cursors, forgetUids, todos }: CommitParts,
  { mailbox, cursor }: Commit,
): CommitResult => {
  if (cursor === undefined || !cursors.isRenumbered(cursor)) return { droppedTodos: 0 };
  forgetUids.all(mailbox);
  return { droppedTodos: todos.dropAll(mailbox, cursor.folder) };
};

/** The `commit` of the contract. */
export const createCommit = (parts: CommitParts): Pick<Store, "commit"> => ({
  commit: async (commit) => {
    const { mailbox, fence, receipts = [], claims = [], spool = [] } = commit;
    return parts.fenced({ mailbox, fence }, () => {
      // Before the cursor is replaced, which tells of the former numbering.
      const result = forgetRenumbered(parts, commit);
      writeFolder(parts, commit);
      parts.claims.put(claims, Math.max(0, ...receipts.map(({ settledMs }) => settledMs)));
      for (const receipt of receipts) writeReceipt(parts, receipt);
      if (receipts.length > 0) {
        parts.forgetUids.these(
          mailbox,
          receipts.map(({ uid }) => uid),
        );
      }
      // Last, so that a crash before COMMIT can be placed exactly after them.
      for (const entry of spool) parts.spool.put(entry);
      return result;
    });
  },
});
