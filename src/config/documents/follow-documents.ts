// The shared documents while the process runs: looks at them, makes those that are missing, keeps the last
// good ones through an outage and through a bad version, and tells each thing once. Called by
// polling-config-service.ts.
import { isDeepStrictEqual } from "node:util";
import type { Log } from "../../app-logging/logger.ts";
import type { Clock } from "../../core/clock.ts";
import { errorCode } from "../../core/errors.ts";
import { RedisError } from "../../redis/redis.ts";
import {
  DOCUMENTS,
  type DocumentName,
  type DocumentWritten,
  type StoredDocument,
} from "../../store/store.ts";
import { isTree } from "../keys.ts";
import type { LoadedSettings } from "../load.ts";
import {
  contentsOf,
  judgeDocuments,
  NO_DOCUMENTS,
  type RefusedDocument,
  type StoredDocuments,
} from "./judge-documents.ts";
import { seedDocument } from "./seed-document.ts";

/** The store, as far as documents go. Any call may reject. */
export interface DocumentStore {
  read(): Promise<StoredDocuments>;
  /** What this node knew last, also from before it was started; newer than what a store went back to. */
  remembered(): Promise<StoredDocuments>;
  /** Writes when the stored version is `ifVersion` (0: none yet). */
  write(
    name: DocumentName,
    document: unknown,
    options: { ifVersion: number | null; nowMs: number },
  ): Promise<DocumentWritten>;
  /** What the Python service's screens stored under this name: JSON; null: nothing. */
  readSeed(name: DocumentName): Promise<string | null>;
}

/** What the follower needs. */
export interface FollowDeps {
  clock: Clock;
  log: Log;
  store: DocumentStore;
  /** A document cannot be used; called once for each version of it. */
  refused(document: RefusedDocument): void;
}

/** The documents in force. */
export interface FollowedDocuments {
  /** Looks at the store; true when something changed there. Never rejects. */
  look(base: LoadedSettings): Promise<boolean>;
  /**
   * `base` with the documents that can be used. Throws `ConfigError` when it does not go with one that is in
   * force and has no successor.
   */
  over(base: LoadedSettings): LoadedSettings;
}

/** Which write of a document this is. After a loss two can have one number, but hardly one time. */
const writeOf = (stored: StoredDocument | null): string =>
  stored === null ? "" : `${stored.version} ${stored.updatedMs}`;

const isSame = (a: StoredDocuments, b: StoredDocuments): boolean =>
  DOCUMENTS.every((name) => writeOf(a[name]) === writeOf(b[name]));

/**
 * Does the store show a state from before the one that is in force? Then it lost what came after. Version 0
 * is what another program wrote: that is refused, and left where it is.
 */
const isOlder = (stored: StoredDocument | null, held: StoredDocument | null): boolean =>
  held !== null &&
  (stored === null ||
    (stored.version > 0 && stored.version < held.version && stored.updatedMs < held.updatedMs));

/** Keys of documents that the file gives another value than the one in force, each with the file's. */
const overruled = (base: LoadedSettings, inForce: LoadedSettings) =>
  DOCUMENTS.flatMap((name) => {
    const [own, other] = [base.documents[name], inForce.documents[name]];
    if (!isTree(own) || !isTree(other)) return [];
    return Object.entries(own)
      .filter(([key, value]) => !isDeepStrictEqual(value, other[key]))
      .map(([key, value]) => ({ name, key, value }));
  });

/** What the store shows, without a step back. */
const newestOf = (stored: StoredDocuments, held: StoredDocuments): StoredDocuments => {
  const newest: Record<DocumentName, StoredDocument | null> = { ...stored };
  for (const name of DOCUMENTS) if (isOlder(stored[name], held[name])) newest[name] = held[name];
  return newest;
};

/** Tells of an outage of the store once, and of its end. */
const createOutage = ({ clock, log }: Pick<FollowDeps, "clock" | "log">) => {
  let sinceMs: number | null = null;
  return {
    failed: (error: unknown): void => {
      if (sinceMs === null) log("config.store_unreachable", { code: errorCode(error) });
      sinceMs ??= clock.monoMs();
    },
    worked: (): void => {
      if (sinceMs !== null)
        log("config.store_back", { away_ms: Math.round(clock.monoMs() - sinceMs) });
      sinceMs = null;
    },
  };
};

