// Whether a Redis is fit to keep our state: it must not throw keys away, and must be new enough for our
// scripts. Judged from what INFO tells, at the start and with every heartbeat; what it does not tell is
// given the benefit of the doubt.
import type { SharedServer } from "../../store/shared/shared-store.ts";

/** `redis_version:7.0.15` and the like, one a line. */
const fieldOf = (info: string, name: string): string | null =>
  new RegExp(`^${name}:([\\w.-]+)\\s*$`, "m").exec(info)?.[1] ?? null;

/** What the sections `server` and `memory` of INFO tell; an empty text tells nothing. */
export const parseServer = (info: string): SharedServer => {
  const valkey = fieldOf(info, "valkey_version");
  const maxMemory = fieldOf(info, "maxmemory");
  return {
    version: valkey ?? fieldOf(info, "redis_version"),
    isValkey: valkey !== null,
    evictionPolicy: fieldOf(info, "maxmemory_policy"),
    maxMemoryBytes: maxMemory === null ? null : Number(maxMemory),
  };
};

const isOlder = (version: string, [major, minor]: readonly [number, number]): boolean => {
  const [ownMajor = 0, ownMinor = 0] = version.split(".").map(Number);
  return ownMajor < major || (ownMajor === major && ownMinor < minor);
};

/** What is wrong with the server and what to do about it, in one sentence; null: it is fit for us. */
export const judgeServer = ({
  version,
  isValkey,
  evictionPolicy,
}: Pick<SharedServer, "version" | "isValkey" | "evictionPolicy">): string | null => {
  if (evictionPolicy !== null && evictionPolicy !== "noeviction") {
    return "set maxmemory-policy noeviction: this Redis would throw away our state when it is full";
  }
  if (version === null) return null;
  if (isValkey) {
    return isOlder(version, [7, 2]) ? "update the server: Valkey 7.2 or newer is needed" : null;
  }
  return isOlder(version, [6, 2]) ? "update the server: Redis 6.2 or newer is needed" : null;
};
