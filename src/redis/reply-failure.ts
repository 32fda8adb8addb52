// Sorts the error replies of a Redis server by what an operator does about them. It knows the words of
// Redis 6.2, 7 and Valkey, alone and as they come wrapped in the error of a script. Used by the adapter.
import type { RedisFailure } from "./redis.ts";

const FAILURES: Readonly<Record<string, RedisFailure>> = {
  NOAUTH: "noauth",
  WRONGPASS: "noauth",
  NOPERM: "noauth",
  READONLY: "readonly",
  OOM: "oom",
  WRONGTYPE: "wrong_type",
  LOADING: "unreachable",
  BUSY: "unreachable",
  MASTERDOWN: "unreachable",
  NOREPLICAS: "unreachable",
  CLUSTERDOWN: "unreachable",
  MISCONF: "unreachable",
  TRYAGAIN: "unreachable",
};

// At the start of the text, or, from a script, after a colon: `…@user_script: 1: -READONLY You can't …`.
const CODE = new RegExp(`(?:^|: ?)-?(${Object.keys(FAILURES).join("|")}) `);

/** What a server means by the text of an error reply, `OOM command not allowed …`. */
export const failureOfReply = (text: string): RedisFailure => {
  const [, code] = CODE.exec(text) ?? [];
  if (code !== undefined) return FAILURES[code] ?? "other";
  // Inside a script an ACL refuses without a code.
  if (text.includes("The user executing the script")) return "noauth";
  if (text.includes("max number of clients")) return "unreachable";
  return "other";
};
