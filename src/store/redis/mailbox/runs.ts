// Who runs what: fences, the mark of a mailbox that is being polled with the UIDs suspected to end its
// process, the messages an operator wants sent again, and where a mailbox begins whose state was lost.
// Called by the mailbox loop and by commands.
import type { Store } from "../../store.ts";
import { ask, mapOf, namesOf, textOf, textsOf } from "../../../redis/commands.ts";
import { askEach, type Parts } from "../keys.ts";
import { CHANGES_KEY } from "../transaction.ts";

/** Issues fences: above every fence issued or seen before, and at least the wall clock. */
export const createFences = ({ keysOf, transact }: Parts): Pick<Store, "issueFence"> => ({
  issueFence: async (mailbox, wallMs) => {
    const keys = keysOf(mailbox);
    return transact(keys, null, async ({ read, version, writes }) => {
      const [issued] = await read(["GET", keys.fence]);
      const newest = Math.max(Number(textOf(issued) ?? 0), version()?.fence ?? 0);
      const fence = Math.max(newest + 1, Math.ceil(wallMs));
      writes.set(keys.fence, String(fence));
      return fence;
    });
  },
});

/** The mark of a running poller, and its suspects. */
export const createRuns = ({
  keysOf,
  transact,
}: Parts): Pick<Store, "beginRun" | "endRun" | "writeSuspects"> => ({
  beginRun: async (mailbox, fence) => {
    const keys = keysOf(mailbox);
    return transact(keys, fence, async ({ read, writes }) => {
      const [mark, deaths] = await read(["HMGET", keys.state, "run"], ["HGETALL", keys.suspects]);
      const [holder, was] = (textsOf(mark)[0] ?? "").split(" ");
      // The mark of this very fence: the answer was lost, and the mark tells what it found.
      const unclean = holder === String(fence) ? was === "unclean" : holder !== "";
      writes.hset(keys.state, "run", `${fence} ${unclean ? "unclean" : "clean"}`);
      const suspects = [...mapOf(deaths)]
        .map(([uid, soloDeaths]) => ({ uid: Number(uid), soloDeaths: Number(soloDeaths) }))
        .toSorted((a, b) => a.uid - b.uid);
      return { unclean, suspects };
    });
  },
  endRun: async (mailbox, fence) => {
    const keys = keysOf(mailbox);
    await transact(keys, fence, async ({ writes }) => writes.hdel(keys.state, "run"));
  },
  writeSuspects: async (mailbox, fence, suspects) => {
    const keys = keysOf(mailbox);
    await transact(keys, fence, async ({ writes }) => {
      writes.del(keys.suspects);
      for (const { uid, soloDeaths } of suspects) {
        writes.hset(keys.suspects, String(uid), String(soloDeaths));
      }
    });
  },
});

/** What an operator wants sent again. */
export const createRedeliveries = (
  parts: Parts,
): Pick<
  Store,
  "requestRedelivery" | "redeliveryMailboxes" | "readRedeliveries" | "clearRedeliveries"
> => {
  const { redis, keysOf, transact } = parts;
  return {
    requestRedelivery: async (mailbox, uids) => {
      const keys = keysOf(mailbox);
      await transact(keys, null, async ({ writes }) => {
        for (const uid of uids) writes.zadd(keys.redeliveries, uid, String(uid));
        if (uids.length > 0) writes.incr(CHANGES_KEY);
      });
    },
    redeliveryMailboxes: async () => {
      const answers = await askEach(parts, ({ redeliveries }) => [["ZCARD", redeliveries]]);
      return answers
        .filter(({ replies }) => Number(replies[0]) > 0)
        .map(({ keys }) => keys.mailbox);
    },
    readRedeliveries: async (mailbox) => {
      const [uids] = await ask(redis, [["ZRANGE", keysOf(mailbox).redeliveries, "0", "-1"]]);
      return namesOf(uids).map(Number);
    },
    clearRedeliveries: async (mailbox, fence, uids) => {
      const keys = keysOf(mailbox);
      await transact(keys, fence, async ({ writes }) => {
        for (const uid of uids) writes.zrem(keys.redeliveries, String(uid));
      });
    },
  };
};

/** Where mailboxes begin whose state was lost. */
export const createAdoptions = ({
  redis,
  keysOf,
  transact,
}: Parts): Pick<Store, "adopt" | "readAdoption"> => ({
  adopt: async (mailbox, startFrom) => {
    const keys = keysOf(mailbox);
    await transact(keys, null, async ({ writes }) => {
      writes.hset(keys.state, "adoption", startFrom);
      writes.incr(CHANGES_KEY);
    });
  },
  readAdoption: async (mailbox) => {
    const [reply] = await ask(redis, [["HGET", keysOf(mailbox).state, "adoption"]]);
    return textOf(reply);
  },
});
