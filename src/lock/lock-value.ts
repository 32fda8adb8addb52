// What stands in a lock key: our own `<uuid>:<fence>:<renewals>`, or something of another program, such as
// the Python service's `pid=…`. Read by the lock, by the cluster's watch and by the status.

/** The value of a lock that a Signalpost process holds. */
export interface LockValue {
  /** The uuid of the process. */
  owner: string;
  fence: number;
  renewals: number;
}

const OURS = /^([0-9a-f-]{36}):(\d{1,16}):(\d{1,16})$/;

/** Fences are about milliseconds since 1970; one beyond this cannot be counted on exactly. */
const MAX_FENCE = 2 ** 52;

/** The parts of a value of ours; null for any other text, and for a fence that we never issued. */
export const parseLockValue = (text: string): LockValue | null => {
  const [, owner, fence, renewals] = OURS.exec(text) ?? [];
  if (owner === undefined || Number(fence) >= MAX_FENCE) return null;
  return { owner, fence: Number(fence), renewals: Number(renewals) };
};

/** The value as it is stored. */
export const formatLockValue = ({ owner, fence, renewals }: LockValue): string =>
  `${owner}:${fence}:${renewals}`;
