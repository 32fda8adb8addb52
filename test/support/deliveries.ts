// What a fault test asks of a receiver when all is over: did every message come, under one id each, and
// how often more than once. Messages are known by their subjects, which the test made, so that nothing
// here leans on the ids that are being judged.
import { setTimeout as sleep } from "node:timers/promises";
import { message, multipart, plainMessage, textPart } from "./mail.ts";
import type { ReceivedRequest } from "./receiver.ts";

/** The subjects `m<from>` and so on, `count` of them. */
export const subjects = (count: number, from = 1): string[] =>
  Array.from({ length: count }, (_, index) => `m${from + index}`);

/** A small message for each subject. */
export const messagesFor = (names: readonly string[]): Buffer[] =>
  names.map((name) => plainMessage(`body of ${name}`, { subject: name }));

/**
 * A message of which neither the envelope nor the structure fits into a line that a careful client
 * takes; `word` stands in every address and part.
 */
export const poisonMessage = (subject: string, word = "poison"): Buffer => {
  const recipients = Array.from({ length: 50_000 }, (_, index) => `${word}${index}@example.com`);
  const part = textPart({ text: word });
  const extra = [["Cc", recipients.join(",\r\n ")]] as const;
  return message(
    { subject, extra },
    multipart(
      "mixed",
      Array.from({ length: 5000 }, () => part),
    ),
  );
};

/** The subject of the message that a request carries. */
export const subjectOf = ({ body }: ReceivedRequest): string =>
  String((JSON.parse(body) as { data: { subject: unknown } }).data.subject);

/** What came in. */
export interface Deliveries {
  /** Of `names`, those that never came. */
  missing(names: readonly string[]): string[];
  /** Messages that came under more than one id, and ids under which more than one message came. */
  torn: string[];
  /** Requests beyond the first of each message. */
  repeats: number;
  /** The most requests for one message. */
  most: number;
}

/** Sums up requests; give it those that were accepted, or all. */
export const deliveriesOf = (requests: readonly ReceivedRequest[]): Deliveries => {
  const bySubject = Map.groupBy(requests, subjectOf);
  const byId = Map.groupBy(requests, ({ id }) => id);
  const idsOf = (found: readonly ReceivedRequest[]): number =>
    new Set(found.map(({ id }) => id)).size;
  const subjectsOf = (found: readonly ReceivedRequest[]): number =>
    new Set(found.map(subjectOf)).size;
  return {
    missing: (names) => names.filter((name) => !bySubject.has(name)),
    torn: [
      ...[...bySubject].filter(([, found]) => idsOf(found) > 1),
      ...[...byId].filter(([, found]) => subjectsOf(found) > 1),
    ].map(([name]) => name),
    repeats: requests.length - bySubject.size,
    most: Math.max(0, ...[...bySubject.values()].map((found) => found.length)),
  };
};

/** The fences of requests in the order in which these began; one that comes back stands there twice. */
export const fencesInOrder = (requests: readonly ReceivedRequest[]): number[] =>
  requests
    .toSorted((a, b) => a.beganMs - b.beganMs)
    .map(({ fence }) => fence)
    .filter((fence, index, all) => index === 0 || fence !== all[index - 1]);

/** Asks again and again until the answer is yes; rejects after `timeoutMs`. */
export const until = async (
  what: string,
  isDone: () => boolean | Promise<boolean>,
  timeoutMs = 30_000,
): Promise<void> => {
  for (const endMs = performance.now() + timeoutMs; performance.now() < endMs; await sleep(50)) {
    if (await isDone()) return;
  }
  throw new Error(`not within ${timeoutMs} ms: ${what}`);
};
