// The configuration while the process runs: one snapshot, refreshed at each cycle. A changed file is
// taken once it stood still for a second; one that cannot be used leaves the last good snapshot in
// force. Only polling, webhook and rules change by themselves (DESIGN section 9).
import { isDeepStrictEqual } from "node:util";
import type { Log } from "../app-logging/logger.ts";
import type { Clock } from "../core/clock.ts";
import { ConfigError, errorCode } from "../core/errors.ts";
import type { Settings } from "../core/settings.ts";
import { SETTINGS_KEYS } from "./keys.ts";
import type { LoadedSettings } from "./load.ts";

/** A file that is being written is not read: it must stand still for so long. */
const STAND_STILL_MS = 1000;

/** The configuration in force. */
export interface PollingConfigService {
  /** The last good snapshot, the same object until something changes; one cycle reads it once. */
  current(): LoadedSettings;
  /** Looks at the file and takes its hot part when it changed and stood still; never rejects. */
  refresh(): Promise<LoadedSettings>;
  /** SIGHUP: loads at once and takes the mailboxes too; returns what is in force then. */
  reload(): Promise<LoadedSettings>;
}

/** What the service needs. */
export interface PollingConfigDeps {
  clock: Clock;
  log: Log;
  /** Loads afresh; throws {@link ConfigError} when that cannot be used. */
  load: () => LoadedSettings;
  /** Tells a change of the file without reading it; null without a file. Never throws. */
  stamp: () => string | null;
  initial: LoadedSettings;
}

/** Only a restart changes these; by the key in the file. */
const RESTART: readonly (readonly [key: string, setting: keyof Settings])[] = [
  ["enable_background_tasks", "enableBackgroundTasks"],
  ["data_dir", "dataDir"],
  ["log_level", "logLevel"],
  ["log_masked_text", "logMaskedText"],
  ["http", "http"],
  ["lock", "lock"],
  ["limits", "limits"],
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
const isSameConfiguration = (a: LoadedSettings, b: LoadedSettings): boolean => {
  const { lineOf: _a, ...inA } = a;
  const { lineOf: _b, ...inB } = b;
  return isDeepStrictEqual(inA, inB);
};

/** Tells the log what a look at the configuration brought, each thing once. */
const createTeller = (log: Log) => {
  let lastWaiting: readonly unknown[] = [];
  return {
    rejected: (error: unknown): void => {
      const problems = error instanceof ConfigError ? error.problems : [];
      const [first] = problems;
      log("config.rejected", {
        code: errorCode(error),
        problems: problems.length,
        key: first === undefined ? null : knownKey(first.key),
        line: first?.line ?? null,
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

/** Makes the service around a first, good configuration. */
export const createPollingConfigService = (deps: PollingConfigDeps): PollingConfigService => {
  const { clock, log, load, stamp } = deps;
  const tell = createTeller(log);
  let current = deps.initial;
  // The file may have changed under the first load, so the first refresh looks once more.
  let taken: string | null | undefined;
  let seen: { stamp: string | null; sinceMs: number } | undefined;
  let isRejected = false;

  const take = (fresh: LoadedSettings, withMailboxes: boolean): void => {
    const next = { ...fresh, settings: admit(current.settings, fresh.settings, withMailboxes) };
    const isChanged = !isSameConfiguration(next, current);
    if (isChanged) current = next;
    if (isChanged || isRejected)
      log("config.reloaded", { version: next.version, rules: next.settings.rules.length });
    isRejected = false;
    tell.waiting(current.settings, fresh.settings);
  };

  const loadNow = (stampNow: string | null, withMailboxes: boolean): void => {
    taken = stampNow;
    seen = undefined;
    try {
      take(load(), withMailboxes);
    } catch (error) {
      isRejected = true;
      tell.rejected(error);
    }
  };

  return {
    current: () => current,
    refresh: async () => {
      const now = stamp();
      if (now === taken) seen = undefined;
      else if (seen?.stamp !== now) seen = { stamp: now, sinceMs: clock.monoMs() };
      else if (clock.monoMs() - seen.sinceMs >= STAND_STILL_MS) loadNow(now, false);
      return Promise.resolve(current);
    },
    reload: async () => {
      loadNow(stamp(), true);
      return Promise.resolve(current);
    },
  };
};
