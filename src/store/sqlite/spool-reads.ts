// Reading the spool: what is due, what waits longest, how full it is, what is parked. A row that no
// configured key opens is counted and otherwise left alone, so that it can neither be lost nor hold up
// the others. Called by the spool's worker, the daemon's status and the commands.
import type { SpoolCipher } from "../spool-cipher.ts";
import { LONGEST_WAIT_MS } from "../spool-rules.ts";
import type { SqlDatabase } from "../sqlite-database.ts";
import { spoolRowOf } from "./spool.ts";
import type { DueQuery, SpoolEntry, SpoolUsage, Store } from "../store.ts";

/** Two JSON lists as parameters: the key ids at hand, and the rows found to be damaged. */
export const OPENS = `((key_id IS NULL OR key_id IN (SELECT value FROM json_each(?)))
  AND event_id || ' ' || destination NOT IN (SELECT value FROM json_each(?)))`;

type TableRow = ReturnType<ReturnType<SqlDatabase["prepare"]>["all"]>[number];

const sizeOf = (row: TableRow): number => Number(row["size_bytes"]);

/** The first rows, up to so many payload bytes, and at least one. */
export const withinBytes = (rows: readonly TableRow[], maxBytes: number): readonly TableRow[] => {
  let bytes = 0;
  const end = rows.findIndex((row) => (bytes += sizeOf(row)) > maxBytes);
  return end < 0 ? rows : rows.slice(0, Math.max(end, 1));
};

/** Opens payloads, and remembers the rows whose payload is damaged. */
export const createOpener = (database: SqlDatabase, cipher: SpoolCipher) => {
  const readPayload = database.prepare(
    "SELECT payload FROM spool_payload WHERE event_id = ? AND destination = ?",
  );
  const damaged = new Set<string>();
  const open = (row: TableRow): SpoolEntry | null => {
    const entry = spoolRowOf(row);
    const { eventId, destination } = entry;
    const keyId = row["key_id"] as string | null;
    if (keyId !== null && !cipher.keyIds.includes(keyId)) return null;
    try {
      const bytes = readPayload.get(eventId, destination)?.["payload"] as Uint8Array;
      return { ...entry, payload: cipher.open(entry, { keyId, bytes }) };
    } catch {
      // A key at hand that does not open it: damaged on the medium. It must not stop the others.
      damaged.add(`${eventId} ${destination}`);
      return null;
    }
  };
  return {
    opens: (): [string, string] => [JSON.stringify(cipher.keyIds), JSON.stringify([...damaged])],
    openEach: (rows: readonly TableRow[]): readonly SpoolEntry[] =>
      rows.map(open).filter((entry) => entry !== null),
  };
};

/** Rows with payloads, and how many cannot be opened. */
export const createSpoolEntries = (
  database: SqlDatabase,
  cipher: SpoolCipher,
): Pick<
  Store,
  | "dueEntries"
  | "dueBytes"
  | "waitingDestinations"
  | "nextDueMs"
  | "oldestWaiting"
  | "readEntries"
  | "undecryptable"
> => {
  const due = database.prepare(
    `SELECT * FROM spool
     WHERE mailbox = ? AND state = 'waiting' AND ${OPENS}
       AND NOT next_attempt_ms BETWEEN ? AND ?
       AND destination NOT IN (SELECT value FROM json_each(?))
     ORDER BY since_ms, rowid LIMIT ?`,
  );
  const nextDue = database.prepare(
    `SELECT min(next_attempt_ms) AS due FROM spool
     WHERE mailbox = ? AND state = 'waiting' AND ${OPENS}
       AND destination NOT IN (SELECT value FROM json_each(?))`,
  );
  const oldest = database.prepare(
    `SELECT * FROM spool WHERE mailbox = ? AND state = 'waiting' AND destination = ? AND ${OPENS}
     ORDER BY since_ms, rowid LIMIT 1`,
  );
  const ofEvent = database.prepare("SELECT * FROM spool WHERE event_id = ? ORDER BY destination");
  const closed = database.prepare(`SELECT count(*) AS rows FROM spool WHERE NOT ${OPENS}`);
  const waitedFor = database.prepare(
    `SELECT DISTINCT destination FROM spool
     WHERE mailbox = ? AND state = 'waiting' AND ${OPENS} ORDER BY destination`,
  );
  const { opens, openEach } = createOpener(database, cipher);
  const dueRows = ({ mailbox, nowMs, limit, maxBytes, except }: DueQuery): readonly TableRow[] =>
    withinBytes(
      due.all(
        mailbox,
        ...opens(),
        nowMs + 1,
        nowMs + LONGEST_WAIT_MS,
        JSON.stringify(except),
        limit,
      ),
      maxBytes,
    );
  return {
    dueEntries: async (query) => openEach(dueRows(query)),
    dueBytes: async (query) => dueRows(query).reduce((sum, row) => sum + sizeOf(row), 0),
    waitingDestinations: async (mailbox) =>
      waitedFor.all(mailbox, ...opens()).map((row) => String(row["destination"])),
    nextDueMs: async (mailbox, except) => {
      const row = nextDue.get(mailbox, ...opens(), JSON.stringify(except));
      const dueMs = row?.["due"] ?? null;
      return dueMs === null ? null : Number(dueMs);
    },
    oldestWaiting: async (mailbox, destination) =>
      openEach(oldest.all(mailbox, destination, ...opens()))[0] ?? null,
    readEntries: async (eventId) => openEach(ofEvent.all(eventId)),
    undecryptable: async () => Number(closed.get(...opens())?.["rows"]),
  };
};

/** Rows without payloads. */
export const createSpoolViews = (
  database: SqlDatabase,
): Pick<Store, "listParked" | "spoolUsage"> => {
  const parked = database.prepare(
    "SELECT * FROM spool WHERE state = 'parked' ORDER BY parked_ms, rowid",
  );
  const usage = database.prepare(
    `SELECT mailbox, destination, sum(state = 'waiting') AS waiting, sum(state = 'parked') AS parked,
       sum(size_bytes) AS bytes
     FROM spool GROUP BY mailbox, destination`,
  );
  return {
    listParked: async () => parked.all().map(spoolRowOf),
    spoolUsage: async (): Promise<SpoolUsage> => {
      let [rows, bytes] = [0, 0];
      const parts = usage.all().map((row) => {
        const [waiting, parkedRows] = [Number(row["waiting"]), Number(row["parked"])];
        rows += waiting + parkedRows;
        bytes += Number(row["bytes"]);
        return {
          mailbox: String(row["mailbox"]),
          destination: String(row["destination"]),
          waiting,
          parked: parkedRows,
        };
      });
      return { rows, bytes, maxBytes: null, parts };
    },
  };
};
