// What a Redis tells of itself by INFO: version, memory, and what it does when that is full. Asked by the
// store and with every heartbeat; a user who may not call INFO learns nothing.
import type { RedisReply } from "./redis.ts";
import { type Command, textOf } from "./commands.ts";

/** The server, as far as it tells. */
export interface RedisServer {
  /** `7.0.15`; null: it does not tell. */
  version: string | null;
  isValkey: boolean;
  /** `maxmemory_policy`; null: it does not tell. */
  evictionPolicy: string | null;
  /** 0: no limit; null: it does not tell. */
  maxMemoryBytes: number | null;
}

/** The reading commands whose answers {@link parseServer} takes. */
export const ASK_SERVER: readonly Command[] = [
  ["INFO", "server"],
  ["INFO", "memory"],
];

/** `redis_version:7.0.15` and the like, one a line. */
const fieldOf = (info: string, name: string): string | null =>
  new RegExp(`^${name}:([\\w.-]+)\\s*$`, "m").exec(info)?.[1] ?? null;

/** The answers to {@link ASK_SERVER}; an empty one tells nothing. */
export const parseServer = (answers: readonly RedisReply[]): RedisServer => {
  const info = answers.map((answer) => textOf(answer) ?? "").join("\n");
  const valkey = fieldOf(info, "valkey_version");
  const maxMemory = fieldOf(info, "maxmemory");
  return {
    version: valkey ?? fieldOf(info, "redis_version"),
    isValkey: valkey !== null || fieldOf(info, "server_name") === "valkey",
    evictionPolicy: fieldOf(info, "maxmemory_policy"),
    maxMemoryBytes: maxMemory === null ? null : Number(maxMemory),
  };
};
