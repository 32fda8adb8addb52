// The demo's mail server, looked at with a real client: what arrives is told, also to a client in IDLE,
// and every message of one partial FETCH gets the range that was asked for.
import { ImapFlow } from "imapflow";
import { expect, test } from "vitest";
import {
  ACCOUNT,
  type Arrival,
  appendToMailbox,
  startMailbox,
} from "./embedded-mailbox.adapter.ts";
import { SAMPLES, liveMail } from "./sample-mails.ts";

const connect = async (port: number): Promise<ImapFlow> => {
  const client = new ImapFlow({
    host: "127.0.0.1",
    port,
    secure: false,
    doSTARTTLS: false,
    auth: { user: ACCOUNT.user, pass: ACCOUNT.password },
    logger: false,
  });
  await client.connect();
  await client.mailboxOpen("INBOX", { readOnly: true });
  return client;
};

test("the mailbox tells of each mail, delivered here or appended from another process", async () => {
  const arrivals: Arrival[] = [];
  const mailbox = await startMailbox((arrival) => arrivals.push(arrival));
  try {
    for (const mail of SAMPLES) await mailbox.deliver(mail);
    const client = await connect(mailbox.port);
    const announced = new Promise<number>((resolve) => {
      client.once("exists", ({ count }: { count: number }) => resolve(count));
    });
    void client.idle();
    await appendToMailbox(mailbox.port, liveMail("Grüße 🚀"));
    expect(await announced).toBe(SAMPLES.length + 1);
    client.close();
  } finally {
    await mailbox.close();
  }
  expect(arrivals.map(({ uid }) => uid)).toEqual([1, 2, 3, 4, 5, 6, 7]);
  expect(arrivals.map(({ subject }) => subject)).toEqual([
    ...SAMPLES.map(({ subject }) => subject),
    "Grüße 🚀",
  ]);
  expect(arrivals[3]?.from).toBe("Zoë Müller <zoe@example.ch>");
  expect(new Set(arrivals.map(({ messageId }) => messageId)).size).toBe(arrivals.length);
});

test("every message of a partial fetch is answered with its own octets", async () => {
  const mailbox = await startMailbox(() => undefined);
  try {
    for (const subject of ["one", "two", "three"]) await mailbox.deliver(liveMail(subject));
    const client = await connect(mailbox.port);
    const bodyParts = [{ key: "1", start: 6, maxLength: 1_000_000 }];
    const texts: string[] = [];
    for await (const { bodyParts: parts } of client.fetch("1:*", { bodyParts })) {
      texts.push(String(parts?.get("1")));
    }
    expect(texts.map((text) => text.trim())).toEqual(Array(3).fill("while the demo runs."));
    client.close();
  } finally {
    await mailbox.close();
  }
});
