// What a running process cannot change: the sections `http`, `lock` and `limits`, and `redis_url`. A
// change of them is named in a warning and takes effect at the next start.
import { z } from "zod";
import { DEFAULT_LIMITS, type Limits } from "../../core/limits.ts";
import { type Settings, isLoopbackHost } from "../../core/settings.ts";
import {
  plainText,
  secretFile,
  section,
  textLike,
  visibleText,
  wholeNumber,
  withCheck,
} from "./fields.ts";

const REDIS =
  "write redis://user:password@host:port/database, or rediss:// for TLS; user, password, port and database may be left out, and special characters in user and password are written as %XX";

/** Is it the address of one server, with nothing behind it that would have no effect? */
const isRedisUrl = (text: string): boolean => {
  const url = /^rediss?:\/\//.test(text) ? URL.parse(text) : null;
  if (url === null || url.hostname === "" || url.search !== "" || url.hash !== "") return false;
  return /^(\/\d{0,5})?$/.test(url.pathname);
};

/** The key `redis_url`; null: everything on this host alone. */
export const redisUrlSchema = z
  .string({ error: REDIS })
  .refine(isRedisUrl, { error: REDIS })
  .nullable()
  .default(null)
  .meta({
    description:
      "The Redis that several processes share their work through: `redis://…`, or `rediss://…` for TLS. One primary, not a Redis Cluster. Null: the state is kept in `data_dir` alone.",
    environment: ["REDIS_URL"],
    secret: true,
  });

/** The section `http`; null is off. */
export const httpSchema = withCheck(
  section({
    host: textLike(/^[^\s/@]+$/, "write the address to listen on, such as 127.0.0.1 or 0.0.0.0")
      .default("127.0.0.1")
      .meta({ description: "The address to listen on; any but a loopback one needs a token." }),
    port: wholeNumber({ min: 0, max: 65_535 }).nullable().default(8025).meta({
      description: "The port; 0 takes any free one and names it in the log; null is off.",
    }),
    token: visibleText("token").nullable().default(null).meta({
      description: "The bearer token that `/metrics` and `/api` ask for.",
      secret: true,
    }),
    token_file: secretFile("token"),
  }),
  ["host", "token", "token_file"],
  ({ host, token, token_file }, refuse) => {
    if (token === null && token_file === undefined && !isLoopbackHost(host))
      refuse("token", "write a token, or host: 127.0.0.1; others could reach this address");
  },
);

/** The section `http` as settings; null when the server is off. */
export const httpSettings = (doc: z.output<typeof httpSchema> | null): Settings["http"] => {
  if (doc === null || doc.port === null) return null;
  return { host: doc.host, port: doc.port, token: doc.token };
};

/** The section `lock`. */
export const lockSchema = section({
  key: textLike(/^\S+$/, "write a name without spaces").default("render_signal:poller_lock").meta({
    description:
      "With `redis_url`: the key of the lock in Redis; a mailbox other than `default` appends `:<id>`. Every process that may poll the same mailbox must have the same key.",
  }),
  ttl_seconds: wholeNumber({ min: 30, max: 86_400 }).default(300).meta({
    description:
      "With `redis_url`: how long the key outlives a holder that did not sign off. Other nodes take over within seconds; the Python service waits for so long.",
    unit: "seconds",
  }),
  file: plainText("write the path of a file")
    .default("/tmp/render_signal_server_email_poller.lock")
    .meta({
      description:
        "The lock file of this host; a mailbox other than `default` appends `.<id>`. Every process that may poll the same mailbox must see the same file.",
      environment: ["BG_POLLER_LOCK_FILE"],
    }),
  fallback: z
    .enum(["auto", "file", "wait"], { error: "write auto, file or wait" })
    .default("auto")
    .meta({
      description:
        "With `redis_url`: what to do while Redis cannot be reached. `wait`: poll nothing, mail waits on the server. `file`: go on under the lock file of this host alone; with several hosts each of them may poll the mailbox. `auto`: as `file` where this data directory shows that it held the mailbox through this Redis and has seen no other host, else as `wait`. Without `redis_url`, `file` lets a data directory that was used with Redis go on alone.",
    }),
});

