// Opens the state at the start: waits a little for a neighbour that keeps it locked, and says in the
// words of a configuration problem what is wrong with a data directory that cannot be used. Called by
// open-state.ts, once.
import { AppError, ConfigError, type ConfigProblem, errorCode } from "../../core/errors.ts";
import type { Journal } from "../../store/shared/journal.ts";
import { type LocalRows, createLocalRows } from "../../store/shared/local-rows.ts";
import { createSqliteJournal } from "../../store/shared/sqlite-journal.ts";
import { createSqliteStore } from "../../store/sqlite.ts";
import type { Store } from "../../store/store.ts";
import type { DaemonConfig } from "../build.ts";
import type { Ports } from "../ports.ts";

/** A neighbour that starts, or trims the state, keeps it locked for a moment. */
const BUSY_RETRY_MS = 250;

/** A lock that is held longer than this does not end by itself. */
const BUSY_LIMIT_MS = 5000;

/** SQLITE_BUSY, whose extended codes have it in their low byte. */
const SQLITE_BUSY = 5;

const isBusy = (error: unknown): boolean => {
  const { errcode } = error instanceof Error ? (error as { errcode?: unknown }) : {};
  return typeof errcode === "number" && (errcode & 0xff) === SQLITE_BUSY;
};

/** The state in this node's data directory, and what it remembers of state that it shared. */
export interface OwnStore {
  /** Owns the database: closing it closes all. */
  store: Store;
  journal: Journal;
  /** What is to be moved to the shared store after a time alone. */
  rows: LocalRows;
}

const openOnce = ({ initial }: DaemonConfig, ports: Ports): OwnStore => {
  const { dataDir, spoolKeys } = initial.settings;
  const database = ports.openSqlite(dataDir);
  const deps = { database, random: ports.random, spoolKeys };
  try {
    // The store first: it makes the tables.
    const store = createSqliteStore(deps);
    return { store, journal: createSqliteJournal(database), rows: createLocalRows(deps) };
  } catch (error) {
    database.close();
    throw error;
  }
};

const problemOf = (error: unknown, { initial }: DaemonConfig): ConfigProblem => {
  // The store's own words say what is wrong, and it is not the directory.
  if (error instanceof AppError) {
    const { code, message, hint } = error;
    return { key: "", line: null, message: `${code}: ${message}; ${hint ?? "see the manual"}` };
  }
  const advice = isBusy(error)
    ? "end the program that keeps signalpost.db locked, or try again"
    : "name a directory that this user may write to";
  const message = `cannot be used (${errorCode(error)}); ${advice}`;
  return { key: "data_dir", line: initial.lineOf("data_dir"), message };
};

/**
 * The opened state. A database that is locked is tried for some seconds. Rejects with `ConfigError`,
 * which names what to do.
 */
export const openStore = async (config: DaemonConfig, ports: Ports): Promise<OwnStore> => {
  const { clock } = ports;
  const endMs = clock.monoMs() + BUSY_LIMIT_MS;
  for (;;) {
    try {
      return openOnce(config, ports);
    } catch (error) {
      if (!isBusy(error) || clock.monoMs() >= endMs) {
        throw new ConfigError([problemOf(error, config)]);
      }
    }
    await clock.sleep(BUSY_RETRY_MS);
  }
};
