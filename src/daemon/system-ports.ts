// The ports as the real world keeps them: one adapter each. Made by run.ts and the demo.
import { readConfigFile } from "../config/config-file.adapter.ts";
import { serveHttp } from "../http/fastify-server.adapter.ts";
import { takeFlock } from "../lock/flock.adapter.ts";
import { createOpenSession } from "../mail/imapflow/session.adapter.ts";
import { createParseInWorker } from "../mail/raw/parse-in-worker.adapter.ts";
import { createUndiciSender } from "../net/undici-sender.adapter.ts";
import { openS3 } from "../offload/s3.adapter.ts";
import { openRedis } from "../redis/ioredis.adapter.ts";
import { watchEventLoop } from "../resilience/event-loop.adapter.ts";
import { openSqliteFile } from "../store/sqlite.adapter.ts";
import type { WriteLog } from "../app-logging/logger.ts";
import type { Ports } from "./ports.ts";
import { exitProcess, systemClock, systemRandom } from "./system.adapter.ts";

/** The real ports, and what ends their connections. Log lines go to `writeLog`. */
export const createSystemPorts = (options: {
  version: string;
  writeLog: WriteLog;
  droppedLogLines: () => number;
}): { ports: Ports; close(): Promise<void> } => {
  const sender = createUndiciSender();
  const ports: Ports = {
    clock: systemClock,
    random: systemRandom,
    openSession: createOpenSession({ clientVersion: options.version }),
    parseInWorker: createParseInWorker(),
    sendHttp: sender.sendHttp,
    openObjectStore: openS3,
    openSqlite: openSqliteFile,
    openRedis,
    takeLocalLock: takeFlock,
    readConfigFile,
    serveHttp,
    watchEventLoop,
    writeLog: options.writeLog,
    droppedLogLines: options.droppedLogLines,
    exit: exitProcess,
  };
  return { ports, close: () => sender.close() };
};
