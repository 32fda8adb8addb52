// The watchdog on the main thread's event loop: a timer here bumps a shared counter, and a worker thread
// ends the process when the counter stands still. Started by the daemon through the port WatchEventLoop.
import { extname } from "node:path";
import { Worker } from "node:worker_threads";
import type { WatchEventLoop } from "./event-loop.ts";

/** How often the main thread shows that it lives. */
const BEAT_MS = 250;

// The worker runs from source (.ts) in a checkout and from .js in a package.
const WORKER = new URL(`./event-loop-worker.adapter${extname(import.meta.url)}`, import.meta.url);

/** Starts the watch; it keeps no process alive. A watch that cannot start is an uncaught error. */
export const watchEventLoop: WatchEventLoop = ({ maxTicks }) => {
  const beats = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(WORKER, { workerData: { beats, maxTicks }, execArgv: [] });
  worker.unref();

  let largestMs = 0;
  let beatMs = performance.now();
  const timer = setInterval(() => {
    Atomics.add(beats, 0, 1);
    const nowMs = performance.now();
    largestMs = Math.max(largestMs, nowMs - beatMs - BEAT_MS);
    beatMs = nowMs;
  }, BEAT_MS);
  timer.unref();

  return {
    maxDelaySeconds() {
      const seconds = largestMs / 1000;
      largestMs = 0;
      return seconds;
    },
    stop() {
      clearInterval(timer);
      void worker.terminate();
    },
  };
};