/** What the other program stored; a key of another kind, or closed to us, is none of our business. */
const readForeign = async (store: DocumentStore, name: DocumentName): Promise<string | null> => {
  try {
    return await store.readSeed(name);
  } catch (error) {
    if (error instanceof RedisError && error.failure !== "unreachable") return null;
    throw error;
  }
};

/** Writes what is missing in the store, or older than what is in force. */
const createSeeding = ({ clock, log, store }: Omit<FollowDeps, "refused">) => {
  const contentFor = async (
    name: DocumentName,
    held: StoredDocument | null,
    base: LoadedSettings,
  ): Promise<unknown> => {
    // The store lost what this node knows: that counts, not the file.
    if (held !== null) return held.document;
    if (base.documents[name] === null) return null;
    return seedDocument(name, await readForeign(store, name), base);
  };
  return async (
    base: LoadedSettings,
    { stored, held }: { stored: StoredDocuments; held: StoredDocuments },
  ): Promise<boolean> => {
    let isWritten = false;
    for (const name of DOCUMENTS) {
      if (stored[name] !== null && !isOlder(stored[name], held[name])) continue;
      const document = await contentFor(name, held[name], base);
      if (document === null) continue;
      const ifVersion = stored[name]?.version ?? 0;
      const written = await store.write(name, document, { ifVersion, nowMs: clock.wallMs() });
      // In a conflict another node was first, and its document counts.
      isWritten = true;
      if (written.kind === "written")
        log("config.document_seeded", { document: name, version: written.version });
    }
    return isWritten;
  };
};

/** Follows the documents of `store`; nothing is read before the first look. */
export const followDocuments = (deps: FollowDeps): FollowedDocuments => {
  const { log, store } = deps;
  const outage = createOutage(deps);
  const seed = createSeeding(deps);
  let stored = NO_DOCUMENTS;
  let held = NO_DOCUMENTS;
  let isRemembered = false;
  const refusedWrites = new Map<DocumentName, string>();
  let lastFile: LoadedSettings | null = null;
  let lastOverruled: ReturnType<typeof overruled> = [];

  const read = async (base: LoadedSettings): Promise<StoredDocuments | null> => {
    let found: StoredDocuments | null = null;
    try {
      if (!isRemembered) held = judgeDocuments(base, await store.remembered()).good;
      isRemembered = true;
      found = await store.read();
      if (await seed(base, { stored: found, held })) found = await store.read();
      outage.worked();
    } catch (error) {
      outage.failed(error);
    }
    return found;
  };

  const tellRefused = (refused: readonly RefusedDocument[]): void => {
    for (const document of refused) {
      const write = writeOf(document.stored);
      // One that was good until the file changed is the file's problem.
      if (write === writeOf(held[document.name])) continue;
      if (refusedWrites.get(document.name) !== write) deps.refused(document);
      refusedWrites.set(document.name, write);
    }
  };

  /** An edit of the file that a document overrules is told; a document that was written is none. */
  const tellOverruled = (base: LoadedSettings, inForce: LoadedSettings): void => {
    const now = overruled(base, inForce);
    const fresh = now.filter((one) => !lastOverruled.some((old) => isDeepStrictEqual(old, one)));
    if (base !== lastFile && fresh.length > 0) {
      const names = [...new Set(fresh.map(({ name }) => name))];
      log("config.file_ignored", { documents: names.join(",") });
    }
    lastFile = base;
    lastOverruled = now;
  };

  return {
    look: async (base) => {
      const found = await read(base);
      if (found === null) return false;
      const newest = newestOf(found, held);
      const isChanged = !isSame(newest, stored);
      stored = newest;
      return isChanged;
    },
    over: (base) => {
      const { good, refused } = judgeDocuments(base, stored, held);
      tellRefused(refused);
      if (isSame(good, NO_DOCUMENTS)) return base;
      const inForce = base.withDocuments(contentsOf(good));
      held = good;
      tellOverruled(base, inForce);
      return inForce;
    },
  };
};
