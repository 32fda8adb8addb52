// Offloading as the configuration of the start says: the storage, the fetch worker, and the URLs that are
// signed at each attempt. Called by build.ts; connects to nothing before something is to be stored.
import type { Log } from "../app-logging/logger.ts";
import type { Metrics } from "../app-logging/metrics.ts";
import type { OffloadSettings, StorageSettings } from "../core/settings.ts";
import { createAvailability } from "../offload/availability.ts";
import { type FetchWorker, createFetchWorker } from "../offload/fetch-worker.ts";
import type { ObjectStore } from "../offload/object-store.ts";
import { createSignUrls } from "../offload/sign-urls.ts";
import { createStorage } from "../offload/storage.ts";
import type { Offload } from "../orchestrator/folder-context.ts";
import type { Ports } from "./ports.ts";

/** What the rest of the daemon is given of it. */
export interface OpenedOffload {
  /** Null: nothing is moved to storage. */
  offload: Offload | null;
  /** For the delivery; null: payloads are sent as they were built. */
  finishPayload: ((payload: string) => Promise<string>) | null;
  /** Ends the storage's connections. */
  close(): void;
}

const NONE: OpenedOffload = { offload: null, finishPayload: null, close: () => undefined };

/** What it is made of. */
interface Parts {
  ports: Pick<Ports, "clock" | "sendHttp" | "openObjectStore">;
  log: Log;
  metrics: Metrics;
}

const openWorker = (
  { ports, log, metrics }: Parts,
  { worker, prefix, publicBaseUrl }: OffloadSettings,
): FetchWorker | null => {
  // Without an address of the bucket nobody could tell a right answer from a wrong one.
  if (worker === null || publicBaseUrl === null) return null;
  const { clock, sendHttp } = ports;
  const availability = createAvailability({ clock, log, metrics, what: "link" });
  return createFetchWorker({
    ...{ clock, sendHttp, availability, prefix, publicBaseUrl },
    settings: worker,
  });
};

const openStorage = (
  { ports, log, metrics }: Parts,
  settings: OffloadSettings,
  bucket: StorageSettings,
): Pick<OpenedOffload, "finishPayload" | "close"> & { storage: Offload["storage"] } => {
  const { clock, openObjectStore } = ports;
  let opened: ObjectStore | null = null;
  const objectStore = (): ObjectStore => (opened ??= openObjectStore(bucket));
  const availability = createAvailability({ clock, log, metrics, what: "attachment" });
  const { presignSeconds } = settings;
  return {
    storage: createStorage({ clock, metrics, availability, objectStore, settings }),
    finishPayload:
      settings.publicBaseUrl === null
        ? createSignUrls({ clock, objectStore, presignSeconds })
        : null,
    close: () => opened?.close(),
  };
};

/** Opens what `settings` ask for; null: nothing. */
export const openOffload = (settings: OffloadSettings | null, parts: Parts): OpenedOffload => {
  if (settings === null) return NONE;
  const worker = openWorker(parts, settings);
  if (settings.storage === null) return { ...NONE, offload: { settings, storage: null, worker } };
  const { storage, finishPayload, close } = openStorage(parts, settings, settings.storage);
  return { offload: { settings, storage, worker }, finishPayload, close };
};
