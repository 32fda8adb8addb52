// Who may poll a mailbox: composes the host's lock (and, later, a shared one) behind the lease state
// machine of lease.ts, and hands out the lease that every effect asserts. Called by the mailbox loop.

/** The right to poll one mailbox. */
export interface Lease {
  /** Above every fence issued before (DESIGN section 5). */
  readonly fence: number;
  /** Resolves when an effect may start now; rejects with `LeaseLostError`. Call it before each one. */
  assert(): Promise<void>;
  /** Aborted when the lease is lost; every port gets it. */
  readonly signal: AbortSignal;
}

/** Why a lease was refused. */
export type RefusalReason = "held_by_other" | "lock_file_error";

/** The answer to one try. */
export type LeaseAnswer =
  | { kind: "held"; lease: Lease }
  | { kind: "refused"; reason: RefusalReason; code: string | null };

/** The lease as `status` shows it. */
export interface LeaseView {
  state: "free" | "standby" | "held" | "lost";
  fence: number | null;
  sinceMs: number;
}

/** The lock of one mailbox. */
export interface PollerLock {
  /** Returns the held lease, or tries once to get it. */
  acquire(): Promise<LeaseAnswer>;
  /** Gives it back, after in-flight work ended. */
  release(): Promise<void>;
  view(): LeaseView;
}
