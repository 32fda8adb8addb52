// The loop that a user would write today, to compare with: fetch the source of each message, parse it
// with mailparser, post the result, one after another. A process of its own; works through the mailbox
// once when asked. Started by throughput.ts.
import { ImapFlow } from "imapflow";
import { simpleParser } from "mailparser";

/** How it went. */
export interface LoopReport {
  seconds: number;
  messages: number;
}

const [port, user, password, webhookUrl = ""] = process.argv.slice(2);

const workThrough = async (): Promise<LoopReport> => {
  const startMs = performance.now();
  const client = new ImapFlow({
    host: "127.0.0.1",
    port: Number(port),
    secure: false,
    doSTARTTLS: false,
    auth: { user: user ?? "", pass: password ?? "" },
    logger: false,
  });
  await client.connect();
  await client.mailboxOpen("INBOX");
  let messages = 0;
  for await (const { uid, source } of client.fetch("1:*", { source: true })) {
    const mail = await simpleParser(source ?? "");
    const response = await fetch(webhookUrl, {
      method: "POST",
      headers: { "content-type": "application/json", "webhook-id": String(uid) },
      body: JSON.stringify({
        uid,
        messageId: mail.messageId,
        subject: mail.subject,
        from: mail.from?.value,
        date: mail.date,
        text: mail.text,
        html: mail.html,
        attachments: mail.attachments.map(({ filename, size }) => ({ filename, size })),
      }),
    });
    await response.text();
    messages += 1;
  }
  await client.logout();
  return { seconds: (performance.now() - startMs) / 1000, messages };
};

process.send?.({ seconds: 0, messages: 0 } satisfies LoopReport);
process.on("message", () => void workThrough().then((report) => process.send?.(report)));
process.on("disconnect", () => process.exit());
