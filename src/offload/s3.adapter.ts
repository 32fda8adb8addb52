// The real object storage: AWS S3, Cloudflare R2, or whatever speaks as they do. Loads the SDK of AWS at
// the first use, because it costs memory and time that a daemon without offload need not pay. Given to
// the daemon as its port OpenObjectStore.
import type { ObjectStore, OpenObjectStore } from "./object-store.ts";

/** A bucket that is loaded when it is first used. */
export const openS3: OpenObjectStore = (settings) => {
  let isClosed = false;
  let loading: Promise<ObjectStore> | null = null;
  const load = async (): Promise<ObjectStore> => {
    const { openBucket } = await import("./s3/bucket.adapter.ts");
    const bucket = openBucket(settings);
    if (isClosed) bucket.close();
    return bucket;
  };
  const bucket = (): Promise<ObjectStore> => (loading ??= load());
  return {
    put: async (object, sent) => (await bucket()).put(object, sent),
    signGet: async (key, options) => (await bucket()).signGet(key, options),
    close() {
      isClosed = true;
      loading?.then(
        (opened) => opened.close(),
        () => undefined,
      );
    },
  };
};
