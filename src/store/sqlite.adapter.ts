// Opens SQLite through node:sqlite: a file of a data directory that only its owner can read, or plain
// memory for tests and the simulator. Nothing is promised here but modes and pragmas; the tables belong
// to sqlite/schema.ts. Called by daemon/, by the commands that read the state, and by tests.
import {
  chmodSync,
  closeSync,
  existsSync,
  fchmodSync,
  mkdirSync,
  openSync,
  statSync,
} from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { OpenSqlite, SqlDatabase } from "./sqlite-database.ts";

/** The name of the database in its data directory. */
export const DATABASE_FILE = "signalpost.db";

// Temporary structures stay in memory, because a statement journal on disk would hold payloads.
const PRAGMAS = `
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = FULL;
  PRAGMA secure_delete = ON;
  PRAGMA temp_store = MEMORY;
`;

/** How often a look is taken at whether another connection committed. */
const WATCH_MS = 500;

/** SQLite counts the commits of other connections; nothing tells of them, so somebody must ask. */
const watchVersion = (database: DatabaseSync, changed: () => void): (() => void) => {
  const version = database.prepare("PRAGMA data_version");
  let seen = version.get()?.["data_version"];
  const look = (): void => {
    const now = version.get()?.["data_version"];
    if (now !== seen) changed();
    seen = now;
  };
  const timer = setInterval(() => {
    try {
      look();
    } catch {
      // Busy or unreadable for a moment: nobody waits for this look, and the next one comes.
    }
  }, WATCH_MS);
  timer.unref();
  return () => clearInterval(timer);
};

const INCREMENTAL = 2;

/**
 * It counts only before the first page is written, and WAL mode writes that. Asked first, because to
 * set it again is a write too, and a full disk must not keep the daemon from starting.
 */
const setAutoVacuum = (database: DatabaseSync): void => {
  const mode = database.prepare("PRAGMA auto_vacuum").get()?.["auto_vacuum"];
  if (mode !== INCREMENTAL) database.exec("PRAGMA auto_vacuum = INCREMENTAL");
};

/** Commits into a file that nobody can open any more would be commits into nothing. */
const createInPlace = (path: string): (() => boolean) => {
  const now = (): string => {
    const stats = statSync(path, { throwIfNoEntry: false });
    return `${stats?.dev}:${stats?.ino}`;
  };
  const opened = now();
  return () => now() === opened;
};

const open = (path: string): SqlDatabase => {
  const database = new DatabaseSync(path);
  try {
    database.exec("PRAGMA busy_timeout = 100");
    setAutoVacuum(database);
    database.exec(PRAGMAS);
    return {
      exec: (sql) => database.exec(sql),
      prepare: (sql) => database.prepare(sql),
      watch: (changed) => watchVersion(database, changed),
      inPlace: () => true,
      close: () => database.close(),
    };
  } catch (error) {
    database.close();
    throw error;
  }
};

/**
 * Opens `signalpost.db` of `dataDir`; makes the directory 0700 and the files 0600, whatever the umask
 * and whatever they were before. Throws the system's error (`EACCES`, `ENOSPC`, …) as it is when the
 * directory cannot be used.
 */
export const openSqliteFile: OpenSqlite = (dataDir) => {
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  chmodSync(dataDir, 0o700);
  const path = join(dataDir, DATABASE_FILE);
  // Made here and not by SQLite, whose own error would hide why; -wal and -shm inherit the mode.
  const file = openSync(path, "a", 0o600);
  try {
    fchmodSync(file, 0o600);
  } finally {
    closeSync(file);
  }
  for (const side of [`${path}-wal`, `${path}-shm`]) {
    if (existsSync(side)) chmodSync(side, 0o600);
  }
  return { ...open(path), inPlace: createInPlace(path) };
};

/** A database that lives as long as the returned object; nobody else can write to it. */
export const openSqliteMemory = (): SqlDatabase => ({
  ...open(":memory:"),
  watch: () => () => undefined,
});
