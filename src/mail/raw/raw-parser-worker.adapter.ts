// The worker thread in which one message is parsed from its octets. It answers once, by a RawMessage or
// by the code of its failure; whoever started it ends it, whatever it does. Started by
// parse-in-worker.adapter.ts.
import { parentPort, workerData } from "node:worker_threads";
import type { Limits } from "../../core/limits.ts";
import { parseOctets } from "./parse-octets.ts";
import { type RawOctets, type RawReply, UnparsableError } from "./raw-message.ts";

const { octets, limits } = workerData as { octets: RawOctets; limits: Limits };

const reply = await parseOctets(octets, limits).then(
  (message): RawReply => ({ kind: "read", message }),
  (error: unknown): RawReply => ({
    kind: "failed",
    reason: error instanceof UnparsableError ? error.reason : "failed",
  }),
);
parentPort?.postMessage(reply, []);
