// What a node does when it reaches a Redis: agrees on the key of the hashes, and tells a mailbox that is
// new from one whose state was lost. Redis carries a marker that dies with its data; a node remembers the
// marker under which it had found all its mailboxes. Called by daemon/ after each connection.
import { isDeepStrictEqual } from "node:util";
import { type Random, uuid } from "../../core/random.ts";
import type { Store } from "../store.ts";
import type { Journal } from "./journal.ts";
import type { SharedStore } from "./shared-store.ts";

/** A mailbox and the folder it is configured for. */
export interface WatchedFolder {
  id: string;
  folder: string;
}

/**
 * Has the folder a cursor, and if not, why? `first_contact`: it is new. `needs_decision`: its state is
 * lost, and an operator must say where it begins.
 */
export type Acquaintance = "known" | "first_contact" | "needs_decision";

/** A Redis that this node has met. */
export interface MetRedis {
  /** The key of the hashes, which all nodes share. */
  readonly hmacKey: Uint8Array;
  /** Asked when a published mailbox has no cursor for its folder. */
  decide(watched: WatchedFolder): Promise<Acquaintance>;
  /**
   * Once all of these, the configured ones, have shared state: sets the marker where there is none, and
   * remembers it. Cheap when there is nothing to do. True: settled.
   */
  settleMarker(configured: readonly WatchedFolder[]): Promise<boolean>;
}

/** What {@link meetRedis} works with. */
export interface MeetingDeps {
  shared: SharedStore;
  journal: Journal;
  /** Its key is offered when no shared one is known. */
  local: Pick<Store, "hmacKey">;
  random: Random;
  /** A hash of host, port and database. */
  redisId: string;
}

/** Meets a Redis. Rejects with `RedisError` and the errors of the own store; may be repeated. */
export const meetRedis = async (deps: MeetingDeps): Promise<MetRedis> => {
  const { shared, journal, local, random, redisId } = deps;
  const hmacKey = await shared.offerHmacKey(await local.hmacKey());
  const { redisId: lastRedisId, hmacKey: knownKey } = await journal.facts();
  // The marker of another Redis says nothing about this one.
  const isNew = lastRedisId !== redisId;
  const isKnownKey = knownKey !== null && isDeepStrictEqual(knownKey, hmacKey);
  if (isNew || !isKnownKey) {
    await journal.writeFacts({ hmacKey, redisId, ...(isNew ? { marker: null } : {}) });
  }

  const hasState = async ({ id, folder }: WatchedFolder): Promise<boolean> =>
    (await shared.readCursor(id, folder)) !== null;
  return {
    hmacKey,
    decide: async (watched) => {
      if (await hasState(watched)) return "known";
      if ((await shared.readAdoption(watched.id)) !== null) return "first_contact";
      const { marker } = await journal.facts();
      // Never settled here, this directory had nothing that could be lost.
      if (marker === null || marker === (await shared.readMarker())) return "first_contact";
      return "needs_decision";
    },
    settleMarker: async (configured) => {
      const { marker } = await journal.facts();
      const standing = await shared.readMarker();
      if (marker !== null && marker === standing) return true;
      for (const watched of configured) {
        if (!(await hasState(watched))) return false;
      }
      await journal.writeFacts({ marker: standing ?? (await shared.setMarker(uuid(random))) });
      return true;
    },
  };
};
