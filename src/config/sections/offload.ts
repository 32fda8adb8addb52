// The section `offload`: the bucket that attachments are copied into, which of them, and the worker that
// fetches what links of transfer providers lead to. Null is off. A change takes effect at the next start.
import { z } from "zod";
import type { OffloadSettings, StorageSettings } from "../../core/settings.ts";
import { fetchWorkerSchema, fetchWorkerSettings, runningWorker } from "./fetch-worker.ts";
import {
  flag,
  inSmallLetters,
  secretFile,
  section,
  textLike,
  visibleText,
  wholeNumber,
  withChecks,
} from "./fields.ts";
import { httpUrl, insecureText, refusedUrl } from "./urls.ts";

const GIB = 1024 ** 3;

/** An upload has at most 10,000 parts (S3), and ours have 5 MiB. */
const MAX_OBJECT_BYTES = 10_000 * 5 * 1024 ** 2;

/** A signature of S3 (version 4) is good for a week at most. */
const MAX_PRESIGN_SECONDS = 7 * 86_400;

const MAX_PATTERNS = 100;

const BUCKET =
  "write the name of the bucket: 3 to 63 of a-z, 0-9, - and single dots, a letter or digit first and last";
const ENDPOINT =
  "write https:// and the host of the storage alone, without a path; null for AWS S3";
const REGION =
  "write the endpoint of the storage, or for AWS S3 the region of the bucket, such as eu-west-3";
const PREFIX =
  "write at most 200 of a-z, A-Z, 0-9, . _ - and /, no slash at either end, no empty part and none that is . or ..";
const BASE = "write a full address that begins with https://, without ? and #";
const NO_USE =
  "write access_key_id and secret_access_key to upload attachments, or fetch_worker to have links fetched, or offload: null";
/** A list of texts of one form, at most {@link MAX_PATTERNS}. */
const patterns = (item: z.ZodString, error: string) =>
  z.array(item, { error }).max(MAX_PATTERNS, { error: `write at most ${MAX_PATTERNS} of them` });

const CONTENT_TYPES = "write types such as application/pdf, or image/* for all of a family";
const FILENAMES = "write names of at most 200 characters, with * for any others, such as *.pdf";

