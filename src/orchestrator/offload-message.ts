// What a message refers to, moved to storage before its event is sent: its attachments, and the files
// behind its links. Whatever fails, the event goes out in time and says so. Called for each message that
// the rules let through.
import { errorCode } from "../core/errors.ts";
import type { Attachment, Message, ProviderLink, StoredObject } from "../core/message.ts";
import { readPart } from "../mail/part-stream.ts";
import type { FetchFailure } from "../offload/fetch-worker.ts";
import type { UploadFailure } from "../offload/storage.ts";
import { OFFLOAD_TIMEOUT_MS, OutOfTimeError } from "../offload/upload.ts";
import { wantedAttachments } from "../offload/wanted.ts";
import type { FolderContext, Offload } from "./folder-context.ts";

/** More links than this of one message are not fetched. */
const MAX_LINKS = 20;

/** Of one message at a time, of each kind. */
const AT_A_TIME = 2;

/** One message being offloaded. */
interface Work {
  context: FolderContext;
  offload: Offload;
  message: Message;
  /** Aborts when nothing is sent any more, and with an `OutOfTimeError` when the message's time is up. */
  signal: AbortSignal;
  /** When that is (monotonic). */
  endMs: number;
}

type Failure = UploadFailure | FetchFailure | "too_many";

/** An attachment in storage, with its decoded size. */
interface Stored {
  offloaded: StoredObject;
  sizeBytes: number;
}

/** Runs `each` over all items, two at a time; rejects only when nothing of it runs any more. */
const forAll = async <T>(items: readonly T[], each: (item: T) => Promise<void>): Promise<void> => {
  const left = [...items];
  let isBroken = false;
  const work = async (): Promise<void> => {
    for (let item = left.shift(); item !== undefined && !isBroken; item = left.shift()) {
      try {
        await each(item);
      } catch (error) {
        isBroken = true;
        throw error;
      }
    }
  };
  const ends = await Promise.allSettled(Array.from({ length: AT_A_TIME }, work));
  for (const end of ends) if (end.status === "rejected") throw end.reason;
};

/** Counts what was not offloaded, and tells of it unless something else has told. */
const report = (
  { context, message }: Work,
  what: "attachment" | "link",
  { failure, isNews, code }: { failure: Failure; isNews: boolean; code?: string },
): void => {
  context.metrics.offload(what, failure);
  if (!isNews) return;
  context.log("offload.failed", {
    mailbox: context.mailbox.id,
    uid: message.uid,
    event_id: message.eventId,
    what,
    class: failure,
    code,
  });
};

/** Why there is no second connection, or null. Nothing that becomes of it is held against the mailbox. */
const whyUnreadable = async ({ attachments }: FolderContext): Promise<string | null> => {
  try {
    await attachments.session();
    return null;
  } catch (error) {
    return errorCode(error);
  }
};

/** Stores the wanted attachments; by part number, those that now lie there. */
const storeAttachments = async (
  work: Work,
  wanted: readonly Attachment[],
): Promise<ReadonlyMap<string, Stored>> => {
  const { context, offload, message, signal, endMs } = work;
  const { storage } = offload;
  const { clock, memory, mailbox, lease, attachments: connection } = context;
  const stored = new Map<string, Stored>();
  if (storage === null || wanted.length === 0) return stored;
  // Nobody logs in, or waits for a connection, for a storage that is down.
  const code = storage.isUsable() ? await whyUnreadable(context) : null;
  // Our own end takes the connection away: the next process reads what this one could not.
  context.ending.throwIfAborted();
  await forAll(wanted, async ({ part, encoding, sizeBytes, contentType, filename }) => {
    const source = {
      uid: message.uid,
      uidvalidity: message.uidvalidity,
      part,
      encoding,
      sizeBytes,
    };
    const result =
      code === null
        ? await storage.put({
            ...{ mailbox: mailbox.id, eventId: message.eventId, part, contentType, filename },
            body: () => readPart({ clock, connection, endMs }, source),
            assertLease: () => lease.assert(),
            progress: () => void (memory.progress += 1),
            signal,
          })
        : ({ kind: "failed", failure: "unreadable", isNews: true, code } as const);
    if (result.kind === "failed") report(work, "attachment", result);
    else {
      context.metrics.offload("attachment", "stored");
      stored.set(part, { offloaded: result.object, sizeBytes: result.sizeBytes });
    }
  });
  return stored;
};

