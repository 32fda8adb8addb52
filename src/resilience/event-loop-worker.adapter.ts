// The worker thread of the event-loop watchdog. It counts ticks of its own, so that a pause of the whole
// process is no wedge, and ends the process through libc: from a worker thread Node itself cannot. Started
// by event-loop.adapter.ts.
import { writeSync } from "node:fs";
import { workerData } from "node:worker_threads";
import koffi from "koffi";

const TICK_MS = 1000;

/** Exit code of a process that ended itself because it was stuck (DESIGN section 10). */
const WEDGED = 70;

const STDERR = 2;

/** As in the closed list of events; the logger itself is out of reach here. */
const EVENT = "daemon.wedged";

const { beats, maxTicks } = workerData as { beats: Int32Array; maxTicks: number };
const exitNow = koffi.load(null).func("void _exit(int code)") as (code: number) => void;

let seen = Atomics.load(beats, 0);
let stillTicks = 0;

setInterval(() => {
  const now = Atomics.load(beats, 0);
  stillTicks = now === seen ? stillTicks + 1 : 0;
  seen = now;
  if (stillTicks < maxTicks) return;
  const line = {
    time: new Date().toISOString(),
    level: "error",
    event: EVENT,
    stillTicks,
  };
  try {
    // The log's own way out runs on the thread that is stuck.
    writeSync(STDERR, `${JSON.stringify(line)}\n`);
  } finally {
    exitNow(WEDGED);
  }
}, TICK_MS);
