// Every way out of the program, in one list: time, chance, network, disk, processes. build.ts touches
// nothing else, so a simulator that fills this list runs the shipped daemon.
import type { WriteLog } from "../app-logging/logger.ts";
import type { ReadConfigFile } from "../config/config-file.ts";
import type { Clock } from "../core/clock.ts";
import type { Random } from "../core/random.ts";
import type { ServeHttp } from "../http/serve-http.ts";
import type { TakeLocalLock } from "../lock/local-lock.ts";
import type { ParseInWorker } from "../mail/raw/raw-message.ts";
import type { OpenSession } from "../mail/session.ts";
import type { SendHttp } from "../net/send-http.ts";
import type { OpenObjectStore } from "../offload/object-store.ts";
import type { OpenRedis } from "../redis/redis.ts";
import type { WatchEventLoop } from "../resilience/event-loop.ts";
import type { OpenSqlite } from "../store/sqlite-database.ts";

/** What the daemon needs of the world. */
export interface Ports {
  clock: Clock;
  random: Random;
  openSession: OpenSession;
  parseInWorker: ParseInWorker;
  sendHttp: SendHttp;
  openObjectStore: OpenObjectStore;
  openSqlite: OpenSqlite;
  openRedis: OpenRedis;
  takeLocalLock: TakeLocalLock;
  readConfigFile: ReadConfigFile;
  serveHttp: ServeHttp;
  watchEventLoop: WatchEventLoop;
  writeLog: WriteLog;
  /** Lines that `writeLog` dropped so far, because their reader was too slow. */
  droppedLogLines(): number;
  /** Ends the process at once with this code (70 wedged, 75 lease lost). */
  exit(code: number): void;
}
