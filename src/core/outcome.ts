// How a message ends, and how one delivery of it ends. Shared by the cycle that decides, the store
// that keeps it and the faces that show it.

/** Why a message was filtered (DESIGN section 2). */
export type FilterReason = "sender" | "reply" | "rule_drop" | "subject_group";

/** Classes of a failed attempt, a closed list (metric label, spool field). */
export type DeliveryErrorClass =
  | "timeout"
  | "refused"
  | "dns"
  | "tls"
  | "reset"
  | "redirect"
  | "egress_refused"
  | "http_4xx"
  | "http_429"
  | "http_5xx"
  | "destination_gone";

/** Why a spool row is parked. */
export type ParkReason = DeliveryErrorClass | "attempts_exhausted" | "mailbox_gone";

/** Where one (event, destination) pair stands. */
export type PairState =
  | { kind: "delivered"; attempts: number }
  | { kind: "waiting"; attempts: number; errorClass: DeliveryErrorClass | null }
  | { kind: "parked"; attempts: number; reason: ParkReason }
  | { kind: "dropped"; attempts: number };

/** A message's outcome as its receipt shows it. */
export type Outcome = "delivered" | "filtered" | "spooled" | "parked" | "gone";

/** The outcome of a message whose every pair has a state (DESIGN section 2). */
export const outcomeOfPairs = (pairs: Iterable<PairState>): Outcome => {
  const kinds = new Set([...pairs].map(({ kind }) => kind));
  if (kinds.has("waiting")) return "spooled";
  return kinds.has("parked") || kinds.has("dropped") ? "parked" : "delivered";
};

/** What one cycle found. `more`: look again at once; `full`: the spool is at its mark. */
export type CycleResult = { kind: "idle" } | { kind: "more" } | { kind: "full" };
