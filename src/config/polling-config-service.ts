// The configuration while the process runs: one snapshot, refreshed at each cycle. A changed file is
// taken once it stood still for a second, a changed document at once; one that cannot be used leaves the
// last good snapshot in force. Only polling, webhook and rules change by themselves (DESIGN section 9).
import { isDeepStrictEqual } from "node:util";
import type { Log } from "../app-logging/logger.ts";
import type { Clock } from "../core/clock.ts";
import { ConfigError, errorCode } from "../core/errors.ts";
import type { Settings } from "../core/settings.ts";
import type { DocumentName } from "../store/store.ts";
import { SETTINGS_KEYS } from "./keys.ts";
import { type DocumentStore, followDocuments } from "./documents/follow-documents.ts";
import type { LoadedSettings } from "./load.ts";

/** A file that is being written is not read: it must stand still for so long. */
const STAND_STILL_MS = 1000;

/** The store is asked for its documents no more often than this, however many mailboxes ask. */
const LOOK_EVERY_MS = 1000;

/** The configuration in force. */
export interface PollingConfigService {
  /** The last good snapshot, the same object until something changes; one cycle reads it once. */
  current(): LoadedSettings;
  /**
   * Looks at the file and takes its hot part when it changed and stood still, then at the documents, at most
   * once a second; never rejects.
   */
  refresh(): Promise<LoadedSettings>;
  /** SIGHUP: loads and looks at once and takes the mailboxes too; returns what is in force then. */
  reload(): Promise<LoadedSettings>;
}

/** What the service needs. */
export interface PollingConfigDeps {
  clock: Clock;
  log: Log;
  /** Loads file and environment afresh; throws {@link ConfigError} when that cannot be used. */
  load: () => LoadedSettings;
  /** Tells a change of the file without reading it; null without a file. Never throws. */
  stamp: () => string | null;
  /** From file and environment; in force until the documents were read. */
  initial: LoadedSettings;
  /** The documents that several nodes share; null or left out: the file is all there is. */
  documents?: DocumentStore | null | undefined;
}

/** Only a restart changes these; by the key in the file. */
const RESTART: readonly (readonly [key: string, setting: keyof Settings])[] = [
  ["enable_background_tasks", "enableBackgroundTasks"],
  ["data_dir", "dataDir"],
  ["redis_url", "redisUrl"],
  ["log_level", "logLevel"],
  ["log_masked_text", "logMaskedText"],
  ["http", "http"],
  ["lock", "lock"],
  ["limits", "limits"],
  ["offload", "offload"],
];

/** The part of a dotted key that the schema knows; what a person made up is cut off. */
const knownKey = (key: string): string => {
  const generic = key.replaceAll(/\[\d+\]/g, "[]");
  if (SETTINGS_KEYS.some((known) => known.key === generic)) return key;
  const cut = Math.max(key.lastIndexOf("."), key.lastIndexOf("["));
  return cut <= 0 ? "" : knownKey(key.slice(0, cut));
};

/** `fresh` as far as it may come into force now. */
const admit = (running: Settings, fresh: Settings, withMailboxes: boolean): Settings => {
  const { polling, webhook, rules } = fresh;
  const mailboxes = withMailboxes ? fresh.mailboxes : running.mailboxes;
  return { ...running, polling, webhook, rules, mailboxes };
};

/** Everything but the lines, which move with every comment. */
const isSameConfiguration = (a: LoadedSettings, b: LoadedSettings): boolean =>
  a.source === b.source &&
  isDeepStrictEqual(a.overridden, b.overridden) &&
  isDeepStrictEqual(a.settings, b.settings);

