// The live rows of daemons, and when a process named each mailbox last. Called by the daemon's ticker and
// by status.
import { sharedKey } from "../../../redis/keys.ts";
import type { Store } from "../../store.ts";
import { ask, mapOf, textOf } from "../../../redis/commands.ts";
import { INSTALLATION, type Parts } from "../keys.ts";

const NODES_KEY = sharedKey("nodes");
const NAMED_KEY = sharedKey("named");
const NODE_KEEP_MS = 86_400_000;

/** Nobody named a mailbox for so long: no process ran, or the wall clock jumped. */
const SILENCE_MS = 600_000;

interface LiveRow {
  wallMs: number;
  live: string;
}

/** The live rows; those of a day ago are trimmed. */
export const createNodes = ({
  redis,
  transact,
}: Parts): Pick<Store, "writeNode" | "readNodes"> & { trim(nowMs: number): Promise<void> } => ({
  writeNode: async (node, live, wallMs) => {
    const row: LiveRow = { wallMs, live };
    await transact(INSTALLATION, null, async ({ writes }) =>
      writes.hset(NODES_KEY, node, JSON.stringify(row)),
    );
  },
  readNodes: async () => {
    const [reply] = await ask(redis, [["HGETALL", NODES_KEY]]);
    return [...mapOf(reply)]
      .map(([node, text]) => ({ node, ...(JSON.parse(text) as LiveRow) }))
      .toSorted((a, b) => (a.node < b.node ? -1 : 1));
  },
  trim: (nowMs) =>
    transact(INSTALLATION, null, async ({ read, writes }) => {
      const [reply] = await read(["HGETALL", NODES_KEY]);
      for (const [node, text] of mapOf(reply)) {
        if ((JSON.parse(text) as LiveRow).wallMs < nowMs - NODE_KEEP_MS)
          writes.hdel(NODES_KEY, node);
      }
    }),
});

/** When each mailbox was named last. */
export const createNames = ({
  redis,
  transact,
}: Parts): Pick<Store, "nameMailboxes" | "lastNamedMs"> => ({
  nameMailboxes: (mailboxes, wallMs) =>
    transact(INSTALLATION, null, async ({ read, writes }) => {
      const [reply] = await read(["HGETALL", NAMED_KEY]);
      const named = mapOf(reply);
      const silenceMs = wallMs - Math.max(...[...named.values()].map(Number));
      if (named.size > 0 && silenceMs > SILENCE_MS) {
        for (const [mailbox, ms] of named) {
          if (!mailboxes.includes(mailbox)) {
            writes.hset(NAMED_KEY, mailbox, String(Number(ms) + silenceMs));
          }
        }
      }
      for (const mailbox of mailboxes) writes.hset(NAMED_KEY, mailbox, String(wallMs));
    }),
  lastNamedMs: async (mailbox) => {
    const [reply] = await ask(redis, [["HGET", NAMED_KEY, mailbox]]);
    const ms = textOf(reply);
    return ms === null ? null : Number(ms);
  },
});
