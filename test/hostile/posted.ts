// What the receiver got of one mailbox, judged: what became of a message, and whether its payload is
// something that every receiver can take.
import type { ReceivedRequest } from "../support/receiver.ts";

/** The fields of a payload that the suite looks at. */
export interface Posted {
  id: string;
  atMs: number;
  data: {
    mailbox: string;
    uid: number;
    subject: string | null;
    unreadable: string | null;
    text: string | null;
    html: string | null;
    truncated: readonly string[];
    attachments: readonly { filename: string | null }[];
  };
}

/** A request as what it carries. */
export const postedOf = ({ id, atMs, body }: ReceivedRequest): Posted => ({
  ...{ id, atMs },
  data: (JSON.parse(body) as { data: Posted["data"] }).data,
});

/** What became of a message, in a few words. */
export const outcomeOf = ({ data }: Posted): string => {
  if (data.unreadable !== null) return `reduced: ${data.unreadable}`;
  const { truncated } = data;
  return truncated.length === 0 ? "delivered" : `delivered, truncated: ${truncated.join(", ")}`;
};

/** Everything of a message that people read, joined. */
export const textsOf = ({ data }: Posted): string =>
  [data.subject, data.text, data.html].filter((text) => text !== null).join("\n");

/** What no payload may hold: text that is no Unicode, NUL, and line breaks in one-line fields. */
const malformedIn = ({ data }: Posted): string[] => {
  const json = JSON.stringify(data);
  const names = [data.subject, ...data.attachments.map(({ filename }) => filename)];
  return [
    ...(/\\ud[89a-f][0-9a-f]{2}/i.test(json) ? ["a lone surrogate in the payload"] : []),
    ...(json.includes("\\u0000") ? ["NUL in the payload"] : []),
    ...(names.some((name) => /[\r\n]/.test(name ?? "")) ? ["a line break in a name"] : []),
  ];
};

/** What is wrong with the posts of one message: lost, sent twice, not well formed, wrongly signed. */
export const faultsOf = (what: string, requests: readonly ReceivedRequest[]): string[] => {
  if (requests.length === 0) return [`${what} has not come`];
  return [
    ...(requests.length > 1 ? [`${what} was sent ${requests.length} times`] : []),
    ...(requests.some(({ verified }) => !verified) ? [`${what} is signed wrongly`] : []),
    ...requests.slice(0, 1).flatMap((request) => malformedIn(postedOf(request))),
  ];
};
