// A body part as a stream of decoded bytes, read in pieces so that memory stays small whatever its size.
// The orchestrator hands it to the object storage, which asks for no more than it can send.
import type { Clock } from "../core/clock.ts";
import { DeadlineError, MailError } from "../core/errors.ts";
import { uidSetOf } from "../core/uid-set.ts";
import type { Connection } from "./connection.ts";
import { createDecoder } from "./decode-stream.ts";
import type { PartRange } from "./session.ts";

/** Octets of one command: each is held in memory once as octets and once decoded. */
const RANGE_BYTES = 1024 * 1024;

/** Decoding goes on in another turn of the event loop after so many octets. */
const TURN_BYTES = 256 * 1024;

/** The slowest that a mail server may be (DESIGN section 7). */
const MIN_BYTES_PER_SECOND = 64 * 1024;

/** Which part of which message, as its structure tells it. */
export interface PartSource {
  uid: number;
  /** Of the folder in which `uid` was listed; in another one it is another message. */
  uidvalidity: string;
  part: string;
  /** Transfer encoding, lower case. */
  encoding: string;
  /** Octets as transferred, as the server counts them. */
  sizeBytes: number;
}

/** What reading a part takes. */
export interface PartReading {
  clock: Clock;
  /** Opened if it is not open. */
  connection: Connection;
  /** By then (monotonic) the part must have been read. */
  endMs: number;
}

/** The octets of one range; null when the server shows no such message to this session. */
const fetchRange = async (
  { clock, connection, endMs }: PartReading,
  { uid, uidvalidity }: PartSource,
  range: PartRange,
): Promise<Uint8Array | null> => {
  const totalMs = endMs - clock.monoMs();
  if (totalMs <= 0) throw new DeadlineError("reading an attachment");
  let octets: Uint8Array | null = null;
  await connection.command(
    "reading an attachment",
    (session) => {
      // Another session may have been opened since this one was looked at.
      if (session.folder.uidvalidity !== uidvalidity) throw new MailError("refused", "RENUMBERED");
      return session.fetchParts([{ uid, ranges: [range] }], (_uid, parts) => {
        octets = parts.get(range.part) ?? new Uint8Array();
      });
    },
    { totalMs, minBytesPerSecond: MIN_BYTES_PER_SECOND },
  );
  return octets;
};

/** As {@link fetchRange}, also of a message that came after the session was opened. */
const fetchFirst = async (
  reading: PartReading,
  source: PartSource,
  range: PartRange,
): Promise<Uint8Array | null> => {
  const octets = await fetchRange(reading, source, range);
  if (octets !== null) return octets;
  // Servers tell a session of new mail when it asks, and until then do as if there were none.
  await reading.connection.command("looking for a message", (session) =>
    session.searchUids(uidSetOf([source.uid])),
  );
  return fetchRange(reading, source, range);
};

/**
 * The decoded bytes of a part, in order, in pieces of at most about 1 MiB. It ends where the server has
 * no more octets, whatever their number was said to be. Throws `MailError` when the message or its part
 * is not shown, and in a folder that was renumbered; `DeadlineError` when the server is slower than
 * 64 KB/s or time is up.
 */
export async function* readPart(
  reading: PartReading,
  source: PartSource,
): AsyncGenerator<Uint8Array, void, undefined> {
  const decoder = createDecoder(source.encoding);
  await reading.connection.session();
  for (let offsetBytes = 0; ;) {
    const range = { part: source.part, offsetBytes, lengthBytes: RANGE_BYTES };
    const fetch = offsetBytes === 0 ? fetchFirst : fetchRange;
    const octets = await fetch(reading, source, range);
    const isMissing = offsetBytes === 0 && source.sizeBytes > 0 && octets?.length === 0;
    if (octets === null || isMissing) throw new MailError("refused", "NOT_SHOWN");
    for (let at = 0; at < octets.length; at += TURN_BYTES) {
      if (at > 0) await reading.clock.sleep(0);
      const bytes = decoder.push(octets.subarray(at, at + TURN_BYTES));
      if (bytes.length > 0) yield bytes;
    }
    offsetBytes += octets.length;
    if (octets.length < RANGE_BYTES) break;
  }
  const last = decoder.end();
  if (last.length > 0) yield last;
}
