// Parsing messages in threads of their own, so that what a stranger wrote can end a thread and not the
// process, nor hold its event loop. One thread a message, ended with it. Made by the daemon's system
// ports, behind ParseInWorker.
import { extname } from "node:path";
import { Worker, isMarkedAsUntransferable } from "node:worker_threads";
import type { Limits } from "../../core/limits.ts";
import { createGate } from "../../resilience/gate.ts";
import {
  type ParseInWorker,
  type RawMessage,
  type RawOctets,
  type RawReply,
  UnparsableError,
} from "./raw-message.ts";

/** From the start of the thread to its answer. */
const DEADLINE_MS = 10_000;

/** So many threads at a time; others wait for their turn. */
const AT_ONCE = 2;

/** V8's share of a thread, in MiB. The octets lie outside of it; their number is bounded by the caller. */
const RESOURCE_LIMITS = {
  maxOldGenerationSizeMb: 96,
  maxYoungGenerationSizeMb: 8,
  codeRangeSizeMb: 16,
  stackSizeMb: 4,
};

// The worker runs from source (.ts) in a checkout and from .js in a package.
const WORKER = new URL(`./raw-parser-worker.adapter${extname(import.meta.url)}`, import.meta.url);

/** A thread that parses these octets. It gets the octets themselves and nothing of the environment. */
const startWorker = ({ raw, cut }: RawOctets, limits: Limits): Worker => {
  // Small buffers of Node share their memory and cannot be given away.
  const own = isMarkedAsUntransferable(raw.buffer) ? new Uint8Array(raw) : raw;
  return new Worker(WORKER, {
    workerData: { octets: { raw: own, cut } satisfies RawOctets, limits },
    transferList: [own.buffer as ArrayBuffer],
    resourceLimits: RESOURCE_LIMITS,
    execArgv: [],
    env: {},
    stdout: true,
    stderr: true,
  });
};

/** What the thread answers; rejects when it ends without an answer, takes too long, or on the signal. */
const answerOf = (
  worker: Worker,
  { deadlineMs, signal }: { deadlineMs: number; signal: AbortSignal },
): Promise<RawMessage> =>
  new Promise((resolve, reject) => {
    const failed = (cause: unknown): void => reject(new UnparsableError("failed", { cause }));
    const late = setTimeout(() => reject(new UnparsableError("too_late")), deadlineMs);
    const abort = (): void => reject(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    worker.on("message", (reply: RawReply) => {
      if (reply.kind === "read") resolve(reply.message);
      else reject(new UnparsableError(reply.reason));
    });
    worker.on("messageerror", failed);
    worker.on("error", failed);
    worker.on("exit", () => {
      clearTimeout(late);
      signal.removeEventListener("abort", abort);
      failed(undefined);
    });
    if (signal.aborted) abort();
  });

/** The port over real threads. */
export const createParseInWorker = ({
  deadlineMs = DEADLINE_MS,
}: { deadlineMs?: number } = {}): ParseInWorker => {
  const places = createGate(AT_ONCE);
  return async (octets, limits, signal) => {
    const leave = await places.acquire(1, signal);
    try {
      const worker = startWorker(octets, limits);
      try {
        return await answerOf(worker, { deadlineMs, signal });
      } finally {
        await worker.terminate();
      }
    } finally {
      leave();
    }
  };
};
