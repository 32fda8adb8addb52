// The reading half of a mail session over imapflow: metadata, headers, pieces of bodies and ranges of
// whole messages, each within limits of its own. Every failure is a `MailError`. Made by the session
// adapter, an adapter for its types and its commands.
import type { MessageMetadata } from "../../core/message.ts";
import { uidSetOf } from "../../core/uid-set.ts";
import { envelopeFromHeader, isGarbled, repairEnvelope } from "../header-envelope.ts";
import type { BareMessage, MailSession, PartRange, PartsRequest } from "../session.ts";
import { type Commands, METADATA_LIMITS, PIECES_LIMITS } from "./commands.adapter.ts";
import { bareMessageOf, readableMetadataOf } from "./metadata.adapter.ts";

const rangeKey = (ranges: readonly PartRange[]): string =>
  ranges
    .map(({ part, offsetBytes, lengthBytes }) => `${part}<${offsetBytes}.${lengthBytes}>`)
    .join();

/** Messages by their wishes, so that those with the same ones share a command. */
const groupByWish = (requests: readonly PartsRequest[]) => {
  const groups = new Map<string, { ranges: readonly PartRange[]; uids: number[] }>();
  for (const { uid, ranges } of requests) {
    const key = rangeKey(ranges);
    const group = groups.get(key) ?? { ranges, uids: [] };
    group.uids.push(uid);
    groups.set(key, group);
  }
  return [...groups.values()];
};

/** So much of a header is read where it stands in for the server's envelope. */
const HEADER_BYTES = 60 * 1024;

/** Date, size and the first `maxBytes` of the header of each message that is still there. */
const readBare = async (
  commands: Commands,
  uids: readonly number[],
  maxBytes: number,
): Promise<Map<number, BareMessage>> => {
  const bodyParts = [{ key: "HEADER", start: 0, maxLength: maxBytes }];
  const query = { internalDate: true, size: true, bodyParts };
  const found = new Map<number, BareMessage>();
  for await (const row of commands.rows(uidSetOf(uids), query)) {
    const bare = bareMessageOf(row);
    if (bare !== null) found.set(row.uid, bare);
  }
  return found;
};

/** Metadata of one message without its ENVELOPE, which may be longer than anybody can take. */
const createSuspectReader =
  (commands: Commands): MailSession["fetchSuspect"] =>
  (uid, headers) =>
    commands.inOrder(async () => {
      const wanted = new Set(headers.map((name) => name.toLowerCase()));
      const bodyParts = [{ key: "HEADER", start: 0, maxLength: HEADER_BYTES }];
      const query = { bodyStructure: true, internalDate: true, size: true, bodyParts };
      let found: MessageMetadata | null = null;
      for await (const row of commands.rows([[uid, uid]], query)) {
        const metadata = row.uid === uid ? readableMetadataOf(row, wanted) : null;
        if (metadata === null || !row.headers) continue;
        found = { ...metadata, envelope: envelopeFromHeader(row.headers) };
      }
      return found;
    }, METADATA_LIMITS);

/** A range of a message as it lies on the server, structure or not. */
const createRawReader =
  (commands: Commands): MailSession["fetchRaw"] =>
  (uid, offsetBytes, lengthBytes) =>
    commands.inOrder(async () => {
      const source = { start: offsetBytes, maxLength: lengthBytes };
      let found: Uint8Array | null = null;
      for await (const row of commands.rows([[uid, uid]], { source })) {
        if (row.uid === uid && row.source) found = row.source.subarray(0, lengthBytes);
      }
      return found;
    }, PIECES_LIMITS);

/** The reading half of a session, in the order its commands are asked for. */
export const createReader = (commands: Commands) => {
  const fetchMetadata: MailSession["fetchMetadata"] = (uids, headers) =>
    commands.inOrder(async () => {
      const wanted = new Set(headers.map((name) => name.toLowerCase()));
      // A name with other characters is no header name and would break the command line.
      const asked = [...new Set([...wanted, "date"])].filter((name) =>
        /^[\w!#$&'+.^`|~-]+$/.test(name),
      );
      const query = { envelope: true, bodyStructure: true, internalDate: true, size: true };
      const found = new Map<number, MessageMetadata>();
      for await (const row of commands.rows(uidSetOf(uids), { ...query, headers: asked })) {
        const metadata = readableMetadataOf(row, wanted);
        if (metadata !== null) found.set(metadata.uid, metadata);
      }
      const garbled = [...found.values()].flatMap(({ uid, envelope }) =>
        envelope !== null && isGarbled(envelope) ? [uid] : [],
      );
      for (const [uid, { header }] of await readBare(commands, garbled, HEADER_BYTES)) {
        const metadata = found.get(uid);
        if (metadata === undefined || metadata.envelope === null) continue;
        const cut = header.length >= HEADER_BYTES;
        found.set(uid, { ...metadata, envelope: repairEnvelope(metadata.envelope, header, cut) });
      }
      return uids.flatMap((uid) => found.get(uid) ?? []);
    }, METADATA_LIMITS);

  const fetchHeader: MailSession["fetchHeader"] = (uid, maxBytes) =>
    commands.inOrder(async () => (await readBare(commands, [uid], maxBytes)).get(uid) ?? null);

  const fetchParts: MailSession["fetchParts"] = (requests, received) =>
    commands.inOrder(async () => {
      for (const { ranges, uids } of groupByWish(requests)) {
        // A length of 0 would be read as "all of it".
        const bodyParts = ranges
          .filter(({ lengthBytes }) => lengthBytes > 0)
          .map((range) => ({
            key: range.part,
            start: range.offsetBytes,
            maxLength: range.lengthBytes,
          }));
        const missing = new Set(uids);
        for await (const row of commands.rows(uidSetOf(uids), { bodyParts })) {
          // A flag update that came in between has no parts and is no answer.
          if (!missing.has(row.uid) || (bodyParts.length > 0 && row.bodyParts === undefined))
            continue;
          missing.delete(row.uid);
          const parts = new Map<string, Uint8Array>();
          for (const { part, lengthBytes } of ranges) {
            const octets = lengthBytes > 0 ? row.bodyParts?.get(part.toLowerCase()) : undefined;
            if (octets) parts.set(part, octets.subarray(0, lengthBytes));
          }
          received(row.uid, parts);
        }
      }
    }, PIECES_LIMITS);

  const fetchSuspect = createSuspectReader(commands);
  const fetchRaw = createRawReader(commands);
  return { fetchMetadata, fetchSuspect, fetchHeader, fetchParts, fetchRaw };
};
