// The contract of an outgoing request: one POST, answered by a status line or a failure of a known
// class. The undici adapter keeps it for the real network, the simulator for simulated receivers.

/** One POST. Aborting `signal` (deadline, lost lease) destroys it. */
export interface HttpRequest {
  url: string;
  headers: Readonly<Record<string, string>>;
  body: string;
  /** May this request reach private and loopback addresses? Link-local ones are refused always. */
  allowPrivateAddresses: boolean;
  /** Sockets to this origin at most. */
  connections: number;
  /** Wait for the answer's body, of at most so many bytes; without it the body is thrown away. */
  maxBodyBytes?: number;
  signal: AbortSignal;
}

/**
 * `answered` as soon as the status line and headers are in: the body is read up to 64 KiB and thrown
 * away behind the caller's back. With `maxBodyBytes`: as soon as the body has ended, with its text as
 * `body`, which is missing when it was longer or broke off. `failed` never carries a text of the other
 * side. `aborted`: our own signal ended it.
 */
export type HttpResult =
  | { kind: "answered"; status: number; retryAfter: string | null; body?: string }
  | {
      kind: "failed";
      errorClass: "timeout" | "refused" | "dns" | "tls" | "reset" | "egress_refused";
    }
  | { kind: "aborted" };

/** Sends; never rejects. */
export type SendHttp = (request: HttpRequest) => Promise<HttpResult>;
