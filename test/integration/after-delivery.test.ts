// What the user wants done to a message in the mailbox once every destination has it: flags, moves and
// deletes touch the messages that were delivered and nobody else's.
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Dovecot, startDovecot } from "../support/dovecot.ts";
import { startImapScript } from "../support/imap-script.ts";
import * as mail from "../support/mail.ts";
import { type Scene, openScene } from "../support/scene.ts";

let server: Dovecot;
beforeAll(async () => {
  server = await startDovecot();
});
afterAll(async () => {
  await server.stop();
});

/** UIDs that match `query`, as another client sees them. */
const search = async (scene: Scene, query: string, folder = "INBOX"): Promise<string> => {
  const client = await scene.client(folder);
  const lines = await client.command(`UID SEARCH ${query}`);
  client.close();
  return lines[0]?.replace("* SEARCH", "").trim() ?? "";
};

test("mark_seen flags what was delivered, also by a replay, and nothing else", async () => {
  let isMended = false;
  await using scene = await openScene(server, {
    mailbox: { after_delivery: "mark_seen" },
    settings: { polling: { sender_of_interest_for_polling: ["ann@example.com"] } },
    answer: (_request, n) => (isMended || n === 1 ? {} : { status: 404 }),
  });
  await scene.deliverSubjects("at once");
  await expect.poll(() => search(scene, "SEEN")).toBe("1");
  await scene.deliverSubjects("later");
  await scene.deliver(mail.plainMessage("x", { subject: "filtered", from: "eve@example.net" }));
  await scene.daemon.waitForEvent("message.filtered");
  await scene.daemon.waitForEvent("delivery.parked");
  expect(await search(scene, "SEEN")).toBe("1");
  isMended = true;
  expect((await scene.daemon.cli("parked", "replay", "--all")).code).toBe(0);
  await expect.poll(() => search(scene, "SEEN")).toBe("1 2");
  expect(await search(scene, "UNSEEN")).toBe("3");
});

test("move takes what was delivered to the other folder", async () => {
  await using scene = await openScene(server, {
    mailbox: { after_delivery: "move:Done" },
    before: (user) => server.deliver(user, [mail.plainMessage("old")], { folder: "Done" }),
  });
  await scene.deliverSubjects("one", "two");
  await scene.posted(2);
  await expect.poll(() => search(scene, "ALL")).toBe("");
  expect(await search(scene, "ALL", "Done")).toBe("1 2 3");
  await scene.deliverSubjects("three");
  await scene.posted(3);
  await expect.poll(() => search(scene, "ALL", "Done")).toBe("1 2 3 4");
});

test("move to a folder that is missing is told, and done by a later process once it is there", async () => {
  await using scene = await openScene(server, { mailbox: { after_delivery: "move:Archive" } });
  const { daemon } = scene;
  await scene.deliverSubjects("one");
  await daemon.waitForEvent("after_delivery.failed", ({ action }) => action === "move");
  const owed = JSON.parse((await daemon.cli("receipts", "--json")).out);
  expect(owed).toMatchObject([{ uid: 1, outcome: "delivered", after_delivery_owed: true }]);
  expect(daemon.events("after_delivery.failed")).toHaveLength(1);
  const client = await scene.client();
  await client.command("CREATE Archive");
  client.close();
  await daemon.stop();
  await daemon.start();
  await expect.poll(() => search(scene, "ALL", "Archive")).toBe("1");
  expect(scene.receiver.requests).toHaveLength(1);
});

test("delete expunges what was delivered; what somebody else marked as deleted survives", async () => {
  await using scene = await openScene(server, {
    mailbox: { after_delivery: "delete" },
    before: async (user) =>
      server.deliver(user, [mail.plainMessage("kept"), mail.plainMessage("x")]),
  });
  const client = await scene.client();
  await client.command("UID STORE 1 +FLAGS (\\Deleted)");
  await scene.deliverSubjects("three", "four");
  await scene.posted(2);
  await expect.poll(() => search(scene, "ALL")).toBe("1 2");
  expect(await search(scene, "DELETED")).toBe("1");
  client.close();
});

test("without UIDPLUS a delete is the flag alone, with one warning", async () => {
  let isThere = false;
  await using fake = await startImapScript({
    capabilities: "IMAP4rev1 IDLE",
    reply: ({ name, args, tag }) => {
      const done = `${tag} OK done`;
      if (!isThere) return undefined;
      if (name === "UID SEARCH") return ["* SEARCH 1", done];
      if (name !== "UID FETCH") return undefined;
      const rest = 'INTERNALDATE "01-Jan-2026 00:00:00 +0000" RFC822.SIZE 9';
      const body = '("TEXT" "PLAIN" NIL NIL NIL "7BIT" 5 1)';
      const envelope = '(NIL "one" NIL NIL NIL NIL NIL NIL NIL NIL)';
      return args.includes("ENVELOPE")
        ? [`* 1 FETCH (UID 1 ENVELOPE ${envelope} BODYSTRUCTURE ${body} ${rest})`, done]
        : ["* 1 FETCH (UID 1 BODY[1]<0> {5}", "hello)", done];
    },
  });
  await using scene = await openScene(server, {
    mailbox: { port: fake.port, after_delivery: "delete" },
  });
  isThere = true;
  await scene.posted(1);
  await expect
    .poll(() => fake.seen.filter((line) => line.startsWith("UID STORE")))
    .toEqual(["UID STORE 1 +FLAGS.SILENT (\\Deleted)"]);
  await scene.daemon.waitForEvent("cycle.finished");
  expect(fake.seen.join("\n")).not.toContain("EXPUNGE");
  expect(fake.seen.join("\n")).toContain("SELECT");
  expect(scene.daemon.events("after_delivery.no_uidplus")).toMatchObject([{ level: "warn" }]);
});

test("without an action the folder is only ever examined", async () => {
  await using fake = await startImapScript({});
  await using scene = await openScene(server, { mailbox: { port: fake.port } });
  expect(fake.seen.some((line) => line.startsWith("EXAMINE"))).toBe(true);
  expect(fake.seen.some((line) => line.startsWith("SELECT"))).toBe(false);
  expect(scene.daemon.events("mailbox.connected")).toHaveLength(1);
});
