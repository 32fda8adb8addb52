// What a node does when it reaches a Redis: agrees on the key of the hashes, and tells a mailbox that is
// new from one whose state was lost. Redis carries a marker that dies with its data; a node remembers the
// marker under which it had found all its mailboxes. Called by daemon/ after each connection.
import { type Random, uuid } from "../../core/random.ts";
import type { Store } from "../store.ts";
import type { Journal } from "./journal.ts";
import type { SharedStore } from "./shared-store.ts";

/**
 * Why a mailbox has no cursor. `known`: shared state has the mailbox, the folder alone is new.
 * `needs_decision`: its state is lost, and an operator must say where it begins.
 */
export type Acquaintance = "known" | "first_contact" | "needs_decision";

/** A Redis that this node has met. */
export interface MetRedis {
  /** The key of the hashes, which all nodes share. */
  readonly hmacKey: Uint8Array;
  /** Asked when a published mailbox has no cursor for its folder. */
  decide(mailbox: string): Promise<Acquaintance>;
  /**
   * Once all of these, the configured ones, have shared state: sets the marker where there is none, and
   * remembers it. Cheap when there is nothing to do. True: settled.
   */
  settleMarker(mailboxes: readonly string[]): Promise<boolean>;
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
  const { redisId: lastRedisId } = await journal.facts();
  // The marker of another Redis says nothing about this one.
  const isNew = lastRedisId !== redisId;
  await journal.writeFacts({ hmacKey, redisId, ...(isNew ? { marker: null } : {}) });

  const hasState = async (mailbox: string): Promise<boolean> =>
    (await shared.readState(mailbox)).cursors.length > 0;
  return {
    hmacKey,
    decide: async (mailbox) => {
      if (await hasState(mailbox)) return "known";
      if ((await shared.readAdoption(mailbox)) !== null) return "first_contact";
      const { marker } = await journal.facts();
      // Never settled here, this directory had nothing that could be lost.
      if (marker === null || marker === (await shared.readMarker())) return "first_contact";
      return "needs_decision";
    },
    settleMarker: async (mailboxes) => {
      const { marker } = await journal.facts();
      const standing = await shared.readMarker();
      if (marker !== null && marker === standing) return true;
      for (const mailbox of mailboxes) {
        if (!(await hasState(mailbox))) return false;
      }
      await journal.writeFacts({ marker: standing ?? (await shared.setMarker(uuid(random))) });
      return true;
    },
  };
};
