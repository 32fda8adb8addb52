// The configuration documents, as JSON under names that other programs may read, and how a daemon hears
// that an operator's command wrote something. Called by the configuration service and the commands.
import { isoFromMs, numberFromDay } from "../../../core/calendar.ts";
import { sharedKey } from "../../../redis/keys.ts";
import { DOCUMENTS, type DocumentName, type Store, type StoredDocument } from "../../store.ts";
import { ask, textOf } from "../../../redis/commands.ts";
import { INSTALLATION, type Parts } from "../keys.ts";
import { CHANGES_KEY } from "../transaction.ts";

const LOOK_EVERY_MS = 1000;

const documentKey = (name: DocumentName): string => sharedKey(`doc:${name}`);

/** The reverse of `isoFromMs`; 0 for anything else. */
const msFromIso = (text: unknown): number => {
  const parts = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{3}))?Z$/.exec(String(text));
  if (parts === null) return 0;
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0, ms = 0] = parts
    .slice(1)
    .map((part) => Number(part ?? 0));
  return (
    numberFromDay({ year, month, day }) * 86_400_000 +
    ((hour * 60 + minute) * 60 + second) * 1000 +
    ms
  );
};

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null;

/**
 * A document from what is stored. What another program wrote under its name is told as it is, as version
 * 0: whoever validates it refuses it, and nothing hinders that it is written anew.
 */
const parseDocument = (text: string | null): StoredDocument | null => {
  if (text === null) return null;
  const foreign = { version: 0, updatedMs: 0, document: text };
  let stored: unknown;
  try {
    stored = JSON.parse(text);
  } catch {
    return foreign;
  }
  const version = isObject(stored) ? Number(stored["version"]) : 0;
  if (!isObject(stored) || !Number.isSafeInteger(version) || version < 1) return foreign;
  return { version, updatedMs: msFromIso(stored["updated_at"]), document: stored["document"] };
};

/** The documents. */
export const createDocuments = ({
  redis,
  transact,
}: Parts): Pick<Store, "readDocuments" | "writeDocument"> => ({
  readDocuments: async () => {
    const replies = await ask(
      redis,
      DOCUMENTS.map((name) => ["GET", documentKey(name)]),
    );
    const documents = DOCUMENTS.map((name, index) => [name, parseDocument(textOf(replies[index]))]);
    return Object.fromEntries(documents) as Record<DocumentName, StoredDocument | null>;
  },
  writeDocument: async (name, document, { ifVersion, nowMs }) =>
    transact(INSTALLATION, null, async ({ read, writes }) => {
      const [reply] = await read(["GET", documentKey(name)]);
      const stored = parseDocument(textOf(reply))?.version ?? 0;
      if (ifVersion !== null && ifVersion !== stored) return { kind: "conflict", version: stored };
      const version = stored + 1;
      const kept = { version, updated_at: isoFromMs(nowMs), document };
      writes.set(documentKey(name), JSON.stringify(kept));
      writes.incr(CHANGES_KEY);
      return { kind: "written", version };
    }),
});

/** Tells of changes by other processes, until everything is stopped. */
export const createWatches = ({
  redis,
  clock,
}: Parts): Pick<Store, "watch"> & { stopAll(): Promise<void> } => {
  const watches = new Map<AbortController, Promise<void>>();
  const look = async (changed: () => void, signal: AbortSignal): Promise<void> => {
    /** Undefined: not seen yet; null: nothing was ever changed. */
    let seen: string | null | undefined;
    while (!signal.aborted) {
      try {
        const present = await redis.get(CHANGES_KEY);
        if (seen !== undefined && present !== seen && !signal.aborted) changed();
        seen = present;
      } catch {
        // Redis does not answer: whoever needs it hears so; a change is seen once it does.
      }
      await clock.sleep(LOOK_EVERY_MS, signal);
    }
  };
  return {
    watch: (changed) => {
      const stop = new AbortController();
      watches.set(stop, look(changed, stop.signal));
      return () => stop.abort();
    },
    stopAll: async () => {
      for (const stop of watches.keys()) stop.abort();
      await Promise.all(watches.values());
      watches.clear();
    },
  };
};
