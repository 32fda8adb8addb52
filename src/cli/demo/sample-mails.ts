// The mails of the demo: one of each kind that the daemon treats differently, and the ones that a user
// sends while it runs. Plain data; embedded-mailbox.adapter.ts makes octets of it.

/** A mail before it has octets; the names are those of nodemailer. */
export interface SampleMail {
  /** How long before the start it came in; 0: now. */
  minutesAgo: number;
  from: { name: string; address: string };
  subject: string;
  text?: string;
  html?: string;
  headers?: Readonly<Record<string, string>>;
  attachments?: { filename: string; contentType: string; content: string }[];
}

const PARAGRAPH =
  "<p>Every row of this report is a line of HTML, and there are many of them. The daemon fetches the " +
  "first 1,000,000 bytes, says so in the event, and leaves the rest on the mail server.</p>\r\n";

/** What lies in the mailbox when the demo starts, oldest first. */
export const SAMPLES: readonly SampleMail[] = [
  {
    minutesAgo: 95,
    from: { name: "Ada Lovelace", address: "ada@example.com" },
    subject: "Lunch on Thursday?",
    text: "Half past twelve at the usual place. Charles brings the engine.\n",
  },
  {
    minutesAgo: 80,
    from: { name: "Grace Hopper", address: "grace@example.org" },
    subject: "The footage is ready",
    text: "All of it: https://www.dropbox.com/scl/fo/a1b2c3/footage?rlkey=demo&dl=0\n",
    html:
      '<p>All of it: <a href="https://www.dropbox.com/scl/fo/a1b2c3/footage?rlkey=demo&amp;dl=0">' +
      "the footage</a>.</p>",
  },
  {
    minutesAgo: 61,
    from: { name: "Billing", address: "billing@example.net" },
    subject: "Invoice 2026-117",
    text: "Please find the invoice attached.\n",
    attachments: [
      {
        filename: "invoice-2026-117.pdf",
        contentType: "application/pdf",
        content: `%PDF-1.4\n${"% a page of the demo's invoice\n".repeat(400)}%%EOF\n`,
      },
    ],
  },
  {
    minutesAgo: 44,
    from: { name: "Zoë Müller", address: "zoe@example.ch" },
    subject: "Grüße aus Zürich und 東京 🗼",
    text: "Schöne Grüße! Nächste Woche dann wieder größere Ausflüge.\n",
  },
  {
    minutesAgo: 23,
    from: { name: "Weekly Deals", address: "news@shop.example" },
    subject: "Only today: 40 % off everything",
    html: "<h1>40 % off</h1>",
    headers: {
      "List-Id": "Weekly Deals <deals.shop.example>",
      "List-Unsubscribe": "<https://shop.example/unsubscribe>",
    },
  },
  {
    minutesAgo: 5,
    from: { name: "Reports", address: "reports@example.com" },
    subject: "Quarterly report, every row of it",
    html: PARAGRAPH.repeat(6000),
  },
];

/** A mail that a user sends now; no line end or other control character of theirs gets into a header. */
export const liveMail = (subject: string): SampleMail => ({
  minutesAgo: 0,
  from: { name: "You", address: "you@example.com" },
  subject: subject.replace(/\p{Cc}+/gu, " ").trim(),
  text: "Typed while the demo runs.\n",
});
