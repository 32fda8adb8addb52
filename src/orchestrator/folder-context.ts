// What one cycle works with: the parts of the daemon, the settings in force and the little that is
// remembered of a folder between cycles. Made once per mailbox by the daemon; holds no message.
import type { Log } from "../app-logging/logger.ts";
import type { Metrics } from "../app-logging/metrics.ts";
import type { Clock } from "../core/clock.ts";
import type { Limits } from "../core/limits.ts";
import type { Random } from "../core/random.ts";
import type {
  MailboxSettings,
  OffloadSettings,
  PollingSettings,
  Rule,
  WebhookSettings,
} from "../core/settings.ts";
import type { Lease } from "../lock/held-lease.ts";
import type { Connection } from "../mail/connection.ts";
import type { ParseInWorker } from "../mail/raw/raw-message.ts";
import type { MailSession } from "../mail/session.ts";
import type { FetchWorker } from "../offload/fetch-worker.ts";
import type { Storage } from "../offload/storage.ts";
import type { Gate } from "../resilience/gate.ts";
import type { CompiledRule } from "../rules/compile.ts";
import type { CursorRecord, Store } from "../store/store.ts";
import type { Deliver } from "../webhook/deliver.ts";
import type { Destinations } from "../webhook/destinations.ts";
import type { GapMemory } from "./reading/look.ts";

/** The hot settings of one cycle, with their rules compiled. */
export interface HotInForce {
  polling: PollingSettings;
  webhook: WebhookSettings;
  /** Rules that can be used, in order. */
  rules: readonly CompiledRule[];
  /** The same as configured, to look a destination up by id. */
  configuredRules: readonly Rule[];
}

/**
 * How often a message failed, by how: alone on the connection, late, in our code, its header too, and
 * when it was read from its octets.
 */
export interface Strikes {
  closed: number;
  late: number;
  faults: number;
  headers: number;
  octets: number;
}

/** What is remembered of a folder between cycles, in memory only. */
export interface FolderMemory {
  /** Listed by the last search and not yet taken. */
  pending: number[];
  gaps: GapMemory;
  /** Messages that were being read when a command died; they are read one at a time. */
  suspects: Map<number, Strikes>;
  /** Different messages that failed alone since one was read whole. */
  failedAlone: Set<number>;
  /** How often in a row the server was blamed for that. */
  illRounds: number;
  /** Reading UIDs are written down first, because the last process did not end cleanly. */
  recordReading: boolean;
  /** How often a UID was being read alone when a process ended. */
  soloDeaths: Map<number, number>;
  /** The cursor as committed last; null: not read yet, or never set. */
  cursor: CursorRecord | null;
  /** The session whose UIDVALIDITY the cursor was compared with; it cannot change under a session. */
  comparedWith: MailSession | null;
  /** After a refusal, actions after delivery are not tried before this (monotonic). */
  nextActionMs: number;
  /** When the folder was last proved to be seen (wall time). */
  lastProofMs: number | null;
  /** Deliveries on their way or in line, and waits for room; each ends by a deadline of its own. */
  delivering: number;
  /** Counts everything that shows progress, for the cycle's watch. */
  progress: number;
  /** The log was told that an operator must decide where the mailbox begins. */
  askedDecision: boolean;
  /** Did the last wait end by news from the server? */
  pushed: boolean;
  /** The store refused a commit of a cycle and is being tried again. */
  commitFailing: boolean;
  /** The store refused what became of spooled deliveries and is being tried again. */
  spoolFailing: boolean;
}

/** Memory of a folder that was not looked at yet. */
export const createFolderMemory = (): FolderMemory => ({
  pending: [],
  gaps: [],
  suspects: new Map(),
  failedAlone: new Set(),
  illRounds: 0,
  recordReading: false,
  soloDeaths: new Map(),
  cursor: null,
  comparedWith: null,
  nextActionMs: 0,
  lastProofMs: null,
  delivering: 0,
  progress: 0,
  askedDecision: false,
  pushed: false,
  commitFailing: false,
  spoolFailing: false,
});

/** Where attachments and the files behind links go; null for what is not configured. */
export interface Offload {
  settings: OffloadSettings;
  storage: Storage | null;
  worker: FetchWorker | null;
}

/** Parts of the daemon that all mailboxes share. */
export interface SharedParts {
  clock: Clock;
  random: Random;
  log: Log;
  metrics: Metrics;
  store: Store;
  deliver: Deliver;
  destinations: Destinations;
  /** Bytes of bodies in memory, whole process. */
  bytesInFlight: Gate;
  parseInWorker: ParseInWorker;
  /** Null: nothing is moved to storage. */
  offload: Offload | null;
  limits: Limits;
  hmacKey: Uint8Array;
  /** May log lines carry sender and subject, masked? */
  logMaskedText: boolean;
}

/** Everything one cycle of one mailbox works with. */
export interface FolderContext extends SharedParts {
  mailbox: MailboxSettings;
  connection: Connection;
  /** A second one, on which attachments are read; opened when it is needed. */
  attachments: Connection;
  memory: FolderMemory;
  hot: HotInForce;
  lease: Lease;
  /** Something was committed to the spool, with a time of its own. */
  spooled(): void;
  /** Asked to stop: begin nothing new, finish what is in flight. */
  stop: AbortSignal;
  /** Aborted when work must end now: lost lease, overdue cycle, end of the grace period. */
  abort: AbortSignal;
  /** Both: aborted as soon as one of them is. */
  ending: AbortSignal;
}
