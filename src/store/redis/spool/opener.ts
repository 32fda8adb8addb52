// Opening payloads, and remembering those that are damaged: a key at hand does not open them, or they are
// gone while their row is there. They are counted, and hold nobody up. Used by the reads of the spool.
import type { SpoolEntry } from "../../store.ts";
import { ask, textsOf } from "../../../redis/commands.ts";
import type { MailboxKeys, Parts } from "../keys.ts";
import { pairName, parseRows, type StoredRow } from "../mailbox/events.ts";

/** A row by its name. */
export type RowName = Pick<StoredRow, "mailbox" | "eventId" | "destination">;

/** Opens payloads. */
export interface Opener {
  /** Is the key with this id at hand? Null: plain. Undefined, of no row at all: no. */
  canOpen(keyId: string | null | undefined): boolean;
  isDamaged(row: RowName): boolean;
  /** The damaged rows of a mailbox, as far as they were met. */
  damagedIn(mailbox: string): readonly RowName[];
  /** Reads the payloads of rows of one mailbox; leaves out rows that are gone and those it cannot open. */
  openEach(keys: MailboxKeys, rows: readonly StoredRow[]): Promise<readonly SpoolEntry[]>;
}

/** An opener that knows of no damage yet. */
export const createOpener = ({ redis, cipher }: Parts): Opener => {
  const damaged = new Map<string, RowName>();
  const nameOf = ({ mailbox, eventId, destination }: RowName): string =>
    `${mailbox} ${pairName(eventId, destination)}`;
  const canOpen = (keyId: string | null | undefined): boolean =>
    keyId === null || (keyId !== undefined && cipher.keyIds.includes(keyId));

  const open = (row: StoredRow, text: string | null): SpoolEntry | null => {
    const { keyId, sizeBytes: _, ...rest } = row;
    try {
      if (text === null) throw new Error("the payload is gone");
      const bytes = Buffer.from(text, keyId === null ? "utf8" : "base64");
      return { ...rest, payload: cipher.open(row, { keyId, bytes }) };
    } catch {
      const { mailbox, eventId, destination } = row;
      damaged.set(nameOf(row), { mailbox, eventId, destination });
      return null;
    }
  };

  return {
    canOpen,
    isDamaged: (row) => damaged.has(nameOf(row)),
    damagedIn: (mailbox) => [...damaged.values()].filter((row) => row.mailbox === mailbox),
    openEach: async (keys, wanted) => {
      const rows = wanted.filter(({ keyId }) => canOpen(keyId));
      if (rows.length === 0) return [];
      // Once more with their payloads: between two looks a row may have gone or been replaced.
      const [rowTexts, payloadTexts] = await ask(redis, [
        ["HMGET", keys.rows, ...rows.map(({ eventId }) => eventId)],
        ["HMGET", keys.payloads, ...rows.map((row) => pairName(row.eventId, row.destination))],
      ]);
      const [found, payloads] = [textsOf(rowTexts), textsOf(payloadTexts)];
      return rows
        .map(({ eventId, destination }, index) => {
          const row = parseRows(keys, eventId, found[index]).get(destination);
          if (row === undefined || !canOpen(row.keyId)) return null;
          return open(row, payloads[index] ?? null);
        })
        .filter((entry) => entry !== null);
    },
  };
};