const GIB = 1024 ** 3;

const limit = (
  byDefault: number,
  max: number,
  meta: { description: string; unit?: string; environment?: string[] },
) => wholeNumber({ min: 1, max }).default(byDefault).meta(meta);

/** The section `limits` (DESIGN section 7). */
export const limitsSchema = section({
  max_html_bytes: limit(DEFAULT_LIMITS.maxHtmlBytes, 32 * 1024 ** 2, {
    description: "HTML of a message, decoded, all parts together; the rest is cut.",
    unit: "bytes",
    environment: ["MAX_HTML_BYTES"],
  }),
  max_text_bytes: limit(DEFAULT_LIMITS.maxTextBytes, 32 * 1024 ** 2, {
    description: "Plain text of a message, likewise.",
    unit: "bytes",
    environment: ["MAX_TEXT_BYTES"],
  }),
  max_parts: limit(DEFAULT_LIMITS.maxParts, 10_000, {
    description: "MIME parts of a message that are looked at.",
  }),
  max_nesting: limit(DEFAULT_LIMITS.maxNesting, 1000, {
    description: "Levels of MIME parts that are looked at.",
  }),
  max_text_parts: limit(DEFAULT_LIMITS.maxTextParts, 1000, {
    description: "Text parts of a message that are fetched.",
  }),
  max_name_chars: limit(DEFAULT_LIMITS.maxNameChars, 100_000, {
    description: "Subject, names and file names in an event.",
    unit: "characters",
  }),
  max_links: limit(DEFAULT_LIMITS.maxLinks, 10_000, { description: "Links listed in an event." }),
  max_attachments: limit(DEFAULT_LIMITS.maxAttachments, 10_000, {
    description: "Attachments listed in an event.",
  }),
  max_addresses: limit(DEFAULT_LIMITS.maxAddresses, 10_000, {
    description: "Addresses listed in each of to, cc and reply_to.",
  }),
  bytes_in_flight: limit(DEFAULT_LIMITS.bytesInFlight, 16 * GIB, {
    description: "Mail in memory at a time, over all mailboxes.",
    unit: "bytes",
  }),
  message_timeout_seconds: limit(DEFAULT_LIMITS.messageTimeoutMs / 1000, 3600, {
    description: "How long reading one message may take.",
    unit: "seconds",
  }),
  min_bytes_per_second: limit(DEFAULT_LIMITS.minBytesPerSecond, 1024 ** 2, {
    description: "A mail server that sends less is given up.",
    unit: "bytes per second",
  }),
  spool_rows: limit(DEFAULT_LIMITS.spoolRows, 10_000_000, {
    description: "Deliveries that may wait or be parked before fetching stops.",
  }),
  spool_bytes: limit(DEFAULT_LIMITS.spoolBytes, 1024 * GIB, {
    description: "Their size before fetching stops.",
    unit: "bytes",
  }),
});

/** The validated section as the program reads it. */
export const limitsSettings = (doc: z.output<typeof limitsSchema>): Limits => ({
  maxHtmlBytes: doc.max_html_bytes,
  maxTextBytes: doc.max_text_bytes,
  maxParts: doc.max_parts,
  maxNesting: doc.max_nesting,
  maxTextParts: doc.max_text_parts,
  maxNameChars: doc.max_name_chars,
  maxLinks: doc.max_links,
  maxAttachments: doc.max_attachments,
  maxAddresses: doc.max_addresses,
  bytesInFlight: doc.bytes_in_flight,
  messageTimeoutMs: doc.message_timeout_seconds * 1000,
  minBytesPerSecond: doc.min_bytes_per_second,
  spoolRows: doc.spool_rows,
  spoolBytes: doc.spool_bytes,
});

/** The validated section as the program reads it. */
export const lockSettings = (doc: z.output<typeof lockSchema>): Settings["lock"] => ({
  key: doc.key,
  ttlMs: doc.ttl_seconds * 1000,
  file: doc.file,
  fallback: doc.fallback,
});
