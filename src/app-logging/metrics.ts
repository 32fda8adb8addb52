// Every number that `/metrics` shows (DESIGN section 10), behind plain functions: who counts something
// names what happened, not a metric. Labels are ids and words from closed lists; no address, folder, URL
// or foreign text ever becomes one. Made by the daemon, one per process.
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import type { DeliveryErrorClass, Outcome } from "../core/outcome.ts";

/** States of a lease that the metric tells apart. */
export const LEASE_STATES = ["free", "standby", "lock_delay", "held", "alone", "lost"] as const;

/** How Redis is, as the metric tells it apart. */
export const REDIS_STATES = ["unknown", "reachable", "failing", "unsafe"] as const;

/** What can be counted. Mailboxes and destinations are ids; durations are seconds. */
export interface Metrics {
  /** One look at a folder ended, well or not, after so long. */
  cycle(seconds: number): void;
  stepSeconds(step: string, seconds: number): void;
  /** A message is settled; a reduced one counts as `reduced` alone. */
  messageSettled(mailbox: string, outcome: Outcome | "reduced"): void;
  /** New mail was seen because the server told us (`push`) or because we looked (`poll`). */
  mailFound(mailbox: string, how: "push" | "poll"): void;
  /** UIDVALIDITY changed; so many old messages were not delivered again. */
  mailboxReset(mailbox: string, skipped: number): void;
  /** `paused`: the receiver asked to wait, which uses no attempt. */
  deliveryAttempt(destination: string, result: DeliveryErrorClass | "delivered" | "paused"): void;
  /** The spool as it is now, over all mailboxes. */
  spool(usage: { waiting: number; parked: number; bytes: number }): void;
  leaseState(mailbox: string, state: (typeof LEASE_STATES)[number]): void;
  leaseFence(mailbox: string, fence: number): void;
  /** `result`: a word of `AcquisitionResult` in lock/. */
  lockAcquisition(result: string): void;
  /** How Redis was at the last look; never called without one. */
  redisState(state: (typeof REDIS_STATES)[number]): void;
  /** Living nodes of the cluster, this one among them. */
  clusterNodes(count: number): void;
  /**
   * An attachment or a link that was to be offloaded: `stored`, or why not, a word of `UploadFailure` or
   * `FetchFailure` in offload/.
   */
  offload(what: "attachment" | "link", result: string): void;
  /** So many decoded bytes were stored. */
  offloadBytes(count: number): void;
  /** Does the storage (or the worker) work, or is it only probed? */
  offloadUsable(what: "attachment" | "link", isUsable: boolean): void;
  /** `reason`: a word of `MailFailure` or another from a closed list. */
  reconnect(mailbox: string, reason: string): void;
  /** The HTML of a message was cut at its cap; once a message. */
  htmlTruncated(): void;
  logLinesDropped(count: number): void;
  /** Seconds since we last proved that we see the mailbox, read at each scrape; null before the first. */
  lastProofAge(mailbox: string, read: () => number | null): void;
  /** The event loop's largest delay since the last scrape, in seconds; read at each scrape. */
  eventLoopDelay(read: () => number): void;
  /** Bytes of message bodies in memory, read at each scrape. */
  bytesInFlight(read: () => number): void;
  /** Drops every series of a mailbox that is no longer configured. */
  forgetMailbox(mailbox: string): Promise<void>;
  /** Everything in Prometheus' text format, version 0.0.4. */
  render(): Promise<string>;
}

const SECONDS = [0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10, 60, 300, 900];

/** A gauge without labels that is read at each scrape. */
const createReadGauge = (registers: Registry[], name: string, help: string) => {
  let read = (): number => 0;
  const gauge: Gauge = new Gauge({
    name: `signalpost_${name}`,
    help,
    registers,
    collect: () => gauge.set(read()),
  });
  return (next: () => number): void => {
    read = next;
  };
};

const createProofAges = (registers: Registry[]) => {
  const reads = new Map<string, () => number | null>();
  const gauge = new Gauge({
    name: "signalpost_last_proof_age_seconds",
    help: "Seconds since we last proved that we see the mailbox.",
    labelNames: ["mailbox"],
    registers,
    collect() {
      gauge.reset();
      for (const [mailbox, read] of reads) {
        const seconds = read();
        if (seconds !== null) gauge.set({ mailbox }, seconds);
      }
    },
  });
  return reads;
};

const createCounters = (registers: Registry[]) => {
  const counter = <L extends string>(name: string, help: string, labelNames: readonly L[]) =>
    new Counter<L>({ name: `signalpost_${name}`, help, labelNames, registers });
  return {
    cycles: counter("cycles_total", "Looks at a folder that ended, well or not.", []),
    messages: counter("messages_total", "Messages settled.", ["mailbox", "outcome"]),
    found: counter("mail_found_total", "Looks that found mail, by what led to them.", [
      "mailbox",
      "how",
    ]),
    resets: counter("mailbox_resets_total", "Changes of UIDVALIDITY.", ["mailbox"]),
    resetSkipped: counter("reset_skipped_total", "Old messages not delivered after a reset.", [
      "mailbox",
    ]),
    attempts: counter("delivery_attempts_total", "Attempts to deliver, by how they ended.", [
      "destination",
      "class",
    ]),
    acquisitions: counter("lock_acquisitions_total", "Tries to get a lock.", ["result"]),
    reconnects: counter("imap_reconnects_total", "Connections to a mail server made anew.", [
      "mailbox",
      "reason",
    ]),
    offloads: counter("offloads_total", "Attachments and links to be offloaded, by their end.", [
      "what",
      "result",
    ]),
    offloadBytes: counter("offload_bytes_total", "Decoded bytes of attachments stored.", []),
    truncations: counter("html_truncations_total", "Messages whose HTML was cut at its cap.", []),
    dropped: counter("log_lines_dropped_total", "Log lines dropped, their reader being slow.", []),
  };
};