/** Has links fetched; by link as written, the copies that now lie there. */
const fetchLinks = async (
  work: Work,
  wanted: readonly { link: ProviderLink; source: URL }[],
): Promise<ReadonlyMap<string, NonNullable<ProviderLink["offloaded"]>>> => {
  const { context, offload, message, signal } = work;
  const { worker } = offload;
  const { memory, lease } = context;
  const fetched = new Map<string, NonNullable<ProviderLink["offloaded"]>>();
  if (worker === null) return fetched;
  await forAll(wanted.slice(0, MAX_LINKS), async ({ link, source }) => {
    const result = await worker.fetch({
      ...{ eventId: message.eventId, provider: link.provider, source, signal },
      assertLease: () => lease.assert(),
    });
    memory.progress += 1;
    if (result.kind === "failed") report(work, "link", result);
    else {
      context.metrics.offload("link", "stored");
      fetched.set(link.url, { url: result.url, filename: result.filename });
    }
  });
  for (const _ of wanted.slice(MAX_LINKS)) {
    report(work, "link", { failure: "too_many", isNews: false });
  }
  return fetched;
};

/** The message with what was offloaded of it. */
const offloadAll = async (
  work: Work,
  attachments: readonly Attachment[],
  links: readonly { link: ProviderLink; source: URL }[],
): Promise<Message> => {
  const { message } = work;
  const [storing, fetching] = await Promise.allSettled([
    storeAttachments(work, attachments),
    fetchLinks(work, links),
  ]);
  if (storing.status === "rejected") throw storing.reason;
  if (fetching.status === "rejected") throw fetching.reason;
  const [stored, fetched] = [storing.value, fetching.value];
  const isWhole =
    attachments.every(({ part }) => stored.has(part)) &&
    links.every(({ link }) => fetched.has(link.url));
  return {
    ...message,
    attachments: message.attachments.map((one) => ({ ...one, ...stored.get(one.part) })),
    links: message.links.map((one) => ({ ...one, offloaded: fetched.get(one.url) ?? null })),
    truncated: isWhole ? message.truncated : [...message.truncated, "offload"],
  };
};

/**
 * The message with its wanted attachments stored and its links fetched, as far as that went: what was
 * wanted and is not there makes `truncated` name `offload`. Takes ten minutes at most, and hardly any time
 * while the storage is down. Rejects with `LeaseLostError` when the lease is lost, and with the reason of
 * a stop or an abort (the message would not be sent any more); every other failure is part of the message.
 */
export const offloadMessage = async (
  context: FolderContext,
  message: Message,
): Promise<Message> => {
  const { offload, clock, ending } = context;
  if (offload === null) return message;
  const { settings, storage, worker } = offload;
  const attachments = storage === null ? [] : wantedAttachments(settings, message.attachments);
  const links = message.links.flatMap((link) => {
    const source = worker?.sourceOf(link) ?? null;
    return source === null ? [] : [{ link, source }];
  });
  if (attachments.length + links.length === 0) return message;
  const late = new AbortController();
  const done = new AbortController();
  const expire = async (): Promise<void> => {
    await clock.sleep(OFFLOAD_TIMEOUT_MS, done.signal);
    if (!done.signal.aborted) late.abort(new OutOfTimeError());
  };
  void expire();
  try {
    const signal = AbortSignal.any([ending, late.signal]);
    const endMs = clock.monoMs() + OFFLOAD_TIMEOUT_MS;
    return await offloadAll({ context, offload, message, signal, endMs }, attachments, links);
  } finally {
    done.abort("done");
  }
};
