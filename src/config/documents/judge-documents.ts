// Which of the stored documents can be used: each is judged by itself, over file and environment, so that a
// bad one never keeps a good one out. Used by the daemon, which then keeps the last good one, and by
// `config set`.
import { DOCUMENTS, type DocumentName, type StoredDocument } from "../../store/store.ts";
import type { LoadedSettings } from "../load.ts";
import type { Documents } from "./layer.ts";

/** Every document; null: it is not stored. */
export type StoredDocuments = Readonly<Record<DocumentName, StoredDocument | null>>;

/** Nothing is stored. */
export const NO_DOCUMENTS: StoredDocuments = {
  polling_config: null,
  routing_rules: null,
  webhook_config: null,
};

/** Never undefined, which would stand for no document at all. */
const contentOf = ({ document }: StoredDocument): unknown => document ?? null;

/** The contents alone, as they are laid over a file. */
export const contentsOf = (stored: StoredDocuments): Documents =>
  Object.fromEntries(
    Object.entries(stored).flatMap(([name, found]) =>
      found === null ? [] : [[name, contentOf(found)]],
    ),
  );

/** A document that cannot be used, and why. */
export interface RefusedDocument {
  name: DocumentName;
  stored: StoredDocument;
  error: unknown;
}

/** `stored` without what cannot be used: in its place stands what `held` has, the last good one. */
export const judgeDocuments = (
  base: LoadedSettings,
  stored: StoredDocuments,
  held: StoredDocuments = NO_DOCUMENTS,
): { good: StoredDocuments; refused: readonly RefusedDocument[] } => {
  const good: Record<DocumentName, StoredDocument | null> = { ...held };
  const refused: RefusedDocument[] = [];
  for (const name of DOCUMENTS) {
    const found = stored[name];
    if (found === null) continue;
    try {
      base.withDocuments({ [name]: contentOf(found) });
      good[name] = found;
    } catch (error) {
      refused.push({ name, stored: found, error });
    }
  }
  return { good, refused };
};
