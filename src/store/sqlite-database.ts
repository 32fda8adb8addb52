// The few calls of an embedded SQL database that the SQLite store makes, as node:sqlite offers them.
// The adapter opens a file; the simulator opens memory and keeps it over a crash.

/** A value that SQLite stores. */
export type SqlValue = string | number | bigint | null | Uint8Array;

/** A prepared statement; parameters by position. */
export interface SqlStatement {
  run(...values: SqlValue[]): { changes: number | bigint };
  get(...values: SqlValue[]): Record<string, SqlValue> | undefined;
  all(...values: SqlValue[]): Record<string, SqlValue>[];
}

/** An open database. Synchronous; throws errors whose `code` is `ERR_SQLITE_ERROR`. */
export interface SqlDatabase {
  exec(sql: string): void;
  prepare(sql: string): SqlStatement;
  /** Calls back within half a second of a commit by another connection; returns how to stop that. */
  watch(changed: () => void): () => void;
  /** Is the open file still the one in its directory? False after somebody deleted or replaced it. */
  inPlace(): boolean;
  close(): void;
}

/** Opens (and creates, with modes 0700 and 0600) the database of a data directory. */
export type OpenSqlite = (dataDir: string) => SqlDatabase;
