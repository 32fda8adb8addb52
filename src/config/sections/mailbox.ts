// The section `mailboxes`: which folders are watched, how their accounts are reached, and what is done
// to a message once it is delivered. One folder an entry.
import { z } from "zod";
import { canonicalFolder } from "../../core/event-id.ts";
import {
  type AfterDelivery,
  type MailboxSettings,
  type StartFrom,
  isLoopbackHost,
} from "../../core/settings.ts";
import {
  flag,
  isCalendarDay,
  plainText,
  secretFile,
  section,
  textLike,
  wholeNumber,
  withCheck,
} from "./fields.ts";

const MAILBOXES =
  "write at least one mailbox, or set IMAP_SERVER, EMAIL_ADDRESS and EMAIL_PASSWORD for one";
const HOST = "write the host name or address alone, without a scheme or a port";
const START = "write now, beginning or a day such as 2026-12-24";
const AFTER = "write none, mark_seen, move:<folder> or delete";
const NONE_REFUSED =
  "write implicit or starttls; without TLS the password travels readable, which is accepted for a loopback host or with imap.allow_insecure: true";

const imapSchema = withCheck(
  withCheck(
    section({
      host: textLike(/^[^\s/@]+$/, HOST).meta({
        description: "The IMAP server.",
        environment: ["IMAP_SERVER"],
      }),
      port: wholeNumber({ min: 1, max: 65_535 })
        .optional()
        .meta({
          description: "Its port.",
          environment: ["IMAP_PORT"],
          defaultText: "993 with `tls: implicit`, else 143",
        }),
      tls: z
        .enum(["implicit", "starttls", "none"], { error: "write implicit, starttls or none" })
        .default("implicit")
        .meta({
          description:
            "TLS from the first byte, TLS after STARTTLS, or none. `none` needs a loopback host or `allow_insecure: true`. `IMAP_USE_SSL=true` means `implicit`, `IMAP_USE_SSL=false` means `none`.",
          environment: ["IMAP_USE_SSL"],
        }),
      allow_insecure: flag(false, {
        description: "Accept `tls: none` towards a host that is not this machine.",
      }),
      user: plainText("write the user name of the account").meta({
        description: "The user to log in as.",
        environment: ["EMAIL_ADDRESS"],
      }),
      password: z
        .string({ error: "write the password in quotes" })
        .min(1, { error: "write the password in quotes" })
        .regex(/^\P{Cc}*$/u, {
          error: "holds a line end or another control character; take it out",
        })
        .optional()
        .meta({
          description: 'Its password; best `"${IMAP_PASSWORD}"` or `password_file`.',
          environment: ["EMAIL_PASSWORD"],
          defaultText: "required, or `password_file`",
          secret: true,
        }),
      password_file: secretFile("password"),
      max_connections: wholeNumber({ min: 1, max: 100 }).default(10).meta({
        description:
          "Connections of this process to one account (host and user) at a time; folders beyond it take turns.",
      }),
    }),
    ["password", "password_file"],
    ({ password, password_file }, refuse) => {
      if (password === undefined && password_file === undefined)
        refuse("password", 'write password: "${IMAP_PASSWORD}" or password_file');
    },
  ),
  ["host", "tls", "allow_insecure"],
  ({ host, tls, allow_insecure }, refuse) => {
    if (tls === "none" && !allow_insecure && !isLoopbackHost(host)) refuse("tls", NONE_REFUSED);
  },
);

/** One entry of `mailboxes`. */
export const mailboxSchema = withCheck(
  section({
    id: textLike(
      /^[a-z0-9][a-z0-9-]{0,63}$/,
      "write 1 to 64 of a-z, 0-9 and -, a letter or digit first",
    ).meta({
      description:
        "The public name of the mailbox, unique; it appears in logs and metrics. The variables of one account (`IMAP_SERVER` and so on) make or override the mailbox `default`.",
    }),
    folder: plainText("write the name of one folder")
      .default("INBOX")
      .meta({ description: "The folder to watch; more folders of an account are more entries." }),
    imap: imapSchema.meta({ description: "How to reach the account." }),
    start_from: z
      .string({ error: START })
      .refine((text) => text === "now" || text === "beginning" || isCalendarDay(text), {
        error: START,
      })
      .default("now")
      .meta({
        description:
          "Where the first contact with a folder starts: `now`, `beginning`, or a day such as `2026-12-24` (mail received on it or after, in the polling time zone).",
      }),
    after_delivery: textLike(/^(none|mark_seen|delete|move:(?=.*\S)[^\p{Cc}]+)$/u, AFTER)
      .default("none")
      .meta({
        description:
          "What is done to a message once every destination has it: `none`, `mark_seen`, `move:<folder>` or `delete`.",
      }),
  }),
  ["folder", "after_delivery"],
  ({ folder, after_delivery }, refuse) => {
    const after = afterDeliveryOf(after_delivery);
    if (after.kind === "move" && canonicalFolder(after.folder) === canonicalFolder(folder))
      refuse(
        "after_delivery",
        "write another folder than the watched one; mail would go in a ring",
      );
  },
);

/** The section: at least one mailbox, every id once. */
export const mailboxesSchema = z
  .array(mailboxSchema, { error: MAILBOXES })
  .min(1, { error: MAILBOXES })
  .superRefine(
    (mailboxes, context) => {
      const seen = new Set<unknown>();
      for (const [index, mailbox] of (mailboxes as readonly unknown[]).entries()) {
        const id = (mailbox as { id?: unknown } | null)?.id;
        if (typeof id === "string" && seen.has(id))
          context.addIssue({
            code: "custom",
            path: [index, "id"],
            message: "write another id; this one is taken by an entry above",
          });
        seen.add(id);
      }
    },
    { when: ({ value }) => Array.isArray(value) },
  );

const startFromOf = (text: string): StartFrom =>
  text === "now" || text === "beginning" ? { kind: text } : { kind: "date", date: text };

const afterDeliveryOf = (text: string): AfterDelivery => {
  if (text === "mark_seen" || text === "delete") return { kind: text };
  return text.startsWith("move:")
    ? { kind: "move", folder: text.slice("move:".length) }
    : { kind: "none" };
};

/** A validated entry as the program reads it. */
export const mailboxSettings = (entry: z.output<typeof mailboxSchema>): MailboxSettings => {
  const { host, port, tls, user, password, max_connections } = entry.imap;
  return {
    id: entry.id,
    folder: canonicalFolder(entry.folder),
    imap: {
      host,
      port: port ?? (tls === "implicit" ? 993 : 143),
      tls,
      user,
      password: password ?? "",
      maxConnections: max_connections,
    },
    startFrom: startFromOf(entry.start_from),
    afterDelivery: afterDeliveryOf(entry.after_delivery),
  };
};