const createGauges = (registers: Registry[]) => {
  const gauge = <L extends string>(name: string, help: string, labelNames: readonly L[]) =>
    new Gauge<L>({ name: `signalpost_${name}`, help, labelNames, registers });
  return {
    spoolEntries: gauge("spool_entries", "Deliveries in the spool.", ["state"]),
    spoolBytes: gauge("spool_bytes", "Bytes of payload in the spool.", []),
    leaseState: gauge("lease_state", "1 for the state the lease is in.", ["mailbox", "state"]),
    leaseFence: gauge("lease_fence", "Fence of the lease last held here.", ["mailbox"]),
    redisState: gauge("redis_state", "1 for the state Redis is in.", ["state"]),
    offloadUsable: gauge("offload_usable", "1 while what takes them works; 0: only probed.", [
      "what",
    ]),
    clusterNodes: gauge("cluster_nodes", "Living nodes of the cluster; 0 without Redis.", []),
    cycleSeconds: new Histogram({
      name: "signalpost_cycle_seconds",
      help: "Duration of one look at a folder.",
      buckets: SECONDS,
      registers,
    }),
    stepSeconds: new Histogram({
      name: "signalpost_step_seconds",
      help: "Duration of a step of a cycle.",
      labelNames: ["step"],
      buckets: SECONDS,
      registers,
    }),
    proofAges: createProofAges(registers),
    eventLoopDelay: createReadGauge(
      registers,
      "event_loop_delay_seconds",
      "Largest delay of the event loop since the last scrape.",
    ),
    bytesInFlight: createReadGauge(
      registers,
      "bytes_in_flight",
      "Bytes of message bodies in memory.",
    ),
  };
};

/** What a metric with the label `mailbox` offers. */
interface MailboxMetric {
  get(): Promise<{ values: readonly { labels: object }[] }>;
  remove(labels: Record<string, string>): void;
}

const forget = async (metric: MailboxMetric, mailbox: string): Promise<void> => {
  const { values } = await metric.get();
  for (const { labels } of values as readonly { labels: Record<string, string> }[]) {
    if (labels["mailbox"] === mailbox) metric.remove(labels);
  }
};

/** Builds the metrics of a process, in a registry of their own. */
export const createMetrics = (): Metrics => {
  const registry = new Registry();
  const counters = createCounters([registry]);
  const gauges = createGauges([registry]);
  const { messages, found, resets, resetSkipped, reconnects } = counters;
  const { leaseState, leaseFence, proofAges } = gauges;
  const ofMailbox: readonly MailboxMetric[] = [
    ...[messages, found, resets, resetSkipped, reconnects],
    ...[leaseState, leaseFence],
  ];
  return {
    cycle(seconds) {
      counters.cycles.inc();
      gauges.cycleSeconds.observe(seconds);
    },
    stepSeconds: (step, seconds) => gauges.stepSeconds.observe({ step }, seconds),
    messageSettled: (mailbox, outcome) => messages.inc({ mailbox, outcome }),
    mailFound: (mailbox, how) => found.inc({ mailbox, how }),
    mailboxReset(mailbox, skipped) {
      resets.inc({ mailbox });
      resetSkipped.inc({ mailbox }, skipped);
    },
    deliveryAttempt: (destination, result) => counters.attempts.inc({ destination, class: result }),
    spool({ waiting, parked, bytes }) {
      gauges.spoolEntries.set({ state: "waiting" }, waiting);
      gauges.spoolEntries.set({ state: "parked" }, parked);
      gauges.spoolBytes.set(bytes);
    },
    leaseState(mailbox, now) {
      for (const state of LEASE_STATES) leaseState.set({ mailbox, state }, state === now ? 1 : 0);
    },
    leaseFence: (mailbox, fence) => leaseFence.set({ mailbox }, fence),
    lockAcquisition: (result) => counters.acquisitions.inc({ result }),
    redisState(now) {
      for (const state of REDIS_STATES) gauges.redisState.set({ state }, state === now ? 1 : 0);
    },
    clusterNodes: (count) => gauges.clusterNodes.set(count),
    offload: (what, result) => counters.offloads.inc({ what, result }),
    offloadBytes: (count) => counters.offloadBytes.inc(count),
    offloadUsable: (what, isUsable) => gauges.offloadUsable.set({ what }, isUsable ? 1 : 0),
    reconnect: (mailbox, reason) => reconnects.inc({ mailbox, reason }),
    htmlTruncated: () => counters.truncations.inc(),
    logLinesDropped: (count) => counters.dropped.inc(count),
    lastProofAge: (mailbox, read) => void proofAges.set(mailbox, read),
    eventLoopDelay: gauges.eventLoopDelay,
    bytesInFlight: gauges.bytesInFlight,
    async forgetMailbox(mailbox) {
      proofAges.delete(mailbox);
      for (const metric of ofMailbox) await forget(metric, mailbox);
    },
    render: () => registry.metrics(),
  };
};
