// A process that contends for a mailbox's lock, for the tests that need real processes: started with the
// path of the lock file, and perhaps the URL of a Redis and the uuid to be known by there, it carries out
// one command a line (acquire, assert, release) and answers each with one line of JSON.
import { createInterface } from "node:readline";
import type { Lease } from "../../src/lock/held-lease.ts";
import { openTenthLock } from "./tenth-lease.ts";

const [, , path = "", url, owner = ""] = process.argv;
const { lock, stop } = openTenthLock(path, url === undefined ? null : { url, owner });
let lease: Lease | null = null;

const carryOut = async (command: string): Promise<unknown> => {
  switch (command) {
    case "acquire": {
      const answer = await lock.acquire();
      if (answer.kind !== "held") return answer;
      ({ lease } = answer);
      return { kind: "held", fence: lease.fence };
    }
    case "assert":
      await lease?.assert();
      return { kind: "asserted" };
    default:
      await lock.release();
      return { kind: "released" };
  }
};

for await (const line of createInterface({ input: process.stdin })) {
  const answer = await carryOut(line).catch((error: Error) => ({ kind: error.name }));
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await stop();
