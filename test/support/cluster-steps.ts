// Steps that the tests of the cluster's faults have in common: nodes that start, a receiver that takes some
// of the mail and not the rest, and the wait until all that arrived has its outcome.
import type { ClusterScene } from "./cluster.ts";
import { subjectOf, until } from "./deliveries.ts";
import type { ReceivedRequest, ReceiverOptions } from "./receiver.ts";

/** How long a test waits for what must come in the end, on a busy machine too. */
export const PATIENCE_MS = 60_000;

/** A receiver's moods, by subject. */
export interface Moods {
  /** Requests that were answered by 200, in the order they came. */
  readonly accepted: readonly ReceivedRequest[];
  answer: NonNullable<ReceiverOptions["answer"]>;
  /** What begins with `wait` is taken from here on. */
  open(): void;
}

/** Refuses for good what begins with `park`, and until it is opened what begins with `wait`. */
export const createMoods = (): Moods => {
  const accepted: ReceivedRequest[] = [];
  let isOpen = false;
  return {
    accepted,
    answer: (request) => {
      const subject = subjectOf(request);
      if (subject.startsWith("park")) return { status: 400 };
      if (subject.startsWith("wait") && !isOpen) return { status: 503 };
      accepted.push(request);
      return {};
    },
    open: () => {
      isOpen = true;
    },
  };
};

/** Waits until the holder has settled so many messages, and its spool stands as it is said. */
export const untilSettled = async (
  scene: Pick<ClusterScene, "holder" | "node">,
  settledUpTo: number,
  spool: { waiting: number; parked: number } = { waiting: 0, parked: 0 },
): Promise<void> => {
  let last: unknown = null;
  const isSettled = async (): Promise<boolean> => {
    const holder = await scene.holder();
    if (holder === null) return false;
    const [mailbox] = (await scene.node(holder).status()).mailboxes;
    if (mailbox === undefined) return false;
    const { settled_up_to: upTo, spool: now } = mailbox;
    last = { upTo, ...now };
    return upTo === settledUpTo && now.waiting === spool.waiting && now.parked === spool.parked;
  };
  const wanted = JSON.stringify({ upTo: settledUpTo, ...spool });
  await until(`the holder's mailbox stands at ${wanted}`, isSettled, PATIENCE_MS).catch(
    (error: Error) => {
      throw new Error(`${error.message}; it stands at ${JSON.stringify(last)}`);
    },
  );
};

/** Starts the nodes of these names; resolves when one of them holds the mailbox. */
export const startNodes = async (
  scene: Pick<ClusterScene, "holder" | "node">,
  ...names: readonly string[]
): Promise<void> => {
  for (const name of names) await scene.node(name).start();
  const isHeld = async (): Promise<boolean> => (await scene.holder()) !== null;
  await until("one of the nodes holds the mailbox", isHeld, PATIENCE_MS);
};

/** The mailbox may move once to a node that comes; then it stays where it was seen so often. */
const CALM_LOOKS = 30;

/** The name of the node that holds the mailbox, and goes on to. */
export const calmHolder = async (scene: Pick<ClusterScene, "holder">): Promise<string> => {
  let holder: string | null = null;
  let looks = 0;
  const isCalm = async (): Promise<boolean> => {
    const now = await scene.holder();
    looks = now !== null && now === holder ? looks + 1 : 1;
    holder = now;
    return now !== null && looks >= CALM_LOOKS;
  };
  await until("one of the nodes goes on to hold the mailbox", isCalm, PATIENCE_MS);
  return holder ?? "";
};
