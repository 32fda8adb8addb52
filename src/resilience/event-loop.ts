// The contract of the watchdog on the main thread's event loop (DESIGN section 6): a worker thread that
// ends the process when the loop stands still. It also measures the loop's delay.

/** Starts the watch; ends the process with 70 after `maxTicks` seconds of the worker's own clock. */
export type WatchEventLoop = (options: { maxTicks: number }) => {
  /** The largest delay of the loop since the last call, in seconds. */
  maxDelaySeconds(): number;
  stop(): void;
};
