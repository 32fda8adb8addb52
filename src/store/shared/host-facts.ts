// What a data directory knows of hosts and of Redis: whether another host was ever seen at the same Redis,
// so that this one must not go on alone, and whether state may lie in a Redis that is no longer named.
// Called at the start, and by the cluster's watch.
import type { Journal, JournalFacts } from "./journal.ts";

/** A host that was not seen for so long is gone. */
const FORGET_HOST_MS = 30 * 86_400_000;

/** The mark of a host that is there all the time is renewed so often, and not at every look. */
const MARK_EVERY_MS = 3_600_000;

/** Another host uses the same Redis, as seen at `nowMs` (wall milliseconds). */
export const markOtherHost = async (journal: Journal, nowMs: number): Promise<void> => {
  const { otherHostMs } = await journal.facts();
  if (otherHostMs !== null && Math.abs(nowMs - otherHostMs) < MARK_EVERY_MS) return;
  await journal.writeFacts({ otherHostMs: nowMs });
};

/**
 * This directory is used on the host with this id. Written under another id before, it was moved or
 * copied: there is or was another host.
 */
export const markOwnHost = async (
  journal: Journal,
  hostId: string,
  nowMs: number,
): Promise<void> => {
  const facts = await journal.facts();
  if (facts.hostId === hostId) return;
  await journal.writeFacts({ hostId, ...(facts.hostId === null ? {} : { otherHostMs: nowMs }) });
};

/** Was another host seen within 30 days? One that was seen in the future counts: a clock was wrong. */
export const isOtherHostKnown = async (journal: Journal, nowMs: number): Promise<boolean> => {
  const { otherHostMs } = await journal.facts();
  return otherHostMs !== null && nowMs - otherHostMs < FORGET_HOST_MS;
};

/** State of this directory may lie in a Redis: without it mail would be sent twice, or never. */
export const mustRefuseWithoutRedis = ({ redisId }: JournalFacts): boolean => redisId !== null;
