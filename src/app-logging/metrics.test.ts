// Checks the numbers that `/metrics` shows: the published names, their labels, and that a mailbox that is
// gone leaves no series behind.
import { describe, expect, test } from "vitest";
import { createMetrics } from "./metrics.ts";

const PUBLISHED = [
  "cycles_total",
  "cycle_seconds",
  "step_seconds",
  "messages_total",
  "mail_found_total",
  "mailbox_resets_total",
  "reset_skipped_total",
  "delivery_attempts_total",
  "spool_entries",
  "spool_bytes",
  "lease_state",
  "lease_fence",
  "lock_acquisitions_total",
  "last_proof_age_seconds",
  "imap_reconnects_total",
  "html_truncations_total",
  "log_lines_dropped_total",
  "event_loop_delay_seconds",
  "bytes_in_flight",
  "cluster_nodes",
  "redis_state",
  "offloads_total",
  "offload_bytes_total",
  "offload_usable",
];

const lines = async (metrics: { render(): Promise<string> }): Promise<string[]> =>
  (await metrics.render()).split("\n").filter((line) => line !== "" && !line.startsWith("#"));

describe("the metrics", () => {
  test("show every published name and no other", async () => {
    const text = await createMetrics().render();
    const names = [...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name);
    expect(names.toSorted()).toEqual(PUBLISHED.map((name) => `signalpost_${name}`).toSorted());
  });

  test("count what happened under ids and words", async () => {
    const metrics = createMetrics();
    metrics.cycle(0.2);
    metrics.messageSettled("default", "delivered");
    metrics.messageSettled("default", "delivered");
    metrics.messageSettled("default", "reduced");
    metrics.mailFound("default", "poll");
    metrics.mailboxReset("default", 3);
    metrics.deliveryAttempt("rule-crm", "http_5xx");
    metrics.lockAcquisition("acquired");
    metrics.reconnect("default", "unreachable");
    metrics.htmlTruncated();
    metrics.logLinesDropped(4);
    metrics.leaseFence("default", 17);
    metrics.spool({ waiting: 2, parked: 1, bytes: 900 });
    expect(await lines(metrics)).toEqual(
      expect.arrayContaining([
        "signalpost_cycles_total 1",
        "signalpost_cycle_seconds_count 1",
        'signalpost_messages_total{mailbox="default",outcome="delivered"} 2',
        'signalpost_messages_total{mailbox="default",outcome="reduced"} 1',
        'signalpost_mail_found_total{mailbox="default",how="poll"} 1',
        'signalpost_mailbox_resets_total{mailbox="default"} 1',
        'signalpost_reset_skipped_total{mailbox="default"} 3',
        'signalpost_delivery_attempts_total{destination="rule-crm",class="http_5xx"} 1',
        'signalpost_lock_acquisitions_total{result="acquired"} 1',
        'signalpost_imap_reconnects_total{mailbox="default",reason="unreachable"} 1',
        "signalpost_html_truncations_total 1",
        "signalpost_log_lines_dropped_total 4",
        'signalpost_lease_fence{mailbox="default"} 17',
        'signalpost_spool_entries{state="waiting"} 2',
        'signalpost_spool_entries{state="parked"} 1',
        "signalpost_spool_bytes 900",
      ]),
    );
  });

  test("put a step into the bucket of its seconds", async () => {
    const metrics = createMetrics();
    metrics.stepSeconds("read", 0.05);
    expect(await lines(metrics)).toEqual(
      expect.arrayContaining([
        'signalpost_step_seconds_bucket{le="0.025",step="read"} 0',
        'signalpost_step_seconds_bucket{le="0.1",step="read"} 1',
      ]),
    );
  });

  test("show exactly one state of a lease", async () => {
    const metrics = createMetrics();
    metrics.leaseState("default", "standby");
    metrics.leaseState("default", "held");
    const states = (await lines(metrics)).filter((line) => line.includes("lease_state"));
    expect(states).toHaveLength(6);
    expect(states.filter((line) => line.endsWith(" 1"))).toEqual([
      'signalpost_lease_state{mailbox="default",state="held"} 1',
    ]);
  });

  test("show exactly one state of Redis, and none without it", async () => {
    const metrics = createMetrics();
    const states = async () =>
      (await lines(metrics)).filter((line) => line.includes("redis_state"));
    expect(await states()).toEqual([]);
    metrics.redisState("reachable");
    metrics.redisState("failing");
    metrics.clusterNodes(3);
    expect((await states()).filter((line) => line.endsWith(" 1"))).toEqual([
      'signalpost_redis_state{state="failing"} 1',
    ]);
    expect(await lines(metrics)).toContain("signalpost_cluster_nodes 3");
  });

  test("read ages, delay and bytes anew at each scrape", async () => {
    const metrics = createMetrics();
    let value = 1;
    metrics.lastProofAge("default", () => value);
    metrics.lastProofAge("never-seen", () => null);
    metrics.eventLoopDelay(() => value * 10);
    metrics.bytesInFlight(() => value * 100);
    await metrics.render();
    value = 2;
    const seen = await lines(metrics);
    expect(seen).toContain('signalpost_last_proof_age_seconds{mailbox="default"} 2');
    expect(seen).toContain("signalpost_event_loop_delay_seconds 20");
    expect(seen).toContain("signalpost_bytes_in_flight 200");
    expect(seen.some((line) => line.includes("never-seen"))).toBe(false);
  });

  test("forget a mailbox without a trace and keep the others", async () => {
    const metrics = createMetrics();
    for (const mailbox of ["default", "sales"]) {
      metrics.messageSettled(mailbox, "delivered");
      metrics.messageSettled(mailbox, "gone");
      metrics.mailFound(mailbox, "push");
      metrics.mailboxReset(mailbox, 1);
      metrics.reconnect(mailbox, "throttled");
      metrics.leaseState(mailbox, "held");
      metrics.leaseFence(mailbox, 4);
      metrics.lastProofAge(mailbox, () => 1);
    }
    await metrics.forgetMailbox("sales");
    const seen = await lines(metrics);
    expect(seen.filter((line) => line.includes('"sales"'))).toEqual([]);
    expect(seen.filter((line) => line.includes('"default"'))).toHaveLength(14);
  });

  test("of two processes in one test do not mix", async () => {
    const [one, other] = [createMetrics(), createMetrics()];
    one.htmlTruncated();
    expect(await lines(other)).toContain("signalpost_html_truncations_total 0");
  });
});
