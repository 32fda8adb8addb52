// Where log lines leave the process: standard output, written by the thread pool. A reader that is slow,
// stuck or gone costs lines, which are counted, and never the event loop. Called by the daemon alone.
import { pino } from "pino";
import { errorCode } from "../core/errors.ts";
import type { WriteLog } from "./logger.ts";

/** Lines that wait for their reader; what comes on top is dropped. */
const BUFFER_BYTES = 1024 * 1024;

/** How long the end of the process waits for the reader. */
const FLUSH_MS = 500;

/** The way out for log lines. */
export interface LogSink {
  writeLog: WriteLog;
  /**
   * Waits until everything is written, at most 500 ms, and closes; later lines are lost. End the
   * process by `_exit` afterwards: a write that is stuck holds up any other way.
   */
  end(): Promise<void>;
}

/** Opens standard output for log lines. `onDropped` is called for each line lost; it must not log. */
export const createLogSink = ({ onDropped }: { onDropped: () => void }): LogSink => {
  const out = pino.destination({ dest: 1, sync: false });
  let waitingBytes = 0;
  let isOpen = true;
  let whenWritten: () => void = () => undefined;
  out.on("write", (written: number) => {
    waitingBytes -= written;
    if (waitingBytes <= 0) whenWritten();
  });
  // A reader that is gone or a disk that is full must not end the poller; nobody is left to tell.
  out.on("error", (error: unknown) => {
    if (errorCode(error) === "EPIPE") isOpen = false;
    whenWritten();
  });

  return {
    writeLog(line) {
      const text = `${line}\n`;
      const sizeBytes = Buffer.byteLength(text);
      if (!isOpen || waitingBytes + sizeBytes > BUFFER_BYTES) {
        return onDropped();
      }
      waitingBytes += sizeBytes;
      out.write(text);
    },
    async end() {
      if (!isOpen) return;
      isOpen = false;
      if (waitingBytes > 0) {
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, FLUSH_MS);
          whenWritten = () => {
            clearTimeout(timer);
            resolve();
          };
        });
      }
      out.destroy();
    },
  };
};
