// One object on its way into the bucket: in one request when it fits into a part, else in parts, read as
// fast as the storage takes them. Either the storage has confirmed the whole, or nothing of it stays.
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  PutObjectCommand,
  type S3Client,
  UploadPartCommand,
} from "@aws-sdk/client-s3";
import { type ObjectPut, StorageError } from "../object-store.ts";
import { toStorageError } from "./failure.ts";
import { createFeed, type Feed } from "./feed.ts";
import { attachmentNamed, contentTypeOf } from "./headers.ts";
import type { SendOptions } from "./requests.adapter.ts";

/** The smallest part that S3 takes; also what one upload holds in memory. */
const PART_BYTES = 5 * 1024 * 1024;
/** For what is tidied up after a failure, each. */
const TIDY_MS = 2000;

/** One upload: where to, and what is passed with each request. */
interface Upload {
  client: S3Client;
  place: { Bucket: string; Key: string };
  about: { ContentType: string; ContentDisposition: string };
  options: SendOptions;
}

/** The proof that the storage has what it was sent. */
const proven = (text: string | undefined): string => {
  if (text === undefined || text === "") throw new StorageError("invalid_answer");
  return text;
};

const abortUpload = async ({ client, place }: Upload, UploadId: string): Promise<void> => {
  const options: SendOptions = { abortSignal: AbortSignal.timeout(TIDY_MS), sent: () => undefined };
  try {
    await client.send(new AbortMultipartUploadCommand({ ...place, UploadId }), options);
  } catch {
    // As well as that goes: the bucket's lifecycle rule expires what is left.
  }
};

/** Sends the filled `part`, then the rest of `feed`, through that one buffer. */
const sendParts = async (
  { client, place, options }: Upload,
  UploadId: string,
  { part, feed }: { part: Buffer; feed: Feed },
): Promise<void> => {
  const upload = { ...place, UploadId };
  const Parts: { PartNumber: number; ETag: string }[] = [];
  for (let size = part.length; size > 0; size = await feed.readInto(part)) {
    const PartNumber = Parts.length + 1;
    const Body = part.subarray(0, size);
    const { ETag } = await client.send(
      new UploadPartCommand({ ...upload, PartNumber, Body }),
      options,
    );
    Parts.push({ PartNumber, ETag: proven(ETag) });
  }
  const { ETag } = await client.send(
    new CompleteMultipartUploadCommand({ ...upload, MultipartUpload: { Parts } }),
    options,
  );
  proven(ETag);
};

const uploadFeed = async (upload: Upload, feed: Feed): Promise<void> => {
  const { client, place, about, options } = upload;
  const part = Buffer.allocUnsafeSlow(PART_BYTES);
  const size = await feed.readInto(part);
  if (size < PART_BYTES) {
    const Body = part.subarray(0, size);
    const { ETag } = await client.send(new PutObjectCommand({ ...place, ...about, Body }), options);
    proven(ETag);
    return;
  }
  const created = await client.send(
    new CreateMultipartUploadCommand({ ...place, ...about }),
    options,
  );
  const uploadId = proven(created.UploadId);
  try {
    await sendParts(upload, uploadId, { part, feed });
  } catch (error) {
    await abortUpload(upload, uploadId);
    throw error;
  }
};

/** Lets go of the body, in bounded time. */
const letGo = async (feed: Feed): Promise<void> => {
  const late = Promise.withResolvers<void>();
  const timer = setTimeout(late.resolve, TIDY_MS);
  await Promise.race([feed.end(), late.promise]);
  clearTimeout(timer);
};

/** As `put` of `ObjectStore`, into `bucket`. */
export const uploadObject = async (
  { client, bucket }: { client: S3Client; bucket: string },
  object: ObjectPut,
  sent: () => void,
): Promise<void> => {
  const { key, signal } = object;
  const feed = createFeed(object.body, signal);
  const upload: Upload = {
    client,
    place: { Bucket: bucket, Key: key },
    about: {
      ContentType: contentTypeOf(object.contentType),
      ContentDisposition: attachmentNamed(object.filename, key),
    },
    options: { abortSignal: signal, sent },
  };
  try {
    await uploadFeed(upload, feed);
  } catch (error) {
    const thrown = feed.thrown();
    if (thrown !== null) throw thrown.error;
    signal.throwIfAborted();
    throw toStorageError(error);
  } finally {
    await letGo(feed);
  }
};
