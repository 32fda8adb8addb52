// Whether a Redis is fit to keep our state: it must not throw keys away, and must be new enough for our
// scripts. Judged from what INFO tells, at the start and with every heartbeat; what it does not tell is
// given the benefit of the doubt.
import type { RedisServer } from "../../redis/server-info.ts";

const isOlder = (version: string, [major, minor]: readonly [number, number]): boolean => {
  const [ownMajor = 0, ownMinor = 0] = version.split(".").map(Number);
  return ownMajor < major || (ownMajor === major && ownMinor < minor);
};

/** What is wrong with the server and what to do about it, in one sentence; null: it is fit for us. */
export const judgeServer = ({
  version,
  isValkey,
  evictionPolicy,
}: Pick<RedisServer, "version" | "isValkey" | "evictionPolicy">): string | null => {
  if (evictionPolicy !== null && evictionPolicy !== "noeviction") {
    return "set maxmemory-policy noeviction: this Redis would throw away our state when it is full";
  }
  if (version === null) return null;
  if (isValkey) {
    return isOlder(version, [7, 2]) ? "update the server: Valkey 7.2 or newer is needed" : null;
  }
  return isOlder(version, [6, 2]) ? "update the server: Redis 6.2 or newer is needed" : null;
};
