// Time as a parameter. Everything in src that waits or asks for the time does it through a Clock, so
// that the simulator can run the same code under virtual time. The system's clock is an adapter in
// daemon/; the virtual one is in test/support.

/** The only source of time. */
export interface Clock {
  /** Milliseconds that never go back and go on counting through suspend; no meaning but differences. */
  monoMs(): number;
  /** Milliseconds since 1970 UTC, as the host believes; may jump. */
  wallMs(): number;
  /**
   * Resolves after `ms`; when `signal` aborts it resolves early (it never rejects), so that callers
   * look at the signal afterwards.
   */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}
