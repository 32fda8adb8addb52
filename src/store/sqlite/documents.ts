// What operators write down: the configuration documents, and where a mailbox begins whose state was
// lost. A node that shares its state keeps its copy of the documents in the same table. Called by the
// store, by commits, and by the journal.
import { DOCUMENTS, type DocumentName, type Store, type StoredDocument } from "../store.ts";
import type { SqlDatabase } from "../sqlite-database.ts";
import type { Transaction } from "./fence.ts";

/** Every document, those that are not stored as null. */
export type Documents = Readonly<Record<DocumentName, StoredDocument | null>>;

const createPut = (database: SqlDatabase) => {
  const write = database.prepare(
    "INSERT OR REPLACE INTO documents (name, version, updated_ms, document) VALUES (?, ?, ?, ?)",
  );
  return (name: DocumentName, { version, updatedMs, document }: StoredDocument): void =>
    void write.run(name, version, updatedMs, JSON.stringify(document));
};

/** Replaces all that is stored by a copy of other documents. */
export const createDocumentCopy = (
  database: SqlDatabase,
  transaction: Transaction,
): ((documents: Documents) => void) => {
  const clear = database.prepare("DELETE FROM documents");
  const put = createPut(database);
  return (documents) =>
    transaction(() => {
      clear.run();
      for (const name of DOCUMENTS) {
        const stored = documents[name];
        if (stored !== null) put(name, stored);
      }
    });
};

/** The documents. */
export const createDocuments = (
  database: SqlDatabase,
  transaction: Transaction,
): Pick<Store, "readDocuments" | "writeDocument"> => {
  const read = database.prepare("SELECT * FROM documents WHERE name = ?");
  const put = createPut(database);
  const find = (name: DocumentName): StoredDocument | null => {
    const row = read.get(name);
    if (row === undefined) return null;
    return {
      version: Number(row["version"]),
      updatedMs: Number(row["updated_ms"]),
      document: JSON.parse(String(row["document"])) as unknown,
    };
  };
  return {
    readDocuments: async () =>
      Object.fromEntries(DOCUMENTS.map((name) => [name, find(name)])) as Documents,
    writeDocument: async (name, document, { ifVersion, nowMs }) =>
      transaction(() => {
        const stored = find(name)?.version ?? 0;
        if (ifVersion !== null && ifVersion !== stored)
          return { kind: "conflict", version: stored };
        put(name, { version: stored + 1, updatedMs: nowMs, document });
        return { kind: "written", version: stored + 1 };
      }),
  };
};

/** Where mailboxes begin whose state was lost. */
export const createAdoptions = (
  database: SqlDatabase,
): Pick<Store, "adopt" | "readAdoption"> & {
  /** Inside a commit: the mailbox has a cursor, so the decision is carried out. */
  carriedOut(mailbox: string): void;
} => {
  const write = database.prepare(
    "INSERT OR REPLACE INTO adoptions (mailbox, start_from) VALUES (?, ?)",
  );
  const read = database.prepare("SELECT start_from FROM adoptions WHERE mailbox = ?");
  const remove = database.prepare("DELETE FROM adoptions WHERE mailbox = ?");
  return {
    adopt: async (mailbox, startFrom) => void write.run(mailbox, startFrom),
    readAdoption: async (mailbox) => {
      const startFrom = read.get(mailbox)?.["start_from"];
      return startFrom === undefined ? null : String(startFrom);
    },
    carriedOut: (mailbox) => void remove.run(mailbox),
  };
};
