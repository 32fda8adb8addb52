// Reading a message from its octets, because nothing can be done with what the server tells of its
// structure: the first 4 MiB in ranges, parsed in a thread of its own. What cannot be read this way
// either goes out as a reduced event. Called by the cycle, for one message at a time.
import { MailError, isAbort } from "../../core/errors.ts";
import { MAX_RAW_BYTES } from "../../core/limits.ts";
import type { Message, MessageMetadata } from "../../core/message.ts";
import type { MailSession } from "../../mail/session.ts";
import type { FolderContext } from "../folder-context.ts";
import { deadlineOf, listedOf, reducedMessage, wholeMessage } from "./read.ts";
import { octetsFailed, serverIsWell } from "./suspects.ts";

/** Octets asked for at a time. */
const RANGE_BYTES = 512 * 1024;

/** What has arrived of a message so far. */
interface Arrived {
  octets: Uint8Array;
  bytes: number;
  /** Its last octet has come. */
  isWhole: boolean;
}

/** Reads range after range; false when the server shows no more of the message, not even its end. */
const readRanges = async (
  { memory }: FolderContext,
  { session, uid, arrived }: { session: MailSession; uid: number; arrived: Arrived },
): Promise<boolean> => {
  while (!arrived.isWhole && arrived.bytes < MAX_RAW_BYTES) {
    const lengthBytes = Math.min(RANGE_BYTES, MAX_RAW_BYTES - arrived.bytes);
    const range = await session.fetchRaw(uid, arrived.bytes, lengthBytes);
    if (range === null) return false;
    arrived.octets.set(range, arrived.bytes);
    arrived.bytes += range.length;
    arrived.isWhole = range.length < lengthBytes;
    memory.progress += 1;
  }
  return true;
};

/** Reads the octets of a message into `arrived`; false when it is gone. */
const readOctets = async (
  context: FolderContext,
  uid: number,
  arrived: Arrived,
): Promise<boolean> => {
  const isShown = await context.connection.command(
    "reading a message from its octets",
    (session) => readRanges(context, { session, uid, arrived }),
    deadlineOf(context, 1),
  );
  if (isShown) return true;
  if (!(await listedOf(context, [uid])).has(uid)) return false;
  if (arrived.bytes === 0) throw new MailError("refused", "NOT_SHOWN");
  // Some servers have nothing to show behind the last octet, where others show an empty text.
  arrived.isWhole = true;
  return true;
};

/** The message that these octets are; reduced when the parser, or our own code, cannot take them. */
const parsed = async (
  context: FolderContext,
  metadata: MessageMetadata,
  { octets, bytes, isWhole }: Arrived,
): Promise<Message> => {
  const { abort, limits, log, mailbox, memory, parseInWorker } = context;
  if (bytes === 0) return reducedMessage(context, metadata, "malformed");
  // The parser has a deadline of its own, and in line for it others are waited for: no standstill of ours.
  memory.delivering += 1;
  try {
    const raw = { raw: octets.subarray(0, bytes), cut: !isWhole };
    const message = wholeMessage(context, metadata, await parseInWorker(raw, limits, abort));
    log("message.read_raw", { mailbox: mailbox.id, uid: metadata.uid });
    return message;
  } catch (error) {
    if (abort.aborted || isAbort(error)) throw error;
    return reducedMessage(context, metadata, "malformed");
  } finally {
    memory.delivering -= 1;
  }
};

/**
 * Reads one message from its octets and hands it to `ready`; those `behind` it will be read so too.
 * Resolves with its UID when it is gone, else with nothing. For a failure of the connection this message
 * pays alone, see `octetsFailed`: the first time it is tried again at once, the second time it goes out
 * with what arrived of it, or reduced, and then `SuspectError` is thrown all the same, because the
 * connection may be over.
 */
export const readRaw = async (
  context: FolderContext,
  { metadata, behind }: { metadata: MessageMetadata; behind: readonly number[] },
  ready: (message: Message) => void,
): Promise<readonly number[]> => {
  const { uid } = metadata;
  // Only what is written to takes memory.
  const arrived: Arrived = { octets: new Uint8Array(MAX_RAW_BYTES), bytes: 0, isWhole: false };
  let failure: Error | null = null;
  try {
    if (!(await readOctets(context, uid, arrived))) return [uid];
    serverIsWell(context.memory);
  } catch (error) {
    failure = octetsFailed(context, { uid, behind }, error);
  }
  ready(await parsed(context, metadata, arrived));
  if (failure !== null) throw failure;
  return [];
};
