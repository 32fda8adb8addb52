// The error replies of Redis, alone and as scripts wrap them before and since version 7, and what each of
// them means to an operator. Real servers are asked by the tests of the adapter and of the scripts.
import { expect, test } from "vitest";
import { failureOfReply } from "./reply-failure.ts";

test.each([
  ["NOAUTH Authentication required.", "noauth"],
  ["WRONGPASS invalid username-password pair or user is disabled.", "noauth"],
  ["NOPERM this user has no permissions to run the 'evalsha' command", "noauth"],
  ["READONLY You can't write against a read only replica.", "readonly"],
  ["OOM command not allowed when used memory > 'maxmemory'.", "oom"],
  ["WRONGTYPE Operation against a key holding the wrong kind of value", "wrong_type"],
  ["LOADING Redis is loading the dataset in memory", "unreachable"],
  ["BUSY Redis is busy running a script. You can only call SCRIPT KILL.", "unreachable"],
  ["MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set", "unreachable"],
  ["NOREPLICAS Not enough good replicas to write.", "unreachable"],
  ["CLUSTERDOWN The cluster is down", "unreachable"],
  ["MISCONF Errors writing to the AOF file: No space left on device", "unreachable"],
  ["TRYAGAIN Multiple keys request during rehashing of slot", "unreachable"],
  ["ERR max number of clients reached", "unreachable"],
  ["ERR syntax error", "other"],
  ["BUSYGROUP Consumer Group name already exists", "other"],
  ["NOSCRIPT No matching script. Please use EVAL.", "other"],
])("a reply is sorted by its code: %s", (text, failure) => {
  expect(failureOfReply(text)).toBe(failure);
});

const OLD = "ERR Error running script (call to f_0a1b2c): @user_script:9: @user_script: 9:";

test.each([
  [
    "READONLY You can't write against a read only replica. script: 0a1b, on @user_script:1.",
    "readonly",
  ],
  [`${OLD} -READONLY You can't write against a read only replica.`, "readonly"],
  [`${OLD} -OOM command not allowed when used memory > 'maxmemory'.`, "oom"],
  [`${OLD} WRONGTYPE Operation against a key holding the wrong kind of value`, "wrong_type"],
  [`${OLD} -NOREPLICAS Not enough good replicas to write.`, "unreachable"],
  [`${OLD} The user executing the script can't run this command or subcommand`, "noauth"],
  ["ERR The user executing the script can't access at least one of the keys", "noauth"],
  [`${OLD} attempt to index a nil value`, "other"],
])("an error inside a script is sorted by what it wraps: %s", (text, failure) => {
  expect(failureOfReply(text)).toBe(failure);
});

test("a code inside a word or a name means nothing", () => {
  expect(failureOfReply("ERR unknown command 'LOADING ' with OOM in it")).toBe("other");
});
