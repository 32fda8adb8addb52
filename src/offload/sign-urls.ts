// Signed URLs in a payload that is about to be sent: a payload may wait for days in the spool, a signature
// is good for some time only. Called by the delivery before each attempt, when the bucket is not public.
import type { Clock } from "../core/clock.ts";
import type { ObjectStore } from "./object-store.ts";

/** Stands in a payload only where an attachment was stored: in a string its quotes would be escaped. */
const STORED = '"key":"';

/** The part of a payload that is looked at. */
interface StoredPayload {
  data: { attachments: { key: string | null; url: string | null }[] };
}

/** What signing takes. */
export interface SignDeps {
  clock: Clock;
  objectStore: () => Pick<ObjectStore, "signGet">;
  /** How long a URL is good for, from the attempt on. */
  presignSeconds: number;
}

const signedUrl = async (deps: SignDeps, key: string): Promise<string | null> => {
  const { clock, objectStore, presignSeconds: seconds } = deps;
  try {
    return await objectStore().signGet(key, { seconds, nowMs: clock.wallMs() });
  } catch {
    // The attachment is there, and its key says where: no reason to hold the event back.
    return null;
  }
};

/**
 * The payload with a URL, signed now, for each attachment that has a key; in all else byte for byte what
 * it was. A URL that cannot be signed is null. Never rejects.
 */
export const createSignUrls =
  (deps: SignDeps): ((payload: string) => Promise<string>) =>
  async (payload) => {
    if (!payload.includes(STORED)) return payload;
    const body = JSON.parse(payload) as StoredPayload;
    for (const attachment of body.data.attachments) {
      if (attachment.key !== null) attachment.url = await signedUrl(deps, attachment.key);
    }
    return JSON.stringify(body);
  };