const storageKeys = {
  endpoint: httpUrl
    .refine((text) => URL.parse(text)?.pathname === "/" && !/[?#]/.test(text), { error: ENDPOINT })
    .nullable()
    .default(null)
    .meta({
      description:
        "The S3-compatible storage, such as `https://<account>.r2.cloudflarestorage.com`; null: AWS S3 of the region.",
    }),
  region: textLike(/^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/, "write the name of a region")
    .default("auto")
    .meta({ description: "The region; `auto` suits Cloudflare R2, AWS S3 needs a real one." }),
  bucket: textLike(/^(?!.*\.\.)(?!(?:\d+\.){3}\d+$)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/, BUCKET).meta(
    {
      description: "The bucket of the attachments and of what the worker fetches.",
      environment: ["R2_BUCKET_NAME"],
    },
  ),
  access_key_id: textLike(
    /^(?!.*[,=])[!-~]+$/,
    "write the id of the key in visible ASCII characters, without spaces, commas and =",
  )
    .optional()
    .meta({
      description:
        "The id of the key that may write to the bucket. Without it and `secret_access_key` no attachment is uploaded, and only `fetch_worker` has work.",
    }),
  secret_access_key: visibleText("secret").optional().meta({
    description: 'The secret of that key; best `"${S3_SECRET}"` or `secret_access_key_file`.',
    secret: true,
  }),
  secret_access_key_file: secretFile("secret_access_key"),
  path_style: z.boolean({ error: "write true or false" }).optional().meta({
    description: "The bucket stands in the path of an address, not in the host name.",
    defaultText: "`true` with `endpoint`, else `false`",
  }),
};

const objectKeys = {
  prefix: textLike(
    /^(?=.{0,200}$)(?:(?!\.{1,2}(?:\/|$))[A-Za-z0-9._-]+(?:\/(?!\.{1,2}(?:\/|$))[A-Za-z0-9._-]+)*)?$/,
    PREFIX,
  )
    .default("")
    .meta({ description: "What the key of every object begins with, such as `mail/in`." }),
  public_base_url: z
    .string({ error: BASE })
    .refine((text) => httpUrl.safeParse(text).success && !/[?#]/.test(text), { error: BASE })
    .nullable()
    .default(null)
    .meta({
      description:
        "Where anybody can read the bucket, `https://…`: events then name objects by it. Null: by signed URLs. `fetch_worker` needs it, its answers are checked against it.",
      environment: ["R2_PUBLIC_BASE_URL"],
    }),
  presign_seconds: wholeNumber({ min: 1, max: MAX_PRESIGN_SECONDS })
    .default(MAX_PRESIGN_SECONDS)
    .meta({ description: "How long a signed URL is good for.", unit: "seconds" }),
  min_bytes: wholeNumber({ min: 0, max: MAX_OBJECT_BYTES })
    .default(0)
    .meta({ description: "The smallest attachment that is uploaded, decoded.", unit: "bytes" }),
  max_bytes: wholeNumber({ min: 1, max: MAX_OBJECT_BYTES })
    .default(GIB)
    .meta({ description: "The largest attachment that is uploaded, decoded.", unit: "bytes" }),
  content_types: patterns(
    textLike(/^(?=.{1,200}$)[A-Za-z0-9!#$&^_.+-]+\/(?:\*|[A-Za-z0-9!#$&^_.+-]+)$/, CONTENT_TYPES),
    CONTENT_TYPES,
  )
    .default([])
    .meta({
      description:
        "Only attachments of these types are uploaded, `application/pdf` or `image/*`; empty: every type.",
    }),
  filenames: patterns(textLike(/^(?=.*\S)[^\p{Cc}]{1,200}$/u, FILENAMES), FILENAMES)
    .default([])
    .meta({
      description:
        "Only attachments with these names are uploaded, `*.pdf` with `*` for any characters, in small or capital letters; empty: every name, and none.",
    }),
};

const sectionSchema = section({
  ...storageKeys,
  ...objectKeys,
  allow_private_addresses: flag(false, {
    description:
      "Let `endpoint` and `fetch_worker.url` reach private and loopback addresses, also by `http://`; `public_base_url` may then be `http://…`.",
  }),
  fetch_worker: fetchWorkerSchema
    .nullable()
    .default(null)
    .meta({ description: "The worker that fetches what links lead to; null: none." }),
});

type OffloadSection = z.output<typeof sectionSchema>;

const hasSecret = (doc: OffloadSection): boolean =>
  doc.secret_access_key !== undefined || doc.secret_access_key_file !== undefined;

/** Does this section, or null, upload attachments? */
export const uploadsAttachments = (doc: OffloadSection | null): boolean =>
  doc?.access_key_id !== undefined;

/** The section; whoever takes it decides that it may be null. */
export const offloadSchema = withChecks(sectionSchema, [
  {
    fields: ["access_key_id", "secret_access_key", "secret_access_key_file"],
    check: (doc, refuse) => {
      const hasId = doc.access_key_id !== undefined;
      if (hasId && !hasSecret(doc))
        refuse("secret_access_key", "write it too, or secret_access_key_file");
      if (!hasId && hasSecret(doc)) refuse("access_key_id", "write the id of the key too");
    },
  },
  {
    fields: ["access_key_id", "secret_access_key", "secret_access_key_file", "fetch_worker"],
    check: (doc, refuse) => {
      const hasKey = doc.access_key_id !== undefined || hasSecret(doc);
      // A worker that is switched off is no mistake: it is how an operator stops it for a while.
      if (!hasKey && doc.fetch_worker === null) refuse("access_key_id", NO_USE);
    },
  },
  {
    fields: ["endpoint", "region", "access_key_id"],
    check: ({ endpoint, region, access_key_id }, refuse) => {
      const isAwsRegion = /^[a-z]+(-[a-z]+)+-\d+$/.test(region);
      if (endpoint === null && access_key_id !== undefined && !isAwsRegion)
        refuse("region", REGION);
    },
  },
  {
    fields: ["endpoint", "allow_private_addresses"],
    check: ({ endpoint, allow_private_addresses: isOpen }, refuse) => {
      const wrong = endpoint === null ? null : refusedUrl(endpoint, { section: "offload", isOpen });
      if (wrong !== null) refuse("endpoint", wrong);
    },
  },
  {
    fields: ["public_base_url", "allow_private_addresses"],
    check: ({ public_base_url: base, allow_private_addresses: isOpen }, refuse) => {
      if (base !== null && !isOpen && URL.parse(base)?.protocol !== "https:")
        refuse("public_base_url", insecureText("offload"));
    },
  },
  {
    fields: [["fetch_worker", "enabled"], ["fetch_worker", "url"], "allow_private_addresses"],
    check: (doc, refuse) => {
      const url = runningWorker(doc.fetch_worker)?.url;
      const place = { section: "offload", isOpen: doc.allow_private_addresses };
      const wrong = url === undefined ? null : refusedUrl(url, place);
      if (wrong !== null) refuse(["fetch_worker", "url"], wrong);
    },
  },
  {
    fields: [["fetch_worker", "enabled"], "public_base_url"],
    check: (doc, refuse) => {
      if (runningWorker(doc.fetch_worker) !== null && doc.public_base_url === null)
        refuse("public_base_url", `${BASE}; the answers of fetch_worker are checked against it`);
    },
  },
  {
    fields: ["min_bytes", "max_bytes"],
    check: ({ min_bytes, max_bytes }, refuse) => {
      if (min_bytes > max_bytes) refuse("min_bytes", "write no more than max_bytes");
    },
  },
]);

const storageSettings = (doc: OffloadSection): StorageSettings | null => {
  if (doc.access_key_id === undefined) return null;
  return {
    endpoint: doc.endpoint === null ? null : new URL(doc.endpoint).origin,
    region: doc.region,
    bucket: doc.bucket,
    accessKeyId: doc.access_key_id,
    secretAccessKey: doc.secret_access_key ?? "",
    pathStyle: doc.path_style ?? doc.endpoint !== null,
    allowPrivateAddresses: doc.allow_private_addresses,
  };
};

/** The validated section as the program reads it; null when it, or all that is in it, is off. */
export const offloadSettings = (doc: OffloadSection | null): OffloadSettings | null => {
  if (doc === null) return null;
  const storage = storageSettings(doc);
  const { bucket, allow_private_addresses: allowPrivateAddresses } = doc;
  const worker = fetchWorkerSettings(doc.fetch_worker, { bucket, allowPrivateAddresses });
  if (storage === null && worker === null) return null;
  const base = doc.public_base_url;
  return {
    storage,
    worker,
    prefix: doc.prefix,
    publicBaseUrl: base === null ? null : new URL(base).href.replace(/\/+$/, ""),
    presignSeconds: doc.presign_seconds,
    minBytes: doc.min_bytes,
    maxBytes: doc.max_bytes,
    contentTypes: inSmallLetters(doc.content_types),
    filenames: inSmallLetters(doc.filenames),
  };
};
