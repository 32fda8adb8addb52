// The schema of the whole configuration (DESIGN section 9) and its translation into the settings that
// the program reads. load.ts validates with it; the documentation and the JSON Schema are made from it.
import { z } from "zod";
import type { Settings } from "../core/settings.ts";
import { flag, plainText, secretFile, section, withCheck } from "./sections/fields.ts";
import { mailboxesSchema, mailboxSettings } from "./sections/mailbox.ts";
import { offloadSchema, offloadSettings, uploadsAttachments } from "./sections/offload.ts";
import { pollingSchema, pollingSettings } from "./sections/polling.ts";
import {
  httpSchema,
  httpSettings,
  limitsSchema,
  limitsSettings,
  lockSchema,
  lockSettings,
  redisUrlSchema,
} from "./sections/process.ts";
import { ruleSettings, rulesSchema } from "./sections/rules.ts";
import { webhookSchema, webhookSettings } from "./sections/webhook.ts";

const SECOND_CONNECTION =
  "write 2 or more; with offload attachments are read on a second connection";

const keysSchema = section({
  enable_background_tasks: flag(false, {
    description:
      "Nothing polls until it is true. `DISABLE_BACKGROUND_TASKS=true` beats it wherever it is set.",
    environment: ["ENABLE_BACKGROUND_TASKS"],
  }),
  data_dir: plainText("write the path of a folder").default("./data").meta({
    description:
      "Where the state is kept: a folder of this process or shared with others on this host; relative to the working directory.",
  }),
  log_level: z
    .enum(["debug", "info", "warn", "error"], { error: "write debug, info, warn or error" })
    .default("info")
    .meta({ description: "The least severe events that are logged.", environment: ["LOG_LEVEL"] }),
  log_masked_text: flag(false, {
    description: "Let log lines carry sender and subject, masked. Otherwise no line has any of it.",
  }),
  redis_url: redisUrlSchema,
  redis_url_file: secretFile("redis_url"),
  http: httpSchema
    .nullable()
    .prefault({})
    .meta({ description: "Health, metrics and status. `http: null` switches the server off." }),
  lock: lockSchema
    .prefault({})
    .meta({ description: "The lock that keeps one poller per mailbox." }),
  mailboxes: mailboxesSchema.meta({ description: "The folders to watch; at least one." }),
  polling: pollingSchema.prefault({}).meta({ description: "When mail is fetched, and whose." }),
  webhook: webhookSchema
    .prefault({} as z.input<typeof webhookSchema>)
    .meta({ description: "Where events go and how they are signed." }),
  rules: rulesSchema.meta({
    description: "Further destinations and priorities; the first rule that matches wins.",
  }),
  limits: limitsSchema.prefault({}).meta({ description: "What one message may cost." }),
  offload: offloadSchema.nullable().default(null).meta({
    description:
      "Attachments, and what provider links lead to, in a bucket that events point to ([offload.md](offload.md)). `offload: null`, which it is when left out, is off: attachments stay in the mailbox.",
  }),
});

/** The whole of `signalpost.yaml`. */
export const settingsSchema = withCheck(
  keysSchema,
  ["mailboxes", "offload"],
  ({ mailboxes, offload }, refuse) => {
    if (!uploadsAttachments(offload)) return;
    for (const [index, { imap }] of mailboxes.entries())
      if (imap.max_connections === 1)
        refuse(["mailboxes", index, "imap", "max_connections"], SECOND_CONNECTION);
  },
);

/** The settings of a validated document. */
export const settingsFromDocument = (
  doc: z.output<typeof settingsSchema>,
  spoolKeys: readonly string[],
): Settings => ({
  enableBackgroundTasks: doc.enable_background_tasks,
  dataDir: doc.data_dir,
  redisUrl: doc.redis_url,
  logLevel: doc.log_level,
  logMaskedText: doc.log_masked_text,
  http: httpSettings(doc.http),
  lock: lockSettings(doc.lock),
  mailboxes: doc.mailboxes.map(mailboxSettings),
  polling: pollingSettings(doc.polling),
  webhook: webhookSettings(doc.webhook),
  rules: doc.rules.map(ruleSettings),
  limits: limitsSettings(doc.limits),
  offload: offloadSettings(doc.offload),
  spoolKeys,
});