/** Tells the log what a look at the configuration brought, each thing once. */
const createTeller = (log: Log) => {
  let lastWaiting: readonly unknown[] = [];
  return {
    /** `document`: what cannot be used is a document, not the file. */
    rejected: (error: unknown, document?: DocumentName): void => {
      const problems = error instanceof ConfigError ? error.problems : [];
      const [first] = problems;
      log("config.rejected", {
        code: errorCode(error),
        problems: problems.length,
        key: first === undefined ? null : knownKey(first.key),
        line: first?.line ?? null,
        ...(document === undefined ? {} : { document }),
      });
    },
    waiting: (inForce: Settings, fresh: Settings): void => {
      const restart = RESTART.filter(([, name]) => !isDeepStrictEqual(inForce[name], fresh[name]));
      const isHeld = !isDeepStrictEqual(inForce.mailboxes, fresh.mailboxes);
      const waiting = [...restart.map(([, name]) => fresh[name]), isHeld && fresh.mailboxes];
      if (!isDeepStrictEqual(waiting, lastWaiting) && (isHeld || restart.length > 0)) {
        log("config.needs_restart", {
          restart: restart.map(([key]) => key).join(",") || null,
          sighup: isHeld ? "mailboxes" : null,
        });
      }
      lastWaiting = waiting;
    },
  };
};

/** Tells a changed file that stood still from one that is being written. */
const createStillness = (clock: Clock, stamp: () => string | null) => {
  // The file may have changed under the first load, so the first look counts as a change.
  let taken: string | null | undefined;
  let seen: { stamp: string | null; sinceMs: number } | undefined;
  return {
    /** Changed since `take`, and not since a second. */
    isDue: (): boolean => {
      const now = stamp();
      if (now === taken) seen = undefined;
      else if (seen?.stamp !== now) seen = { stamp: now, sinceMs: clock.monoMs() };
      else return clock.monoMs() - seen.sinceMs >= STAND_STILL_MS;
      return false;
    },
    /** The file is about to be read. */
    take: (): void => {
      taken = stamp();
      seen = undefined;
    },
  };
};

/** Runs `work`, one at a time and once a second; who comes meanwhile waits for the one under way. */
const createTurns = (clock: Clock, work: () => Promise<void>) => {
  let underWay: Promise<void> | null = null;
  let lastMs: number | null = null;
  return async (isForced: boolean): Promise<void> => {
    const isDue = lastMs === null || clock.monoMs() - lastMs >= LOOK_EVERY_MS;
    if (underWay === null && (isDue || isForced)) {
      lastMs = clock.monoMs();
      underWay = work().finally(() => {
        underWay = null;
      });
    }
    await underWay;
  };
};

/** Makes the service around a first, good configuration. */
export const createPollingConfigService = (deps: PollingConfigDeps): PollingConfigService => {
  const { clock, log, load, stamp, documents: store } = deps;
  const tell = createTeller(log);
  const documents =
    store === undefined || store === null
      ? null
      : followDocuments({
          ...{ clock, log, store },
          refused: ({ error, name }) => tell.rejected(error, name),
        });
  /** What file and environment say; the documents are laid over it. */
  let base = deps.initial;
  let current = deps.initial;
  const file = createStillness(clock, stamp);
  let isRejected = false;

  const take = (
    fresh: LoadedSettings,
    { withMailboxes, isRepaired }: { withMailboxes: boolean; isRepaired: boolean },
  ): void => {
    const next = { ...fresh, settings: admit(current.settings, fresh.settings, withMailboxes) };
    const isChanged = !isSameConfiguration(next, current);
    if (isChanged) current = next;
    if (isChanged || isRepaired)
      log("config.reloaded", { version: next.version, rules: next.settings.rules.length });
    tell.waiting(current.settings, fresh.settings);
  };

  const loadNow = (withMailboxes: boolean): void => {
    file.take();
    try {
      const fresh = load();
      const whole = documents === null ? fresh : documents.over(fresh);
      base = fresh;
      take(whole, { withMailboxes, isRepaired: isRejected });
      isRejected = false;
    } catch (error) {
      isRejected = true;
      tell.rejected(error);
    }
  };

  const lookAtDocuments = createTurns(clock, async () => {
    if (documents === null || !(await documents.look(base))) return;
    try {
      take(documents.over(base), { withMailboxes: false, isRepaired: false });
    } catch (error) {
      tell.rejected(error);
    }
  });

  return {
    current: () => current,
    refresh: async () => {
      if (file.isDue()) loadNow(false);
      await lookAtDocuments(false);
      return current;
    },
    reload: async () => {
      loadNow(true);
      await lookAtDocuments(true);
      return current;
    },
  };
};
