// Copies what shared state has of a mailbox into the journal of this node, so that any node can give it
// back after Redis lost it. Called every 30 s by every node for each mailbox it is configured for, and
// after a publication; never for a mailbox for which the node goes on alone.
import { isDeepStrictEqual } from "node:util";
import type { TailRecord } from "../store.ts";
import type { Journal } from "./journal.ts";
import { isNewer, type SharedStore } from "./shared-store.ts";

/** What a copy is made with. */
export interface CopyDeps {
  shared: SharedStore;
  journal: Journal;
}

/**
 * Brings the journal up to shared state; does nothing when it is as new already. Rejects with the errors
 * of either store; the journal is then as it was.
 */
export const copyState = async ({ shared, journal }: CopyDeps, mailbox: string): Promise<void> => {
  const known = await journal.read(mailbox);
  const { version, cursors, open } = await shared.readState(mailbox);
  if (version === null) return;
  if (known !== null && !isNewer(version, known.version)) return;
  const tail: (TailRecord & { folder: string })[] = [];
  for (const cursor of cursors) {
    const { folder } = cursor;
    // Where nothing more is settled, nothing came to the tail.
    const before = known?.cursors.find((one) => one.folder === folder);
    if (isDeepStrictEqual(before, cursor)) continue;
    const entries = await shared.readTail(mailbox, folder);
    tail.push(...entries.map((entry) => ({ ...entry, folder })));
  }
  await journal.copy(mailbox, { version, cursors, open }, tail);
};
