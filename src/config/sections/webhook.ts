// The section `webhook`, the hot document webhook_config: where events go and how they are signed.
// Secrets have the form of Standard Webhooks: `whsec_` and base64.
import { z } from "zod";
import type { WebhookSettings } from "../../core/settings.ts";
import { flag, secretFile, section, wholeNumber, withCheck } from "./fields.ts";
import { httpUrl, refusedUrl } from "./urls.ts";

const SECRET =
  "write whsec_ and the base64 of 24 to 64 random bytes, or a list of such; `openssl rand -base64 32` makes them";
const SECRETS = "write names of a-z, 0-9 and -, each with a secret: whsec_ and base64";

/** Is it `whsec_` and the base64 of 24 to 64 bytes (Standard Webhooks, symmetric secrets)? */
export const isWebhookSecret = (text: string): boolean => {
  const found = /^whsec_([A-Za-z0-9+/]+)(={0,2})$/.exec(text);
  if (found === null) return false;
  const bytes = Buffer.from(`${found[1]}${found[2]}`, "base64");
  const canonical = bytes.toString("base64").replace(/=+$/, "") === found[1];
  return canonical && bytes.length >= 24 && bytes.length <= 64;
};

const secret = z.string({ error: SECRET }).refine(isWebhookSecret, { error: SECRET });

const addressKeys = {
  url: httpUrl.meta({
    description:
      "Where every event is posted: `https://…`, or `http://…` when `allow_private_addresses` is true.",
    environment: ["WEBHOOK_URL"],
  }),
  secret: z
    .union([secret, z.array(secret).min(1)], { error: SECRET })
    .optional()
    .meta({
      description:
        "Signs the events: `whsec_` and the base64 of 24 to 64 bytes. Several (a list; in the environment separated by commas) for rotation: each signs, the first one first.",
      environment: ["WEBHOOK_SECRET"],
      defaultText: "required, or `secret_file`",
      secret: true,
      list: true,
    }),
  secret_file: secretFile("secret"),
  secrets: z
    .record(
      z.string().regex(/^[a-z0-9-]{1,64}$/),
      z.string({ error: SECRETS }).refine(isWebhookSecret, { error: SECRETS }),
      { error: SECRETS },
    )
    .default({})
    .meta({
      description: "Further secrets by name, for rules that sign with one of their own.",
      secret: true,
    }),
};

/** The section. */
export const webhookSchema = withCheck(
  withCheck(
    section({
      ...addressKeys,
      timeout_seconds: wholeNumber({ min: 1, max: 300 })
        .default(30)
        .meta({ description: "How long one attempt may take.", unit: "seconds" }),
      concurrency: wholeNumber({ min: 1, max: 256 })
        .default(16)
        .meta({ description: "Attempts under way to one destination at a time." }),
      max_attempts: wholeNumber({ min: 1, max: 100 }).default(20).meta({
        description:
          "Attempts before a delivery is parked; the waits between them double from 5 seconds to 6 hours.",
      }),
      allow_private_addresses: flag(false, {
        description:
          "Let `url` (and rules that name the same host) reach private and loopback addresses, also by `http://`.",
      }),
    }),
    ["secret", "secret_file"],
    ({ secret: signing, secret_file }, refuse) => {
      if (signing === undefined && secret_file === undefined) refuse("secret", SECRET);
    },
  ),
  ["url", "allow_private_addresses"],
  ({ url, allow_private_addresses }, refuse) => {
    const wrong = refusedUrl(url, { section: "webhook", isOpen: allow_private_addresses });
    if (wrong !== null) refuse("url", wrong);
  },
);

/** The validated section as the program reads it. */
export const webhookSettings = (doc: z.output<typeof webhookSchema>): WebhookSettings => ({
  url: doc.url,
  secrets: [doc.secret ?? []].flat(),
  namedSecrets: new Map(Object.entries(doc.secrets)),
  timeoutMs: doc.timeout_seconds * 1000,
  concurrency: doc.concurrency,
  maxAttempts: doc.max_attempts,
  allowPrivateAddresses: doc.allow_private_addresses,
});
